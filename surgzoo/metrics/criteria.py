"""Criteria that a frame meets or not (the critical view of safety): accuracy, balanced, mean AP.

Endoscapes2023 (arXiv 2312.12429): each criterion is the mean of three votes, met from 0.5 on; the
measure is mean AP over the criteria at frame level, balanced accuracy beside it. SurgVLM-Bench
reports the mean of the criteria's accuracies.

A prediction of None (not read) is wrong whatever is true. All values are fractions in [0, 1].
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Bool, Float

from surgzoo.metrics import classification, ranking
from surgzoo.metrics.classification import nanmean

MAJORITY = 0.5


def met(votes: Float[np.ndarray, "*shape"]) -> Bool[np.ndarray, "*shape"]:
    """Votes of several raters, their means in [0, 1], as met or not."""
    return np.asarray(votes, float) >= MAJORITY


def accuracy(truth: Sequence[bool], prediction: Sequence[bool | None]) -> float:
    """Share of right answers about one criterion; NaN when there is none."""
    return classification.accuracy(_matrix(truth, prediction))


def balanced_accuracy(truth: Sequence[bool], prediction: Sequence[bool | None]) -> float:
    """Mean recall of met and of not met; a side that never occurs is left out, NaN for none."""
    return classification.macro(_matrix(truth, prediction)).recall


def average_precision(votes: Sequence[float], scores: Sequence[float]) -> float:
    """AP of one criterion that is met where the votes say so; NaN where it never is."""
    return ranking.average_precision(met(votes), np.asarray(scores, float))


def mean_over(values: Mapping[str, float]) -> float:
    """Mean over criteria; those without a value (NaN) are left out."""
    return nanmean(list(values.values()))


def _matrix(truth: Sequence[bool], prediction: Sequence[bool | None]) -> np.ndarray:
    return classification.confusion(truth, prediction, (False, True))
