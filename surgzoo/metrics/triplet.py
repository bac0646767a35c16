"""Surgical action triplets (instrument, verb, target): F1 and average precision of six components.

F1 compares sets of predicted and true triplets, or of their parts, frame by frame
(`multilabel.py`).

Average precision is that of ivtmetrics (Nwoye & Padoy, "Data splits and metrics for method
benchmarking on surgical action triplet datasets", arXiv 2204.05235): for each class and video the
area under the precision-recall steps, NaN where the video's truth lacks the class, the mean over
videos, then over classes. A language model gives no scores, only sets: score 1 for what it says and
0 for the rest. The curve then has two steps and the area a closed form,

    AP = recall * precision + (1 - recall) * prevalence,

which is what scikit-learn's `average_precision_score` returns for 0/1 scores of a class with at
least one positive. (For a class without positives its versions differ: NaN, -0.0 or 0.0, which
moves ivtmetrics' mean by tens of points. Here the class is left out.) The second term is what
ranking the remaining frames at random would earn: a silent model scores the prevalence, not 0.

All triplets of the truth count, those with a null verb or null target as well (the 100 classes of
CholecT50; ivtmetrics' `ignore_null` is off by default too).

With scores (a table [frames, triplet classes]) the parts get theirs as ivtmetrics' `Disentangle`
gives them: a part's score is the highest of the triplets that hold it, and so is its truth.
`scored_video_ap` is `compute_video_AP`, `scored_global_ap` is `compute_global_AP` (one curve over
all frames), `scored_top_k` is `topK`. No number here depends on a version of scikit-learn. Those in
print do; for a class without positives it gave ivtmetrics
  NaN   (1.0.2 and before): left out, `absent="left_out"`, the default
  -0.0  (1.1.1): left out by ivtmetrics since it has `resolve_nan`, counted as 0 before
  0.0   (1.7.2): counted as 0, `absent="zero"`
The two versions of one model were published as 21.9 and 8.5, and as 0.87 and 0.24
(CAMMA-public/rendezvous#4, ivtmetrics#3, #11).
"""

from __future__ import annotations

from collections.abc import Collection, Hashable, Iterable, Sequence
from typing import Literal

import numpy as np
from jaxtyping import Bool, Float

from surgzoo.metrics import multilabel, ranking
from surgzoo.metrics.classification import nanmean

# component -> places in (instrument, verb, target)
COMPONENTS = {"i": (0,), "v": (1,), "t": (2,), "iv": (0, 1), "it": (0, 2), "ivt": (0, 1, 2)}

Triplet = Sequence[Hashable]
Absent = Literal["left_out", "zero"]  # what a class counts that a truth lacks

NULL_VERB = "null verb"
TOP = (5, 10, 15, 20)  # of the top-k that are reported


def component(triplets: Iterable[Triplet] | None, name: str) -> set[tuple] | None:
    """The parts of a set of triplets; None stays None. Raises KeyError for an unknown component."""
    places = COMPONENTS[name]
    if triplets is None:
        return None
    return {tuple(triplet[place] for place in places) for triplet in triplets}


def counts(
    truth: Sequence[Collection[Triplet]],
    prediction: Sequence[Collection[Triplet] | None],
    name: str = "ivt",
) -> multilabel.Counts:
    """Counts of one component, for `multilabel.micro` and `multilabel.macro`."""
    return multilabel.counts(
        [component(triplets, name) for triplets in truth],
        [component(triplets, name) for triplets in prediction],
    )


def video_ap(
    truth: Sequence[Collection[Triplet]],
    prediction: Sequence[Collection[Triplet] | None],
    videos: Sequence[Hashable],
    name: str = "ivt",
) -> tuple[dict[tuple, float], float]:
    """Average precision of each class that is in the truth (mean over its videos), and their mean.

    The mean is NaN when no class is in the truth. Raises ValueError when the lengths differ.
    """
    if not len(truth) == len(prediction) == len(videos):
        raise ValueError(f"lengths {len(truth)}, {len(prediction)}, {len(videos)} differ")
    frames: dict[Hashable, list[int]] = {}
    for index, video in enumerate(videos):
        frames.setdefault(video, []).append(index)
    values: dict[tuple, list[float]] = {}
    for rows in frames.values():
        counted = counts([truth[i] for i in rows], [prediction[i] for i in rows], name)
        for label in counted.present:
            tp, fp, fn = counted.tp[label], counted.fp[label], counted.fn[label]
            values.setdefault(label, []).append(hard_ap(tp, fp, fn, len(rows)))
    classes = {label: nanmean(over_videos) for label, over_videos in values.items()}
    return classes, nanmean(list(classes.values()))


