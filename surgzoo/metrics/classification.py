"""One label a frame: accuracy, precision, recall, Jaccard and F1, pooled and video by video.

A prediction may be any hashable value; None (unparsed) and labels outside `classes` are wrong, they
stand in the last column of the confusion matrix and are nobody's false positive. All values are
fractions in [0, 1]. None is relaxed: a frame at a phase boundary counts as any other frame.

Two conventions are in use for phases, and both are here because they differ by points:
  pooled      all frames of all videos in one matrix, then the mean over classes
  video-wise  a matrix a video, and from there `phases.py` (Cholec80, m2cai16, AutoLaparo)
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int


class PerClass(NamedTuple):
    """One value a class. NaN (0 for `support`) where the truth never has the class."""

    precision: Float[np.ndarray, " C"]
    recall: Float[np.ndarray, " C"]
    jaccard: Float[np.ndarray, " C"]
    f1: Float[np.ndarray, " C"]
    support: Int[np.ndarray, " C"]  # frames of the class in the truth


class Macro(NamedTuple):
    """Means over the classes that are in the truth."""

    precision: float
    recall: float
    jaccard: float
    f1: float


def confusion(
    truth: Sequence[Hashable], prediction: Sequence[Hashable], classes: Sequence[Hashable]
) -> Int[np.ndarray, "C C+1"]:
    """Counts: row = true class, column = predicted class, last column = any other prediction.

    Raises ValueError when the lengths differ or a true label is not among `classes`.
    """
    if len(truth) != len(prediction):
        raise ValueError(f"{len(truth)} true labels but {len(prediction)} predictions")
    place = {name: index for index, name in enumerate(classes)}
    unknown = sorted({str(name) for name in truth if name not in place})
    if unknown:
        raise ValueError(f"true label {', '.join(unknown)} is not among the classes {list(place)}")
    matrix = np.zeros((len(place), len(place) + 1), np.int64)
    rows = [place[name] for name in truth]
    columns = [place.get(name, len(place)) for name in prediction]
    np.add.at(matrix, (rows, columns), 1)
    return matrix


def accuracy(matrix: Int[np.ndarray, "C C+1"]) -> float:
    """Share of frames on the diagonal. NaN when there is no frame."""
    total = matrix.sum()
    return float(np.trace(matrix) / total) if total else float("nan")


def per_class(matrix: Int[np.ndarray, "C C+1"]) -> PerClass:
    """Rates of each class in the truth. The precision of a class never predicted is 0."""
    hits = np.diag(matrix).astype(float)
    support = matrix.sum(axis=1)
    predicted = matrix[:, :-1].sum(axis=0)
    present = support > 0

    def ratio(denominator):
        value = hits / np.maximum(denominator, 1)
        return np.where(present, value, np.nan)

    return PerClass(
        precision=ratio(predicted),
        recall=ratio(support),
        jaccard=ratio(support + predicted - hits),
        f1=2 * ratio(support + predicted),
        support=support,
    )


def macro(matrix: Int[np.ndarray, "C C+1"]) -> Macro:
    """Mean over classes with support. NaN when there is no frame."""
    return Macro(*(nanmean(values) for values in per_class(matrix)[:4]))


def by_video(
    truth: Sequence[Hashable],
    prediction: Sequence[Hashable],
    videos: Sequence[Hashable],
    classes: Sequence[Hashable],
) -> Int[np.ndarray, "V C C+1"]:
    """A confusion matrix a video, in order of first appearance. Raises as `confusion` does."""
    if not len(truth) == len(prediction) == len(videos):
        raise ValueError(f"lengths {len(truth)}, {len(prediction)}, {len(videos)} differ")
    frames: dict[Hashable, list[int]] = {}
    for index, video in enumerate(videos):
        frames.setdefault(video, []).append(index)
    matrices = [
        confusion([truth[i] for i in rows], [prediction[i] for i in rows], classes)
        for rows in frames.values()
    ]
    return np.stack(matrices) if matrices else np.zeros((0, len(classes), len(classes) + 1), int)


def nanmean(values) -> float:
    """Mean of the values that are not NaN; NaN, without a warning, when there is none."""
    values = np.asarray(values, float)
    values = values[~np.isnan(values)]
    return float(values.mean()) if values.size else float("nan")
