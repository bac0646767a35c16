"""Ratings of skill (JIGSAWS' OSATS/GRS, HeiChole): mean absolute error and rank correlation.

A prediction of None (not read) has no error, as a duration has none, and says nothing about the
order: in the correlation it stands in the middle of all ranks, so that leaving answers out pulls
the correlation towards 0 instead of hiding them.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from surgzoo.metrics import duration


def mean_absolute_error(truth: Sequence[float], prediction: Sequence[float | None]) -> float:
    """In points of the rating, over the answers that were read; NaN when none was."""
    return duration.mean_error(duration.errors(truth, prediction))


def spearman(truth: Sequence[float], prediction: Sequence[float | None]) -> float:
    """Spearman's rank correlation in [-1, 1]: Pearson's of the ranks, ties at their mean rank.

    NaN where either side has one value only (or fewer than two answers were read). Raises
    ValueError when the lengths differ.
    """
    if len(truth) != len(prediction):
        raise ValueError(f"{len(truth)} true ratings but {len(prediction)} predictions")
    read = np.array([value is not None for value in prediction], bool)
    if np.count_nonzero(read) < 2:
        return float("nan")
    wanted = ranks(np.asarray(truth, float))
    given = np.zeros(len(wanted))
    said = ranks(np.array([value for value in prediction if value is not None], float))
    given[read] = said - said.mean()
    wanted -= wanted.mean()
    length = np.sqrt(np.sum(wanted**2) * np.sum(given**2))
    return float(np.sum(wanted * given) / length) if length else float("nan")


def ranks(values: Float[np.ndarray, " N"]) -> Float[np.ndarray, " N"]:
    """1 for the smallest; equal values share the mean of their ranks."""
    _, place, count = np.unique(values, return_inverse=True, return_counts=True)
    return (np.cumsum(count) - (count - 1) / 2)[place]
