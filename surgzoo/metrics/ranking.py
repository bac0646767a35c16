"""Answers with scores: average precision of each class, its mean, and top-k.

A score is a confidence in [0, 1], one for each item (frame) and class; only the order of the scores
of one class matters. Average precision is the area under the steps of the precision-recall curve,

    AP = sum over thresholds of (recall_n - recall_(n-1)) * precision_n,

without interpolation, items of one score entering together (scikit-learn's
`average_precision_score`; "AP" of Cholec80's and m2cai16's tool presence, Endoscapes' CVS and
ivtmetrics). It differs from VOC's and COCO's interpolated AP.

A class without a positive item has no AP: NaN, left out of every mean. scikit-learn's versions
answer NaN, -0.0 or 0.0 there.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float

from surgzoo.metrics.classification import nanmean


def average_precision(truth: Bool[np.ndarray, " N"], scores: Float[np.ndarray, " N"]) -> float:
    """AP of one class in [0, 1]; NaN without a positive item. Raises as `check` does."""
    return float(average_precisions(np.asarray(truth)[:, None], np.asarray(scores)[:, None])[0])


def average_precisions(
    truth: Bool[np.ndarray, "N C"], scores: Float[np.ndarray, "N C"]
) -> Float[np.ndarray, " C"]:
    """AP of each class; NaN for a class without a positive item. Raises as `check` does."""
    truth, scores = check(truth, scores)
    found = np.full(truth.shape[1], np.nan)
    for place in np.flatnonzero(truth.any(axis=0)):
        order = np.argsort(-scores[:, place], kind="stable")
        ranked = scores[order, place]
        last = np.append(np.flatnonzero(np.diff(ranked)), len(ranked) - 1)  # of each score
        hits = np.cumsum(truth[order, place])[last]
        gained = np.diff(hits, prepend=0) / hits[-1]
        found[place] = np.sum(gained * hits / (last + 1))
    return found


def mean_average_precision(
    truth: Bool[np.ndarray, "N C"], scores: Float[np.ndarray, "N C"]
) -> float:
    """Mean AP over the classes with a positive item; NaN when there is none."""
    return nanmean(average_precisions(truth, scores))


def top_k(truth: Bool[np.ndarray, "N C"], scores: Float[np.ndarray, "N C"], k: int) -> float:
    """Share of all true labels that are among the `k` highest scores of their item.

    With one true label an item it is top-k accuracy; with several ivtmetrics' `topK`. Of equal
    scores the earlier class comes first. NaN when nothing is true. Raises ValueError for k < 1.
    """
    truth, scores = check(truth, scores)
    if k < 1:
        raise ValueError(f"top-k needs k of at least 1, not {k}")
    if not truth.any():
        return float("nan")
    first = np.argsort(-scores, axis=1, kind="stable")[:, :k]
    return float(np.take_along_axis(truth, first, axis=1).sum() / truth.sum())


def check(
    truth: np.ndarray, scores: np.ndarray
) -> tuple[Bool[np.ndarray, "N C"], Float[np.ndarray, "N C"]]:
    """Both as arrays. Raises ValueError where shapes differ or a score is no number."""
    truth, scores = np.asarray(truth, bool), np.asarray(scores, float)
    if truth.shape != scores.shape or truth.ndim != 2:
        raise ValueError(f"truth {truth.shape} and scores {scores.shape} are not one [N, C] each")
    if np.isnan(scores).any():
        raise ValueError(f"{int(np.isnan(scores).sum())} scores are NaN; give 0 for 'not at all'")
    return truth, scores
