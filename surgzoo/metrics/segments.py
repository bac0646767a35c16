"""Runs of one label in a video: segmental F1@k and the edit score.

Frame accuracy forgives a flickering prediction; these two do not (Lea et al., "Temporal
Convolutional Networks for Action Segmentation and Detection", CVPR 2017, and the evaluation of
MS-TCN). A segment is a longest run of one label.

  F1@k   a predicted segment is right if the true segment of its label that it overlaps best has an
         IoU of at least k and was not taken by an earlier one; counts are summed over videos.
         Both sides without a segment: NaN. No hit: 0.
  edit   1 - Levenshtein distance of the two sequences of segment labels / the longer length, for
         each video, then the mean over videos. Both sequences empty: NaN.

A frame that nobody read (None) makes a segment that matches nothing. Labels of `background` make no
segment (MS-TCN's "background"; surgical sets have none). All values are fractions in [0, 1].
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Collection, Hashable, Iterable, Sequence
from typing import NamedTuple

import numpy as np

from surgzoo.metrics.classification import nanmean

OVERLAPS = (0.10, 0.25, 0.50)


class Segment(NamedTuple):
    """Frames start .. end - 1 of a sequence."""

    label: Hashable
    start: int
    end: int


class Counts(NamedTuple):
    """True positive, false positive and false negative segments."""

    tp: int
    fp: int
    fn: int


def segments(labels: Sequence[Hashable], background: Collection[Hashable] = ()) -> list[Segment]:
    """The longest runs of one label, in order."""
    starts = [i for i in range(len(labels)) if i == 0 or labels[i] != labels[i - 1]]
    return [
        Segment(labels[start], start, end)
        for start, end in itertools.pairwise([*starts, len(labels)])
        if labels[start] not in background
    ]


def counts(
    truth: Sequence[Hashable],
    prediction: Sequence[Hashable],
    overlap: float,
    background: Collection[Hashable] = (),
) -> Counts:
    """Segments of one video that match with an IoU of `overlap`. ValueError if lengths differ."""
    _same_length(truth, prediction)
    wanted, given = segments(truth, background), segments(prediction, background)
    of_label: dict[Hashable, list[int]] = {}
    for place, segment in enumerate(wanted):
        of_label.setdefault(segment.label, []).append(place)
    taken: set[int] = set()
    for segment in given:
        rivals = [] if segment.label is None else of_label.get(segment.label, [])
        best = max(rivals, key=lambda place: _iou(segment, wanted[place]), default=None)
        if best is not None and _iou(segment, wanted[best]) >= overlap:
            taken.add(best)  # a second one on the same is a false positive: it adds nothing
    return Counts(len(taken), len(given) - len(taken), len(wanted) - len(taken))


def f1(counted: Iterable[Counts]) -> float:
    """F1 of the summed counts of some videos; NaN when no side has a segment."""
    tp, fp, fn = np.sum([(0, 0, 0), *counted], axis=0)
    return float(2 * tp / (2 * tp + fp + fn)) if tp + fp + fn else float("nan")


def edit_score(
    truth: Sequence[Hashable],
    prediction: Sequence[Hashable],
    background: Collection[Hashable] = (),
) -> float:
    """Edit score of one video; NaN when neither side has a segment. ValueError as `counts`."""
    _same_length(truth, prediction)
    wanted = [segment.label for segment in segments(truth, background)]
    given = [segment.label for segment in segments(prediction, background)]
    longer = max(len(wanted), len(given))
    return 1 - levenshtein(wanted, given) / longer if longer else float("nan")


def mean_edit_score(values: Iterable[float]) -> float:
    """Mean over videos; NaN without one."""
    return nanmean(list(values))


def levenshtein(first: Sequence[Hashable], second: Sequence[Hashable]) -> int:
    """Fewest insertions, deletions and replacements that turn one sequence into the other.

    None equals nothing, not even None.
    """
    row = np.arange(len(second) + 1)
    names = {name: number for number, name in enumerate(dict.fromkeys([*first, *second]))}
    ids = np.array([-1 if name is None else names[name] for name in second], int)
    steps = np.arange(len(second) + 1)
    for number, name in enumerate(first, 1):
        wanted = -2 if name is None else names[name]
        best = np.minimum(row[:-1] + (ids != wanted), row[1:] + 1)
        best = np.concatenate([[number], best])
        row = np.minimum.accumulate(best - steps) + steps  # insertions, from left to right
    return int(row[-1])


def sar_rarp50(accuracy: float, f1_at_10: float) -> float:
    """Action score of SAR-RARP50 (arXiv 2401.00496): the geometric mean of the two."""
    return math.sqrt(accuracy * f1_at_10)


def _iou(one: Segment, other: Segment) -> float:
    """Of two runs; their hull is the union wherever they touch, and 0 is 0 elsewhere."""
    shared = max(0, min(one.end, other.end) - max(one.start, other.start))
    return shared / (max(one.end, other.end) - min(one.start, other.start))


def _same_length(truth: Sequence, prediction: Sequence) -> None:
    if len(truth) != len(prediction):
        raise ValueError(f"{len(truth)} true labels but {len(prediction)} predictions")
