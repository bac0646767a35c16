"""One class against all others: area under the ROC curve, sensitivity, specificity, Youden's index.

A score may be any number; at a threshold t the class is said where the score is at least t. The
area is the share of pairs (one item with the class, one without) that are in the right order, ties
counting half (Hanley and McNeil, Radiology 1982). Youden's index is sensitivity + specificity - 1
(Cancer 1950). What has no item to be measured on is NaN.

A threshold that is chosen and judged on the same items flatters: choose it with `best` on
validation items and give it to `scores_by_class`.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

from surgzoo.metrics import bootstrap, ranking

_CHUNK = 64  # resamples at a time: the table of weights is that many times the items


class Point(NamedTuple):
    """What one threshold gives. `threshold` is inf where the class is never said."""

    threshold: float
    sensitivity: float
    specificity: float

    @property
    def youden(self) -> float:
        return self.sensitivity + self.specificity - 1


class Estimate(NamedTuple):
    """A value and its 95 % interval over operations; None where that is undefined."""

    value: float
    interval: tuple[float, float] | None


class ClassScores(NamedTuple):
    """One class. The intervals of the last three hold the threshold fixed."""

    positives: int  # items with the class
    threshold: float
    auroc: Estimate
    sensitivity: Estimate
    specificity: Estimate
    youden: Estimate


def auroc(truth: Bool[np.ndarray, " N"], scores: Float[np.ndarray, " N"]) -> float:
    """Area under the ROC curve; NaN without an item on either side. Raises as `ranking.check`."""
    truth, scores = _checked(truth, scores)
    return float(_Ranked(truth, scores).areas(np.ones((1, len(truth))))[0])


def at(truth: Bool[np.ndarray, " N"], scores: Float[np.ndarray, " N"], threshold: float) -> Point:
    """Sensitivity and specificity at a threshold. Raises as `ranking.check` does."""
    truth, scores = _checked(truth, scores)
    said = scores >= threshold
    return Point(
        float(threshold),
        _ratio(np.sum(said & truth), np.sum(truth)),
        _ratio(np.sum(~said & ~truth), np.sum(~truth)),
    )


def best(truth: Bool[np.ndarray, " N"], scores: Float[np.ndarray, " N"]) -> Point:
    """The point with the largest Youden index; of equal ones that with the highest threshold.

    Thresholds are the scores themselves, and inf. Raises ValueError without an item on either
    side, and as `ranking.check` does.
    """
    truth, scores = _checked(truth, scores)
    if truth.all() or not truth.any():
        raise ValueError(
            f"{int(truth.sum())} of {len(truth)} items have the class: no threshold can be chosen"
        )
    ranked = _Ranked(truth, scores)
    hits, false = (np.cumsum(x[0]) for x in ranked.sums(np.ones((1, len(truth)))))
    # `hits` and `false` count what lies up to a score, so what lies below the next higher one.
    missed, rejected = (np.concatenate([[0], x]) for x in (hits, false))
    index = (1 - missed / missed[-1]) + rejected / rejected[-1] - 1
    place = len(index) - 1 - int(np.argmax(index[::-1]))
    thresholds = np.append(ranked.values, np.inf)
    return at(truth, scores, thresholds[place])


def scores_by_class(
    truth: Bool[np.ndarray, "N C"],
    scores: Float[np.ndarray, "N C"],
    operations: Sequence[Hashable],
    thresholds: Sequence[float] | None = None,
    resamples: int = bootstrap.RESAMPLES,
    seed: int = 0,
) -> list[ClassScores]:
    """All of it for each class, with intervals by resampling whole operations.

    Args:
      truth: which of the items has which class.
      scores: as many.
      operations: the operation of each item.
      thresholds: one a class, from `best` on validation items. Without them each is chosen on
        these very items, and what it gives is too good by some. A class that has no item, or no
        item without it, cannot choose one: its threshold is NaN, and so is what hangs on it.
      resamples: of the bootstrap.
      seed: of its draws.

    Raises ValueError when lengths differ, and as `ranking.check` does.
    """
    truth, scores = ranking.check(truth, scores)
    if len(operations) != len(truth):
        raise ValueError(f"{len(operations)} operations for {len(truth)} items")
    if thresholds is not None and len(thresholds) != truth.shape[1]:
        raise ValueError(f"{len(thresholds)} thresholds for {truth.shape[1]} classes")
    group = _numbered(operations)
    out = []
    for number in range(truth.shape[1]):
        wanted, given = truth[:, number], scores[:, number]
        if thresholds is not None:
            threshold = float(thresholds[number])
        elif wanted.all() or not wanted.any():
            threshold = float("nan")
        else:
            threshold = best(wanted, given).threshold
        out.append(_of_class(wanted, given, group, threshold, resamples, seed))
    return out


def macro_auroc(
    truth: Bool[np.ndarray, "N C"],
    scores: Float[np.ndarray, "N C"],
    operations: Sequence[Hashable],
    asked: Bool[np.ndarray, "N C"] | None = None,
    resamples: int = bootstrap.RESAMPLES,
    seed: int = 0,
) -> Estimate:
    """Mean of the classes' areas, those left out that have none; so in every resample.

    `asked` says which items count for which class, by default all. Raises as `scores_by_class`.
    """
    truth, scores = ranking.check(truth, scores)
    if len(operations) != len(truth):
        raise ValueError(f"{len(operations)} operations for {len(truth)} items")
    asked = np.ones_like(truth) if asked is None else asked
    group, groups = _numbered(operations), len(set(operations))
    if not groups:
        return Estimate(float("nan"), None)
    classes = [
        (_Ranked(truth[mine, number], scores[mine, number]), group[mine])
        for number, mine in enumerate(asked.T)
    ]

    def mean(counts: Float[np.ndarray, "R G"]) -> Float[np.ndarray, " R"]:
        areas = np.stack([_areas(ranked, counts, of) for ranked, of in classes])
        known = ~np.isnan(areas)
        total, number = np.where(known, areas, 0.0).sum(axis=0), known.sum(axis=0)
        return np.divide(total, number, out=np.full(len(counts), np.nan), where=number > 0)

    value = float(mean(np.ones((1, groups)))[0])
    return Estimate(value, bootstrap.resampled(mean, groups, resamples, seed))


def _numbered(operations: Sequence[Hashable]) -> Int[np.ndarray, " N"]:
    place = {name: number for number, name in enumerate(dict.fromkeys(operations))}
    return np.array([place[name] for name in operations], int)


def _areas(
    ranked: _Ranked, counts: Float[np.ndarray, "R G"], group: Int[np.ndarray, " N"]
) -> Float[np.ndarray, " R"]:
    """The area of each resample, given how often it holds each operation."""
    parts = range(0, len(counts), _CHUNK)
    return np.concatenate([ranked.areas(counts[i : i + _CHUNK, group]) for i in parts])


def _of_class(truth, scores, group, threshold, resamples, seed) -> ClassScores:
    groups = int(group.max(initial=-1)) + 1
    ranked = _Ranked(truth, scores)

    def tally(right: np.ndarray, among: np.ndarray) -> Float[np.ndarray, "G 1 2"]:
        sums = [np.bincount(group, weights=x, minlength=groups) for x in (right & among, among)]
        return np.stack(sums, axis=-1)[:, None]

    said = scores >= threshold
    sensitivity, specificity = tally(said, truth), tally(~said, ~truth)
    if np.isnan(threshold):
        sensitivity, specificity = (np.zeros_like(t) for t in (sensitivity, specificity))

    def index(counts: Float[np.ndarray, "R G"]) -> Float[np.ndarray, " R"]:
        parts = [bootstrap.value(np.tensordot(counts, t, 1)) for t in (sensitivity, specificity)]
        return parts[0] + parts[1] - 1

    def estimate(function) -> Estimate:
        if not groups:
            return Estimate(float("nan"), None)
        value = float(function(np.ones((1, groups)))[0])
        return Estimate(value, bootstrap.resampled(function, groups, resamples, seed))

    return ClassScores(
        int(truth.sum()),
        threshold,
        estimate(lambda counts: _areas(ranked, counts, group)),
        estimate(lambda counts: bootstrap.value(np.tensordot(counts, sensitivity, 1))),
        estimate(lambda counts: bootstrap.value(np.tensordot(counts, specificity, 1))),
        estimate(index),
    )


class _Ranked:
    """Items in the order of their scores, sorted once for all resamples."""

    def __init__(self, truth: Bool[np.ndarray, " N"], scores: Float[np.ndarray, " N"]):
        self.order = np.argsort(scores, kind="stable")
        self.truth = truth[self.order]
        ranked = scores[self.order]
        self.starts = np.flatnonzero(np.diff(ranked, prepend=np.nan) != 0)  # of equal scores
        self.values = ranked[self.starts]

    def sums(
        self, weights: Float[np.ndarray, "R N"]
    ) -> tuple[Float[np.ndarray, "R S"], Float[np.ndarray, "R S"]]:
        """Weight of the items with and without the class at each score, the lowest first."""
        weights = weights[:, self.order]
        with_it = np.add.reduceat(weights * self.truth, self.starts, axis=1)
        return with_it, np.add.reduceat(weights * ~self.truth, self.starts, axis=1)

    def areas(self, weights: Float[np.ndarray, "R N"]) -> Float[np.ndarray, " R"]:
        """The area for each row of weights of the items; NaN where one side weighs nothing."""
        if not len(self.starts):
            return np.full(len(weights), np.nan)
        with_it, without = self.sums(weights)
        below = np.cumsum(without, axis=1) - without / 2
        pairs = with_it.sum(axis=1) * without.sum(axis=1)
        won = (with_it * below).sum(axis=1)
        return np.divide(won, pairs, out=np.full(len(won), np.nan), where=pairs > 0)


def _ratio(above: int, below: int) -> float:
    return float(above / below) if below else float("nan")


def _checked(truth: np.ndarray, scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    truth, scores = ranking.check(np.asarray(truth)[:, None], np.asarray(scores)[:, None])
    return truth[:, 0], scores[:, 0]
