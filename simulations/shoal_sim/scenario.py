"""One question, as a TOML file: what network, what traffic, which adversary, for how long.

::

    question.toml ─ tomllib ─► tables ─ checked by type, choice and range ─► Scenario, frozen
                        └─ a key that is unknown or wrong: one sentence with its line

Every key has a default but ``question``. ``[sweep]`` lists values for dotted keys; the product
of all of them is run, the last key changing fastest. docs/simulations.md names every key.
"""

import itertools
import math
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any, Final, Literal, get_args, get_origin, get_type_hints

from shoal_protocol.errors import UserError
from shoal_protocol.parameters import NETWORKS, PRESETS, NetworkParameters, Preset
from shoal_sim import lines
from shoal_sim.adversaries import registry
from shoal_sim.lines import shown

_LEAST_RELAYS: Final = 12  # where relays follow people: with fewer, ways are nearly always the same

Tier = Literal["exact", "vector", "structures"]


@dataclass(frozen=True, slots=True)
class Network:
    """Who is there, and by which rules."""

    relays: int = 100
    people: int = 1000
    people_per_relay: float | None = None  # relays = people over this, 12 at least
    parameters: Literal["main", "lab", "lab5"] = "main"
    replicas: int | None = None  # K; the parameters' own unless it is given
    cryptography: Literal["null", "real"] = "null"  # exact tier
    nodes: Literal["cover", "whole", "dht"] = "cover"  # exact tier: what nodes run
    active: Literal["all", "drawn"] = "drawn"  # all: as no node does it, for comparison
    layout: Literal["free", "layers"] = "free"
    layers: int = 3
    relay_packets_per_s: float = 0.0  # exact tier: what a relay takes in; 0 for any number
    unreachable: float = 0.0  # exact tier: share of relays whom nobody can dial

    @property
    def protocol(self) -> NetworkParameters:
        """The protocol's parameters of this network."""
        params = NETWORKS[self.parameters]
        return params if self.replicas is None else replace(params, replicas=self.replicas)

    def counted(self) -> "Network":
        """Return it with as many relays as people make."""
        if self.people_per_relay is None:
            return self
        relays = max(_LEAST_RELAYS, round(self.people / self.people_per_relay))
        return replace(self, relays=relays, people_per_relay=None)


@dataclass(frozen=True, slots=True)
class Traffic:
    """What people send; the four numbers take the place of the preset's where they are given."""

    preset: Literal["saver", "balanced", "fast"] = "balanced"
    rate: float | None = None  # packets up a second
    mean_delay_ms: float | None = None
    quick_share: float | None = None
    get_wait_mean_ms: float | None = None
    messages_per_hour: float = 0.0  # of a person
    online: float = 1.0  # share of people; structures: of the occasions, each person
    hours: float = 24.0  # structures: of a day that each person's node is on
    cover: Literal["full", "none"] = "full"  # structures: whether messages hide in other packets

    @property
    def chosen(self) -> Preset:
        """The preset, with what is given in its place."""
        preset = PRESETS[self.preset]
        return Preset(
            preset.name,
            rate=preset.rate if self.rate is None else self.rate,
            mean_delay_ms=_or(self.mean_delay_ms, preset.mean_delay_ms),
            quick_share=preset.quick_share if self.quick_share is None else self.quick_share,
            get_wait_mean_ms=_or(self.get_wait_mean_ms, preset.get_wait_mean_ms),
        )


@dataclass(frozen=True, slots=True)
class Links:
    """How long links take, and what they lose."""

    model: Literal["fixed", "uniform", "coordinates", "file"] = "fixed"
    latency_ms: float = 42.0
    jitter_ms: float = 0.0
    loss: float = 0.0
    file: str = ""
    up_kbps: float = 0.0  # exact tier: of a person's line; 0 for no limit
    down_kbps: float = 0.0
    queue: int = 256  # exact tier: packets that wait where there is a limit; more are dropped


@dataclass(frozen=True, slots=True)
class Churn:
    """How long nodes stay."""

    model: Literal["none", "weibull", "exponential"] = "none"
    shape: float = 0.5
    scale_min: float = 30.0
    who: Literal["all", "people", "relays"] = "all"  # exact tier
    away_scale_min: float | None = None  # exact tier; None: away as long as they stay


@dataclass(frozen=True, slots=True)
class Adversary:
    """A plug-in by its name, and the keys that are its own."""

    name: str = "none"
    keys: tuple[tuple[str, bool | int | float | str], ...] = ()


@dataclass(frozen=True, slots=True)
class Time:
    """What is measured: ``length_s`` after ``warm_up_s`` that are not, in virtual seconds."""

    warm_up_s: float | None = None  # exact tier; None: by the preset
    length_s: float = 60.0


