"""Can windows of a line's packets be told apart? Features, a classifier, its AUC, how sure.

::

    times of packets, one way ──► windows of 50 gaps ──► features: count, gaps, autocorrelation
                                                              │
        nodes × time cut in folds: tested on nodes and times that were not trained on
                                                              ▼
        logistic regression ──► AUC of each fold, their mean
                          95 % interval: whole (node, block) clusters drawn anew, 1,000 times

Windows of one node in one block are alike, so clusters are drawn, not windows. Scores of
different folds come of different fits, so each fold has its own AUC.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

GAPS: Final = 50  # of a window
LAGS: Final = 5  # of autocorrelation
BINS: Final = 10  # of a window, whose counts' dispersion is taken
SHORT_S: Final = (0.0005, 0.002, 0.01)  # gaps that are counted as short
NODE_FOLDS: Final = 5
RIDGE: Final = 1.0  # penalty on standardised coefficients
STEPS: Final = 25  # of Newton's method
RESAMPLES: Final = 1_000


@dataclass(frozen=True, slots=True)
class Windows:
    """Windows of one direction, one row each.

    ``features`` (n, k); ``chatting`` 0 or 1; ``node``; ``block``, the stretch of time.
    """

    features: Floats
    chatting: Ints
    node: Ints
    block: Ints

    @staticmethod
    def joined(parts: "Sequence[Windows]") -> "Windows":
        """All rows of all parts."""
        return Windows(
            np.concatenate([part.features for part in parts]),
            np.concatenate([part.chatting for part in parts]),
            np.concatenate([part.node for part in parts]),
            np.concatenate([part.block for part in parts]),
        )


@dataclass(frozen=True, slots=True)
class Verdict:
    """An area under the curve with the ends of its 95 % interval."""

    auc: float
    low: float
    high: float


def features_of(times: Floats, others: Sequence[Floats]) -> Floats:
    """Features of each whole window of one stretch of one line.

    Args:
        times: of packets in one direction, s, ascending.
        others: times of other segments, whose number in each window is a feature: packets
            the other way, what is no packet.

    Returns:
        (windows, features).
    """
    count = (len(times) - 1) // GAPS
    return np.array(
        [_window(times[n * GAPS : (n + 1) * GAPS + 1], others) for n in range(count)]
    ).reshape(count, -1)


def _window(times: Floats, others: Sequence[Floats]) -> list[float]:
    gaps = np.diff(times)
    logs = np.log(np.maximum(gaps, 1e-6))
    length = times[-1] - times[0]
    edges = np.linspace(times[0], times[-1], BINS + 1)
    binned = np.histogram(times, edges)[0]
    found = [np.log(length), gaps.std() / gaps.mean(), logs.mean(), logs.std()]
    found += list(np.quantile(logs, (0.0, 0.1, 0.25, 0.5, 0.75, 0.9, 1.0)))
    found += [float((gaps < short).mean()) for short in SHORT_S]
    found += [_correlation(gaps, lag) for lag in range(1, LAGS + 1)]
    found += [_correlation(logs, lag) for lag in range(1, LAGS + 1)]
    found.append(binned.var() / binned.mean())
    for other in others:
        first, last = np.searchsorted(other, (times[0], times[-1]))
        found.append(float(last - first))
    return [float(value) for value in found]


def _correlation(values: Floats, lag: int) -> float:
    rest = values - values.mean()
    whole = float(rest @ rest)
    return float(rest[lag:] @ rest[:-lag]) / whole if whole else 0.0


def auc(scores: Floats, truth: Ints) -> float:
    """How often a chatting window scores above an idle one; ties count half."""
    order = np.argsort(scores, kind="stable")
    ranks = np.empty(len(scores))
    ranks[order] = np.arange(1, len(scores) + 1)
    values, inverse = np.unique(scores, return_inverse=True)
    if len(values) < len(scores):
        ranks = (np.bincount(inverse, ranks) / np.bincount(inverse))[inverse]
    positive = int(truth.sum())
    negative = len(truth) - positive
    if not positive or not negative:
        return 0.5
    above = float(ranks[truth == 1].sum()) - positive * (positive + 1) / 2
    return above / (positive * negative)


def judge(windows: Windows, seed: int, resamples: int = RESAMPLES) -> Verdict:
    """Train and test over folds of nodes and time.

    Args:
        windows: of one direction. Nodes are grouped by twos, who talk with each other, so
            that no pair is both trained and tested on.
        seed: of the resampling.
        resamples: how often clusters are drawn anew.
    """
    middle = np.median(np.unique(windows.block))
    late = (windows.block > middle).astype(np.int64)
    group = (windows.node // 2) % NODE_FOLDS
    folds: list[tuple[Floats, Ints, Ints]] = []
    for half in (0, 1):
        for fold in range(NODE_FOLDS):
            train = (late != half) & (group != fold)
            test = (late == half) & (group == fold)
            cluster = windows.node[test] * 10_000 + windows.block[test]
            if not test.any() or len(np.unique(windows.chatting[train])) < 2:
                continue
            scores = _scores(windows.features, windows.chatting, train, test)
            folds.append((scores, windows.chatting[test], cluster))
    rng = np.random.default_rng(seed)
    drawn = np.sort([_mean_auc([_redrawn(fold, rng) for fold in folds]) for _ in range(resamples)])
    low, high = np.quantile(drawn, (0.025, 0.975))
    return Verdict(_mean_auc([fold[:2] for fold in folds]), float(low), float(high))


def _mean_auc(folds: Sequence[tuple[Floats, Ints]]) -> float:
    sizes = [len(truth) for _, truth in folds]
    return float(np.average([auc(*fold) for fold in folds], weights=sizes))


def _redrawn(fold: tuple[Floats, Ints, Ints], rng: np.random.Generator) -> tuple[Floats, Ints]:
    scores, truth, cluster = fold
    names, inverse = np.unique(cluster, return_inverse=True)
    rows = [np.flatnonzero(inverse == place) for place in range(len(names))]
    taken = np.concatenate([rows[place] for place in rng.integers(len(names), size=len(names))])
    return scores[taken], truth[taken]


def _scores(
    features: Floats, truth: Ints, train: NDArray[np.bool_], test: NDArray[np.bool_]
) -> Floats:
    mean = features[train].mean(axis=0)
    spread = features[train].std(axis=0)
    plain = np.clip((features - mean) / np.where(spread > 0, spread, 1.0), -5, 5)
    rows = np.hstack([np.ones((len(plain), 1)), plain])
    weights = _fit(rows[train], truth[train])
    return np.asarray(rows[test] @ weights, dtype=np.float64)


def _fit(rows: Floats, truth: Ints) -> Floats:
    """Logistic regression with a ridge on all but the constant, by Newton's method."""
    penalty = np.full(rows.shape[1], RIDGE)
    penalty[0] = 1e-6
    weights = np.zeros(rows.shape[1])
    for _ in range(STEPS):
        chance = 1 / (1 + np.exp(-np.clip(rows @ weights, -30, 30)))
        slope = rows.T @ (truth - chance) - penalty * weights
        bend = (rows * (chance * (1 - chance))[:, None]).T @ rows + np.diag(penalty)
        step = np.linalg.solve(bend, slope)
        weights = weights + step
        if float(np.abs(step).max()) < 1e-8:
            break
    return weights


def planted(times: Floats, share: float, rng: np.random.Generator) -> Floats:
    """Let a packet follow at once on a ``share`` of all: what a careless sender would do."""
    chosen = times[rng.random(len(times)) < share]
    return np.sort(np.concatenate([times, chosen + rng.uniform(1e-4, 1e-3, len(chosen))]))
