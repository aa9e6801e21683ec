"""A run's page, its plots and the sentence that answers: what a reader gets."""

import re
from dataclasses import replace
from html.parser import HTMLParser

import polars
import pytest

from shoal_sim import plots, report, runs, scenario, study, words

ASKED = """
question = "How many bits does a watcher lack, <with> few people?"
seeds = 2
show = ["sender_entropy_bits", "latency_p50_ms"]
[network]
relays = 6
people = 10
[time]
length_s = 1.0
[sweep]
"network.people" = [10, 30]
"""


class Page(HTMLParser):
    """What a page would load, its texts, and the ids that it has and names."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.loads: list[str] = []
        self.tags: list[str] = []
        self.ids: list[str] = []
        self.named: set[str] = set()
        self.cells: list[str] = []
        self._cell = False
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        if tag in ("td", "th"):
            self._cell = True
            self.cells.append("")
        for name, value in attrs:
            there = value or ""
            if name == "id":
                self.ids.append(there)
            if name in ("src", "srcset", "href", "xlink:href", "action", "poster", "data"):
                (self.named.add(there[1:]) if there[:1] == "#" else self.loads.append(there))
            self.loads += [url for url in re.findall(r"url\(([^)]*)\)", there) if url[:1] != "#"]

    def handle_endtag(self, tag: str) -> None:
        self._cell = self._cell and tag not in ("td", "th")

    def handle_data(self, data: str) -> None:
        if self._cell:
            self.cells[-1] += data


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> runs.Run:
    done = study.sweep(scenario.parse(ASKED), tmp_path_factory.mktemp("runs"))
    report.write(done)
    return done


def test_a_page_loads_nothing_and_has_no_script(run: runs.Run) -> None:
    text = run.report.read_text()
    page = Page(text)
    assert page.loads == []
    assert not {"script", "link", "iframe", "img", "object", "metadata"} & set(page.tags)
    assert "@import" not in text
    assert "default-src 'none'" in text  # and a browser would refuse


def test_a_page_says_what_was_asked_and_answers_in_a_sentence(run: runs.Run) -> None:
    text = run.report.read_text()
    assert "lack, &lt;with&gt; few people?</h1>" in text
    answer = re.search(r'<p class="answer">(.*)</p>', text)
    assert answer is not None
    assert re.fullmatch(
        r"Sender entropy rises from \S+ ± \S+ bits \(10 people\) to \S+ ± \S+ bits "
        r"\(30 people\)\. Means over 2 networks each; ± is half of the 99 % interval.*\.",
        answer[1],
    )


def test_a_page_tells_how_to_run_it_again(run: runs.Run) -> None:
    text = run.report.read_text()
    again = text[text.index("Run it again") :]
    versions = runs.versions()
    assert "shoal sim run scenario.toml" in again
    assert versions["code"] in again
    assert f"polars {versions['libraries']['polars']}" in again
    assert "1 to 2, one a network" in again


def test_tables_have_no_empty_cell_and_plots_ids_of_their_own(run: runs.Run) -> None:
    page = Page(run.report.read_text())
    assert len(page.cells) > 20
    assert all(cell.strip() for cell in page.cells)
    assert len(page.ids) == len(set(page.ids))
    assert page.named <= set(page.ids)


def test_a_page_turns_dark_with_its_plots(run: runs.Run) -> None:
    text = run.report.read_text()
    body = text[text.index("<main>") :]
    assert "prefers-color-scheme: dark" in text
    assert not re.search(f"{plots.INK}|{plots.GRID}|#ffffff", body)
    assert plots.INK in (run.directory / "plots/latency_p50_ms.svg").read_text()


def test_a_page_and_its_plots_are_the_same_bytes_whenever_they_are_written(run: runs.Run) -> None:
    files = [run.report, *sorted((run.directory / "plots").iterdir())]
    before = [file.read_bytes() for file in files]
    report.write(run)
    assert [file.read_bytes() for file in files] == before


def summary(**rows: list[tuple[object, float | None, float | None]]) -> polars.DataFrame:
    """Return a summary: metric=[(value of the swept key, mean, half of its interval), …]."""
    return polars.DataFrame(
        [
            {
                "configuration": place,
                "traffic.mean_delay_ms": value,
                "metric": metric,
                "mean": mean,
                "low": None if mean is None or half is None else mean - half,
                "high": None if mean is None or half is None else mean + half,
            }
            for metric, told in rows.items()
            for place, (value, mean, half) in enumerate(told)
        ],
        schema_overrides={"mean": polars.Float64, "low": polars.Float64, "high": polars.Float64},
    )


SWEPT = replace(
    scenario.parse('question = "?"'), sweep=(("traffic.mean_delay_ms", (50.0, 100.0, 200.0)),)
)


@pytest.mark.parametrize(
    ("told", "sentence"),
    [
        (
            [(50.0, 900.0, 5.0), (100.0, 700.0, 4.0), (200.0, 500.0, 3.0)],
            "Median latency falls from 900.0 ± 5.0 ms (mean delay of 50 ms) to 500.0 ± 3.0 ms "
            "(mean delay of 200 ms). Means over 20 networks each; ± is half of the 99 % interval.",
        ),
        (
            [(50.0, 900.0, 5.0), (100.0, 700.0, 4.0), (200.0, 800.0, 3.0)],
            "Median latency lies between 700.0 ± 4.0 ms (mean delay of 100 ms) and 900.0 ± 5.0 ms "
            "(mean delay of 50 ms). Means over 20 networks each; ± is half of the 99 % interval.",
        ),
        (
            [(50.0, 900.0, 0.0), (100.0, 900.0, 0.0)],
            "Median latency is 900 ms in all 2 configurations. Means over 20 networks each.",
        ),
        (
            [(50.0, 900.0, 2000.0)],
            "Median latency is 900 ± 2,000 ms. Means over 20 networks; ± is half of the 99 % "
            "interval, which so few networks leave wide: run more, with --seeds.",
        ),
        ([(50.0, None, None)], "There was nothing to measure: no median latency."),
    ],
)
def test_an_answer_is_a_sentence_with_units(
    told: list[tuple[object, float | None, float | None]], sentence: str
) -> None:
    assert words.answer(SWEPT, summary(latency_p50_ms=told)) == sentence


def test_one_network_is_said_to_tell_nothing_of_others() -> None:
    told = words.answer(replace(SWEPT, seeds=1), summary(delivered_share=[(50.0, 0.5, None)]))
    assert told == (
        "Share delivered is 0.5. That is one network, which says nothing of how much "
        "networks differ."
    )


@pytest.mark.parametrize(
    ("metric", "title"),
    [
        ("latency_p95_ms", "95 % quantile of latency, ms"),
        ("adversary_owner_hit_share", "share of owners guessed right by the adversary"),
        ("adversary_sender_min_entropy_bits", "sender min-entropy to the adversary, bits"),
        ("person_gb_per_month", "traffic of a person, GB a month"),
        ("queue_wait_mean_ms", "mean queue wait, ms"),
        ("odd_share", "odd, as a share"),
        ("texts", "texts"),
    ],
)
def test_metrics_have_titles_in_words(metric: str, title: str) -> None:
    assert words.title(metric) == title


def drawn(told: list[tuple[object, float | None, float | None]], metric: str) -> str:
    frame = summary(**{metric: told})
    return plots.draw(SWEPT, polars.DataFrame(), frame, metric).decode()


def labels(svg: str) -> list[str]:
    """Return the texts of a plot, which stand in it as remarks beside their outlines."""
    return re.findall(r"<!-- (.*?) -->", svg)


def test_axes_of_plots_are_named_with_units() -> None:
    there = labels(drawn([(50.0, 900.0, 5.0), (100.0, 700.0, 4.0)], "latency_p50_ms"))
    assert {"Mean delay, ms", "Median latency, ms"} <= set(there)


def test_figures_over_decades_have_an_axis_of_decades() -> None:
    wide = labels(drawn([(50.0, 0.5, 0.1), (100.0, 0.0005, 0.0001)], "sender_hit_share"))
    assert {"0.001", "0.01", "0.1"} <= set(wide)
    narrow = labels(drawn([(50.0, 0.5, 0.1), (100.0, 0.4, 0.1)], "sender_hit_share"))
    assert "0.01" not in narrow


def test_an_interval_as_wide_as_of_two_networks_leaves_room_for_the_means() -> None:
    there = labels(drawn([(50.0, 30_000.0, 1e6), (100.0, 900.0, 10.0)], "latency_p50_ms"))
    assert "40,000" in there
    assert not {"1,000,000", "1e6"} & set(there)


def test_what_was_not_measured_is_drawn_as_that() -> None:
    assert "nothing to measure" in labels(drawn([(50.0, None, None)], "latency_p50_ms"))


def test_swept_words_are_drawn_as_points() -> None:
    asked = replace(SWEPT, sweep=(("traffic.preset", ("saver", "fast")),))
    frame = summary(latency_p50_ms=[("saver", 900.0, 5.0), ("fast", 700.0, 4.0)])
    frame = frame.rename({"traffic.mean_delay_ms": "traffic.preset"})
    there = labels(plots.draw(asked, polars.DataFrame(), frame, "latency_p50_ms").decode())
    assert {"saver", "fast", "Preset"} <= set(there)