@dataclass(frozen=True, slots=True)
class Scenario:
    """One configuration, or with a sweep many."""

    question: str
    tier: Tier = "vector"
    seeds: int = 20
    show: tuple[str, ...] = ()  # metrics that the report shows, the one that answers first
    network: Network = field(default_factory=Network)
    traffic: Traffic = field(default_factory=Traffic)
    links: Links = field(default_factory=Links)
    churn: Churn = field(default_factory=Churn)
    adversary: Adversary = field(default_factory=Adversary)
    time: Time = field(default_factory=Time)
    sweep: tuple[tuple[str, tuple[Any, ...]], ...] = ()

    @property
    def warm_up_s(self) -> float:
        """Virtual seconds in which a crowd comes to rest: what is asked for, or by the preset.

        Who begins has no reads that wait, and has them all when those end that it sent first:
        none waits longer than three times the mean.
        """
        if self.time.warm_up_s is not None:
            return self.time.warm_up_s
        preset = self.traffic.chosen
        longest_s = WAITS_MOST * preset.get_wait_mean_ms / 1000
        return max(WARM_UP_LEAST_S, longest_s if preset.quick_share < 1 else 0.0)

    def configurations(self) -> Iterator[tuple[dict[str, Any], "Scenario"]]:
        """Yield (values of the swept keys, scenario without a sweep), in the sweep's order."""
        names = [name for name, _ in self.sweep]
        base = replace(self, sweep=())
        for values in itertools.product(*(values for _, values in self.sweep)):
            chosen = dict(zip(names, values, strict=True))
            one = base
            for name, value in chosen.items():
                one = _with(one, name, value)
            yield chosen, replace(one, network=one.network.counted())

    def resolved(self) -> dict[str, Any]:
        """Return every key with its value, defaults too, as plain tables."""
        tables = asdict(self)
        tables["adversary"] = {"name": self.adversary.name, **dict(self.adversary.keys)}
        tables["sweep"] = {name: list(values) for name, values in self.sweep}
        return {key: _plain(value) for key, value in tables.items()}


TABLES: Final = {
    "network": Network,
    "traffic": Traffic,
    "links": Links,
    "churn": Churn,
    "time": Time,
}
WARM_UP_LEAST_S: Final = 5.0
WAITS_MOST: Final = 3  # times the mean: the longest that a read waits
MOST_CONFIGURATIONS: Final = 10_000  # of a sweep
_RANGES: Final[Mapping[str, tuple[float, float]]] = {  # least and most, both allowed
    "seeds": (1, 100_000),
    "network.relays": (1, 10_000_000),
    "network.people": (0, 10_000_000),
    "network.people_per_relay": (0.1, 1e6),
    "network.replicas": (1, 20),
    "network.layers": (1, 100),
    "network.relay_packets_per_s": (0, 1e7),
    "network.unreachable": (0, 1),
    "traffic.rate": (1e-6, 1e6),
    "traffic.mean_delay_ms": (0, 60_000),
    "traffic.quick_share": (0, 1),
    "traffic.get_wait_mean_ms": (0, 360_000),
    "traffic.messages_per_hour": (0, 1e6),
    "traffic.online": (0, 1),
    "traffic.hours": (0.1, 24),
    "links.latency_ms": (0, 60_000),
    "links.jitter_ms": (0, 60_000),
    "links.loss": (0, 1),
    "links.up_kbps": (0, 1e8),
    "links.down_kbps": (0, 1e8),
    "links.queue": (1, 1_000_000),
    "churn.shape": (0.01, 100),
    "churn.scale_min": (1e-3, 1e7),
    "churn.away_scale_min": (1e-3, 1e7),
    "time.warm_up_s": (0, 1e9),
    "time.length_s": (1e-3, 1e9),
}
_OF: Final[Mapping[str, tuple[Tier, ...]]] = {  # tiers of a key that not all have
    "network.replicas": ("vector", "structures"),
    "network.cryptography": ("exact",),
    "network.nodes": ("exact",),
    "network.active": ("exact", "vector"),
    "network.layout": ("exact", "vector"),
    "network.layers": ("vector",),
    "network.relay_packets_per_s": ("exact",),
    "network.unreachable": ("exact",),
    "traffic.quick_share": ("exact", "vector"),
    "traffic.get_wait_mean_ms": ("exact", "vector"),
    "traffic.hours": ("structures",),
    "traffic.cover": ("structures",),
    "links.model": ("exact", "vector"),
    "links.latency_ms": ("exact", "vector"),
    "links.jitter_ms": ("exact", "vector"),
    "links.loss": ("exact", "vector"),
    "links.file": ("exact", "vector"),
    "links.up_kbps": ("exact",),
    "links.down_kbps": ("exact",),
    "links.queue": ("exact",),
    "churn.model": ("exact", "structures"),
    "churn.shape": ("exact", "structures"),
    "churn.scale_min": ("exact", "structures"),
    "churn.who": ("exact",),
    "churn.away_scale_min": ("exact", "structures"),
    "time.warm_up_s": ("exact",),
}


