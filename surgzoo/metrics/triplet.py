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
"""

from __future__ import annotations

from collections.abc import Collection, Hashable, Iterable, Sequence

from surgzoo.metrics import multilabel
from surgzoo.metrics.classification import nanmean

# component -> places in (instrument, verb, target)
COMPONENTS = {"i": (0,), "v": (1,), "t": (2,), "iv": (0, 1), "it": (0, 2), "ivt": (0, 1, 2)}

Triplet = Sequence[Hashable]


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