def hard_ap(tp: int, fp: int, fn: int, frames: int) -> float:
    """Average precision of one class from 0/1 scores; NaN when the class has no positive frame."""
    positives = tp + fn
    if positives == 0:
        return float("nan")
    recall, precision = tp / positives, tp / max(tp + fp, 1)
    return recall * precision + (1 - recall) * positives / frames


# ---- with scores ---------------------------------------------------------------------------------


def extract(
    table: np.ndarray, triplets: Sequence[Triplet], name: str
) -> tuple[np.ndarray, list[tuple]]:
    """A table [F, C] of triplets as one of a component [F, K], and its classes.

    A class has the highest value of the triplets that hold it. Classes are in order of their first
    triplet. Raises KeyError for an unknown component.
    """
    parts = [tuple(triplet[place] for place in COMPONENTS[name]) for triplet in triplets]
    classes = list(dict.fromkeys(parts))
    if len(classes) == len(parts):
        return table, classes
    place = {label: number for number, label in enumerate(classes)}
    numbers = np.array([place[part] for part in parts], int)
    order = np.argsort(numbers, kind="stable")
    first = np.searchsorted(numbers[order], np.arange(len(classes)))  # of each class
    return np.maximum.reduceat(np.asarray(table)[:, order], first, axis=1), classes


def scored_global_ap(
    truth: Bool[np.ndarray, "F C"],
    scores: Float[np.ndarray, "F C"],
    triplets: Sequence[Triplet],
    name: str = "ivt",
    *,
    ignore_null: bool = False,
    absent: Absent = "left_out",
) -> tuple[dict[tuple, float], float]:
    """All frames of all videos in one curve a class: AP of each class, and the mean.

    `ignore_null` leaves triplets with a null verb out of IVT, and of nothing else (ivtmetrics drops
    the last six classes, which are these). Raises ValueError where shapes do not fit, KeyError for
    an unknown component.
    """
    videos = ["all"] * len(truth)
    return scored_video_ap(
        truth, scores, videos, triplets, name, ignore_null=ignore_null, absent=absent
    )


def scored_video_ap(
    truth: Bool[np.ndarray, "F C"],
    scores: Float[np.ndarray, "F C"],
    videos: Sequence[Hashable],
    triplets: Sequence[Triplet],
    name: str = "ivt",
    *,
    ignore_null: bool = False,
    absent: Absent = "left_out",
) -> tuple[dict[tuple, float], float]:
    """A curve for each class and video, mean over videos: AP of each class, and the mean.

    `ignore_null` and errors as in `scored_global_ap`.
    """
    truth, scores = _checked(truth, scores, triplets)
    if len(videos) != len(truth):
        raise ValueError(f"{len(truth)} frames but {len(videos)} names of videos")
    wanted, classes = extract(truth, triplets, name)
    given, _ = extract(scores, triplets, name)
    frames: dict[Hashable, list[int]] = {}
    for index, video in enumerate(videos):
        frames.setdefault(video, []).append(index)
    table = np.array(
        [ranking.average_precisions(wanted[rows], given[rows]) for rows in frames.values()]
    ).reshape(-1, len(classes))
    if absent == "zero":
        table = np.nan_to_num(table)
    kept = {
        label: nanmean(column)
        for label, column in zip(classes, table.T, strict=True)
        if not (ignore_null and name == "ivt" and label[1] == NULL_VERB)
    }
    return kept, nanmean(list(kept.values()))


def scored_top_k(
    truth: Bool[np.ndarray, "F C"],
    scores: Float[np.ndarray, "F C"],
    triplets: Sequence[Triplet],
    k: int,
    name: str = "ivt",
) -> float:
    """Share of the true classes that are among the `k` highest scores of their frame; NaN for none.

    Of equal scores the earlier class comes first (ivtmetrics leaves it to the sort).
    """
    wanted, given = (
        extract(table, triplets, name)[0] for table in _checked(truth, scores, triplets)
    )
    return ranking.top_k(wanted, given, k)


def _checked(
    truth: np.ndarray, scores: np.ndarray, triplets: Sequence[Triplet]
) -> tuple[np.ndarray, np.ndarray]:
    truth, scores = ranking.check(truth, scores)
    if truth.shape[1] != len(triplets):
        raise ValueError(f"a table of {truth.shape[1]} classes but {len(triplets)} triplets")
    return truth, scores