def load(path: Path | str) -> Scenario:
    """Read a scenario file.

    Raises:
        UserError: it can't be read, is no TOML, or a key is unknown or wrong; the sentence
            names the file, the line and the key.
    """
    place = Path(path)
    try:
        text = place.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise UserError(f"The scenario {place} can't be read: {error.strerror}.") from None
    except UnicodeDecodeError as error:
        raise UserError(f"The scenario {place} is no UTF-8: {error.reason}.") from None
    return _beside(place, parse(text, str(place)))


def parse(text: str, name: str = "scenario") -> Scenario:
    """Read a scenario from its text; ``name`` stands in errors. Raises UserError."""
    try:
        tables = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise UserError(f"{name} is no TOML: {error}.") from None
    except (ValueError, RecursionError):  # Python's own bounds
        raise UserError(f"{name} has a number too long or lists too deep to be read.") from None
    where = lines.of_keys(text)

    def wrong(key: str, what: str) -> UserError:
        return UserError(f"{name}, line {where.get(key, 1)}: {key} {what}.")

    made: dict[str, Any] = {}
    for key, value in tables.items():
        if key in TABLES:
            if not isinstance(value, dict):
                raise wrong(key, "is a table of keys")
            made[key] = _table(key, value, wrong)
        elif key == "adversary":
            if not isinstance(value, dict):
                raise wrong(key, "is a table of keys")
            made[key] = _adversary(value, wrong)
        elif key in ("question", "tier", "seeds"):
            made[key] = _value(Scenario, key, key, value, wrong)
        elif key == "show":
            if not isinstance(value, list) or not all(isinstance(each, str) for each in value):
                raise wrong(key, 'is a list of metrics, as ["sender_entropy_bits"]')
            made[key] = tuple(value)
        elif key != "sweep":
            known = ", ".join([*(f.name for f in fields(Scenario))])
            raise wrong(key, f"is unknown; there are {known}")
    if not made.get("question", "").strip():
        raise UserError(f"{name}: question is missing; say in a sentence what is asked.")
    scenario = Scenario(**made)
    scenario = replace(scenario, sweep=_sweep(scenario, tables.get("sweep", {}), wrong))
    _of_its_tier(scenario, wrong)
    _of_its_adversary(scenario, wrong)
    return scenario


def _beside(place: Path, scenario: Scenario) -> Scenario:
    """Return the scenario with files that it names found beside its own."""
    folder = place.resolve().parent

    def found(file: str) -> str:
        return str(folder / file) if file else ""

    sweep = tuple(
        (key, tuple(map(found, values)) if key == "links.file" else values)
        for key, values in scenario.sweep
    )
    links = replace(scenario.links, file=found(scenario.links.file))
    return replace(scenario, links=links, sweep=sweep)


def _of_its_tier(scenario: Scenario, wrong: Any) -> None:
    """Refuse keys that the scenario's tier would pass over."""
    for name, tiers in _OF.items():
        if scenario.tier in tiers:
            continue
        section, _, key = name.partition(".")
        said = f'is of the tier{"s" * (len(tiers) > 1)} {", ".join(tiers)}, and tier is "{{}}"'
        if getattr(getattr(scenario, section), key) != getattr(TABLES[section](), key):
            raise wrong(name, said.format(scenario.tier))
        if name in dict(scenario.sweep):
            raise wrong(f"sweep.{name}", said.format(scenario.tier))


def _of_its_adversary(scenario: Scenario, wrong: Any) -> None:
    """Refuse keys that the adversary, or all that are swept, don't take."""
    swept = dict(scenario.sweep)
    given = {key: [("adversary." + key, value)] for key, value in scenario.adversary.keys}
    for place, values in swept.items():
        section, _, key = place.partition(".")
        if section == "adversary" and key != "name":
            given.setdefault(key, []).extend((f"sweep.{place}", value) for value in values)
    names = swept.get("adversary.name", (scenario.adversary.name,))
    where = "sweep.adversary.name" if "adversary.name" in swept else "adversary.name"
    for name in names:
        if name == "none":
            continue
        if name not in registry.names():
            raise wrong(where, f"is one of {', '.join(registry.names())}, not {name!r}")
        for key, there in given.items():
            for place, value in there:
                if fault := registry.fault(name, key, value):
                    raise wrong(place, fault)
    if set(names) == {"none"} and given:
        place = next(iter(given.values()))[0][0]
        raise wrong(place, "is a key of no adversary, as adversary.name is none")
    for one in dict.fromkeys(one.adversary for _, one in scenario.configurations()):
        if one.name != "none":
            try:
                registry.make(one.name, **dict(one.keys))
            except UserError as error:
                raise wrong("adversary", f"is wrong: {error}".removesuffix(".")) from None


