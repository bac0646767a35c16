"""Uncertainty by operation: bootstrap intervals, and tests between two models on the same videos.

Frames of one operation are alike, so whole operations are drawn, not frames. A metric that is a
ratio of sums (or a mean of several ratios: accuracy over criteria) is given by its *tally*: a
numerator and a denominator for each operation and part,

    value = mean over parts of (sum of numerators / sum of denominators),

so that a thousand resamples are one product of matrices. `resampled` takes any other function.
Everything is seeded: the same file gives the same interval.
"""

from __future__ import annotations

import itertools
import statistics
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

RESAMPLES = 1000
LEVEL = 0.95
EXACT_GROUPS = 12  # up to so many operations all 2**n exchanges are tried, not a sample of them

_NORMAL = statistics.NormalDist()


def value(tally: Float[np.ndarray, "*R K 2"]) -> Float[np.ndarray, " *R"]:
    """The metric of summed tallies; NaN where every part is 0 / 0."""
    above, below = tally[..., 0], tally[..., 1]
    ratio = np.divide(above, below, out=np.full(above.shape, np.nan), where=below != 0)
    known = ~np.isnan(ratio)
    count = known.sum(axis=-1)
    total = np.where(known, ratio, 0.0).sum(axis=-1)
    return np.divide(total, count, out=np.full(count.shape, np.nan), where=count > 0)


def draws(groups: int, resamples: int = RESAMPLES, seed: int = 0) -> Int[np.ndarray, "R G"]:
    """How often each of `groups` operations is in each resample; rows sum to `groups`."""
    rng = np.random.default_rng(seed)
    return rng.multinomial(groups, np.full(groups, 1 / groups), size=resamples)


def interval(
    tallies: Float[np.ndarray, "G K 2"], resamples: int = RESAMPLES, seed: int = 0
) -> tuple[float, float] | None:
    """95 % interval of a ratio of sums, by `resampled`."""
    groups = len(tallies)

    def of(counts: Float[np.ndarray, "R G"]) -> Float[np.ndarray, " R"]:
        return value(np.tensordot(counts, tallies, axes=1))

    return resampled(of, groups, resamples, seed)


def resampled(
    function: Callable[[np.ndarray], np.ndarray],
    groups: int,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> tuple[float, float] | None:
    """95 % interval of any metric: bias-corrected and accelerated (BCa; Efron, JASA 1987).

    Args:
      function: [R, G] counts of each operation -> the metric [R] of these weighted operations.
      groups: the number of operations G.

    Values that are NaN (a resample without a positive, say) are left out. None when the metric is
    undefined on the data itself or on more than half of the resamples. Where all resamples lie on
    one side of the value, or leaving one operation out changes nothing, the plain percentiles.
    """
    whole = float(function(np.ones((1, groups)))[0])
    found = function(draws(groups, resamples, seed))
    found = np.sort(found[~np.isnan(found)])
    if np.isnan(whole) or 2 * len(found) < resamples:
        return None
    low, high = (1 - LEVEL) / 2, (1 + LEVEL) / 2
    # Ties with the value itself count half: a metric that moves in steps is not biased by them.
    below = (np.mean(found < whole) + np.mean(found <= whole)) / 2
    left_out = function(np.ones((groups, groups)) - np.eye(groups))
    left_out = left_out[~np.isnan(left_out)]
    spread = left_out.mean() - left_out if len(left_out) else left_out
    power = float((spread**2).sum())
    if 0 < below < 1 and power > 0:
        bias = _NORMAL.inv_cdf(float(below))
        bend = float((spread**3).sum()) / (6 * power**1.5)
        low, high = (_adjusted(share, bias, bend) for share in (low, high))
    return tuple(float(v) for v in np.quantile(found, (low, high)))


def _adjusted(share: float, bias: float, bend: float) -> float:
    point = bias + _NORMAL.inv_cdf(share)
    return _NORMAL.cdf(bias + point / max(1 - bend * point, 1e-9))


class Paired(NamedTuple):
    """How much better the first of two models is.

    `p` is two-sided, of the hypothesis that for each operation the two could be exchanged.
    """

    difference: float
    interval: tuple[float, float] | None
    p: float


def paired(
    first: Float[np.ndarray, "G K 2"],
    second: Float[np.ndarray, "G K 2"],
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Paired | None:
    """Compares two models on the same operations, whose tallies stand in the same order.

    The interval is the bootstrap of the difference. The test exchanges the two models' tallies
    operation by operation: all 2**G ways for few operations, else a seeded sample (the observed one
    counted in, so that p is never 0). None when either value is undefined. Raises ValueError when
    the shapes differ.
    """
    if first.shape != second.shape:
        raise ValueError(f"tallies of shape {first.shape} against {second.shape}")
    groups = len(first)
    gap = float(value(first.sum(axis=0)) - value(second.sum(axis=0)))
    if np.isnan(gap):
        return None

    def of(counts: np.ndarray) -> np.ndarray:
        sums = (np.tensordot(counts, side, axes=1) for side in (first, second))
        return np.subtract(*(value(side) for side in sums))

    swaps = _swaps(groups, resamples, seed)
    total, apart = first.sum(axis=0), second - first
    moved = np.tensordot(swaps, apart, axes=1)  # what exchanging some operations adds to the first
    gaps = value(total + moved) - value(second.sum(axis=0) - moved)
    gaps = gaps[~np.isnan(gaps)]
    extreme = int((np.abs(gaps) >= abs(gap) - 1e-12).sum())
    exact = groups <= EXACT_GROUPS
    p = extreme / len(gaps) if exact else (1 + extreme) / (1 + len(gaps))
    return Paired(gap, resampled(of, groups, resamples, seed), p)


def _swaps(groups: int, resamples: int, seed: int) -> Float[np.ndarray, "R G"]:
    if groups <= EXACT_GROUPS:
        return np.array(list(itertools.product((0.0, 1.0), repeat=groups)))
    rng = np.random.default_rng([seed, 1])  # not the draws of the interval
    return rng.integers(0, 2, (resamples, groups)).astype(float)


def holm(values: Sequence[float]) -> list[float]:
    """p-values adjusted for testing all of them (Holm, 1979), in the given order."""
    order = sorted(range(len(values)), key=lambda i: values[i])
    out, highest = [0.0] * len(values), 0.0
    for rank, place in enumerate(order):
        highest = max(highest, min(1.0, (len(values) - rank) * values[place]))
        out[place] = highest
    return out