def _table(name: str, table: Mapping[str, Any], wrong: Any) -> Any:
    kind = TABLES[name]
    known = [f.name for f in fields(kind)]
    for key in table:
        if key not in known:
            raise wrong(f"{name}.{key}", f"is unknown; [{name}] has {', '.join(known)}")
    return kind(
        **{key: _value(kind, key, f"{name}.{key}", value, wrong) for key, value in table.items()}
    )


def _adversary(table: Mapping[str, Any], wrong: Any) -> Adversary:
    keys: list[tuple[str, bool | int | float | str]] = []
    name = "none"
    for key, value in table.items():
        if key == "name":
            if not isinstance(value, str):
                raise wrong("adversary.name", "is a text")
            name = value
        elif isinstance(value, bool | int | float | str):
            keys.append((key, value))
        else:
            raise wrong(f"adversary.{key}", "is a number, a text, true or false")
    return Adversary(name, tuple(sorted(keys)))


def _sweep(scenario: Scenario, table: Any, wrong: Any) -> tuple[tuple[str, tuple[Any, ...]], ...]:
    if not isinstance(table, dict):
        raise wrong("sweep", "is a table of keys")
    found: list[tuple[str, tuple[Any, ...]]] = []
    for key, values in table.items():
        place = f"sweep.{key}"
        if not isinstance(values, list) or not values:
            raise wrong(place, f'is a list of values, as "{key}" = [1, 2]')
        section, _, last = key.partition(".")
        if section == "adversary" and last:
            for value in values:
                if not isinstance(value, str if last == "name" else bool | int | float | str):
                    raise wrong(place, f"has {shown(value)}, which is no value of {key}")
            checked = values
        elif section in TABLES and last in {f.name for f in fields(TABLES[section])}:
            checked = [_value(TABLES[section], last, key, value, wrong, place) for value in values]
        else:
            raise wrong(place, 'sweeps no key that there is; write it as "network.people"')
        if len(set(checked)) < len(checked):
            raise wrong(place, "has a value twice")
        found.append((key, tuple(checked)))
    if (count := math.prod(len(values) for _, values in found)) > MOST_CONFIGURATIONS:
        raise wrong(
            "sweep", f"makes {count:,} configurations, and {MOST_CONFIGURATIONS:,} are the most"
        )
    return tuple(found)


def _value(kind: type, key: str, name: str, value: Any, wrong: Any, place: str = "") -> Any:
    """Check one value by the type of its field; ``place`` is the key whose line is named."""
    place = place or name
    hint = get_type_hints(kind)[key]
    options = [each for each in get_args(hint) if each is not type(None)] or [hint]
    if get_origin(hint) is Literal:
        if value not in get_args(hint):
            raise wrong(
                place, f"is one of {', '.join(map(str, get_args(hint)))}, not {shown(value)}"
            )
        return value
    if str in options:
        if not isinstance(value, str):
            raise wrong(place, f"is a text, not {shown(value)}")
        return value
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if not number or (int in options and not isinstance(value, int)):
        raise wrong(place, f"is a {'whole ' if int in options else ''}number, not {shown(value)}")
    least, most = _RANGES[name]
    if not least <= value <= most:  # what is no number lies nowhere
        raise wrong(place, f"lies between {least:g} and {most:g}, and {shown(value)} does not")
    return value if int in options else float(value)


def _with(scenario: Scenario, name: str, value: Any) -> Scenario:
    section, _, key = name.partition(".")
    if section == "adversary":
        adversary = scenario.adversary
        if key == "name":
            return replace(scenario, adversary=replace(adversary, name=value))
        keys = {**dict(adversary.keys), key: value}
        return replace(scenario, adversary=replace(adversary, keys=tuple(sorted(keys.items()))))
    table = replace(getattr(scenario, section), **{key: value})
    return replace(scenario, **{section: table})


def _or(given: float | None, default: int) -> int:
    return default if given is None else round(given)


def _plain(value: Any) -> Any:
    """Return a value without what is absent, for files."""
    if isinstance(value, dict):
        return {key: _plain(each) for key, each in value.items() if each is not None}
    return value
