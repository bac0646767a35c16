"""Phases of whole videos: strict, and relaxed by ten seconds in two versions.

The convention of Cholec80, m2cai16 and AutoLaparo: rates of each video and phase, phases that the
video's truth lacks left out (NaN), the mean over videos for each phase, then mean and deviation
over phases. Accuracy is a video's share of right frames, with mean and deviation over videos.
Deviations are those of MATLAB's `std` (n - 1; 0 for a single value).

  strict                every frame counts as it is. The MATLAB in circulation leaves out the
                        precision of a phase that is present but never predicted; here it is 0, so
                        that ignoring a phase cannot raise the mean.
  relaxed_as_intended   in the first (last) t seconds of a true segment the phase of the segment
                        before (after) it is right as well, for all phases alike. Such a frame
                        counts as predicted right, so no rate exceeds 1. "Neighbour" is what the
                        video's truth shows, not the next number.
  relaxed_as_published  what the MATLAB in circulation computes (`Evaluate.m` and `Main.m` of
                        TMRNet; the same in Surgformer, which adds F1), with all that it does
                        beside the intention:
                          neighbours are numbers: late -1, early +1; for the last four phases
                          early +2 as well, for the last two also late -2;
                          frames of other phases that are forgiven count as hits of the predicted
                          phase too, so that precision and recall exceed 1 and are clipped;
                          an early change in the last window is looked up there, but forgiven at
                          the same place of the *first* window (a mask of t frames that indexes the
                          whole segment), where it often changes nothing;
                          a phase that is present, never predicted and without hit has no precision
                          and no F1: left out, not 0.
                        It exists for 7 phases and, for m2cai16, 8.

The window is t seconds times the frames per second, in frames. A wrong rate is the usual error:
25 instead of 1 makes ten seconds four minutes and lifts the Jaccard index by twenty points.

A prediction of None or of a label that is not a class is wrong and nobody's neighbour. All values
are fractions in [0, 1].
"""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Hashable, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from surgzoo.metrics import classification
from surgzoo.metrics.classification import nanmean
from surgzoo.metrics.segments import segments

SECONDS = 10.0
PUBLISHED_COUNTS = (7, 8)  # numbers of phases that the MATLAB is written for
MEASURES = ("precision", "recall", "jaccard", "f1")


class Rates(NamedTuple):
    """One video. Rates of a phase that the truth lacks are NaN."""

    accuracy: float
    precision: Float[np.ndarray, " C"]
    recall: Float[np.ndarray, " C"]
    jaccard: Float[np.ndarray, " C"]
    f1: Float[np.ndarray, " C"]


class Spread(NamedTuple):
    """One measure over videos and phases, NaN left out of every mean.

    Attributes:
      mean: over phases, of their means over videos. phase_std: the deviation of the same (what
        papers print after Jaccard, precision and recall).
      video_std: deviation over videos, of their means over phases (after F1 in Surgformer).
      phases, phases_std: mean and deviation over videos of each phase.
      videos: mean over phases of each video.
    """

    mean: float
    phase_std: float
    video_std: float
    phases: Float[np.ndarray, " C"]
    phases_std: Float[np.ndarray, " C"]
    videos: Float[np.ndarray, " V"]


def strict(
    truth: Sequence[Hashable], prediction: Sequence[Hashable], classes: Sequence[Hashable]
) -> Rates:
    """Rates of one video. The precision of a phase that is present and never predicted is 0.

    Raises ValueError when the lengths differ or a true label is not among `classes`.
    """
    return of_matrix(classification.confusion(truth, prediction, classes))


def of_matrix(matrix: Int[np.ndarray, "C C+1"]) -> Rates:
    """Strict rates of one video from its confusion matrix."""
    return Rates(classification.accuracy(matrix), *classification.per_class(matrix)[:4])


def relaxed_as_intended(
    truth: Sequence[Hashable],
    prediction: Sequence[Hashable],
    classes: Sequence[Hashable],
    fps: float,
    seconds: float = SECONDS,
) -> Rates:
    """Rates of one video at `fps` frames per second. Raises as `strict`, and for fps <= 0."""
    return strict(truth, forgive(truth, prediction, window(fps, seconds)), classes)


def relaxed_as_published(
    truth: Sequence[Hashable],
    prediction: Sequence[Hashable],
    classes: Sequence[Hashable],
    fps: float,
    seconds: float = SECONDS,
) -> Rates:
    """Rates of one video at `fps` frames per second, clipped at 1.

    `classes` are all phases in the order of the operation. Raises ValueError where there are not 7
    or 8, and as `relaxed_as_intended`.
    """
    if len(classes) not in PUBLISHED_COUNTS:
        raise ValueError(
            f"the published relaxed measure exists for 7 or 8 phases, not {len(classes)}; take "
            "relaxed_as_intended"
        )
    classification.confusion(truth, prediction, classes)  # for its checks
    number = {name: place for place, name in enumerate(classes)}
    wanted = np.array([number[name] for name in truth], float)
    given = np.array([number.get(name, np.nan) for name in prediction], float)
    right = _published_errors(wanted, given, window(fps, seconds), len(classes)) == 0
    rows = []
    for phase in range(len(classes)):
        true, said = wanted == phase, given == phase
        hits = np.count_nonzero(right & (true | said))
        if not true.any():
            rows.append((np.nan,) * 4)
            continue
        precision, recall = _ratio(hits, said.sum()), hits / true.sum()
        f1 = 2 * precision * recall / (precision + recall) if hits and said.any() else np.nan
        rows.append((precision, recall, hits / np.count_nonzero(true | said), f1))
    table = np.minimum(np.array(rows), 1.0).T
    return Rates(float(right.mean()) if len(right) else float("nan"), *table)


def window(fps: float, seconds: float = SECONDS) -> int:
    """Frames that begin less than `seconds` after a change. Raises ValueError for fps <= 0."""
    if not fps > 0:
        raise ValueError(f"frames per second must be above 0, not {fps}")
    return math.ceil(seconds * fps - 1e-9)


def forgive(
    truth: Sequence[Hashable], prediction: Sequence[Hashable], frames: int
) -> list[Hashable]:
    """The prediction, with the true label where it names the neighbour within `frames` of a change.

    Raises ValueError when the lengths differ.
    """
    if len(truth) != len(prediction):
        raise ValueError(f"{len(truth)} true labels but {len(prediction)} predictions")
    out = list(prediction)
    found = segments(truth)
    for before, after in itertools.pairwise(found):
        for place in range(after.start, min(after.start + frames, after.end)):
            if prediction[place] == before.label:  # a late change
                out[place] = after.label
        for place in range(max(before.end - frames, before.start), before.end):
            if prediction[place] == after.label:  # an early one
                out[place] = before.label
    return out


def accuracy(videos: Sequence[Rates]) -> tuple[float, float]:
    """Mean and deviation over videos."""
    values = [rates.accuracy for rates in videos]
    return nanmean(values), deviation(values)


def spread(videos: Sequence[Rates], measure: str) -> Spread:
    """One of MEASURES over videos and phases. Raises ValueError when there is no video."""
    if not videos:
        raise ValueError("no video")
    table = np.array([getattr(rates, measure) for rates in videos])
    of_phases = np.array([nanmean(column) for column in table.T])
    of_videos = np.array([nanmean(row) for row in table])
    return Spread(
        mean=nanmean(of_phases),
        phase_std=deviation(of_phases),
        video_std=deviation(of_videos),
        phases=of_phases,
        phases_std=np.array([deviation(column) for column in table.T]),
        videos=of_videos,
    )


def summary(videos: Sequence[Rates]) -> dict[str, float]:
    """What papers print: accuracy, accuracy_std, precision, precision_std, ... of MEASURES.

    The deviation of accuracy is over videos, that of the others over phases. Raises ValueError
    when there is no video.
    """
    mean, over_videos = accuracy(videos)
    out = {"accuracy": mean, "accuracy_std": over_videos}
    for measure in MEASURES:
        found = spread(videos, measure)
        out |= {measure: found.mean, f"{measure}_std": found.phase_std}
    return out


def f1_of_videos(
    truth: Sequence[Hashable], prediction: Sequence[Hashable], videos: Sequence[Hashable]
) -> float:
    """Macro F1 of each video over the labels that it shows or is said to show; mean over videos.

    What zero-shot phase recognition publishes (arXiv 2307.15220 and after it): scikit-learn's
    `f1_score(average="macro")` of each video. A label that a video lacks and that is named in it
    counts with 0 here, and not at all in `summary`. None is no label, and wrong.

    Raises ValueError when the lengths differ or there is no video.
    """
    if not len(truth) == len(prediction) == len(videos):
        raise ValueError(
            f"{len(truth)} true labels, {len(prediction)} predictions, {len(videos)} videos"
        )
    if not videos:
        raise ValueError("no video")
    frames: dict[Hashable, list[tuple[Hashable, Hashable]]] = {}
    for *pair, video in zip(truth, prediction, videos, strict=True):
        frames.setdefault(video, []).append(tuple(pair))
    means = []
    for pairs in frames.values():
        true, said = Counter(t for t, _ in pairs), Counter(p for _, p in pairs)
        hits = Counter(t for t, p in pairs if t == p)
        labels = (true.keys() | said.keys()) - {None}
        means.append(np.mean([2 * hits[k] / (true[k] + said[k]) for k in labels]))
    return float(np.mean(means))


def deviation(values: Sequence[float]) -> float:
    """Sample deviation (n - 1) of the values that are not NaN; 0 for one, NaN for none."""
    values = np.asarray(values, float)
    values = values[~np.isnan(values)]
    if values.size < 2:
        return 0.0 if values.size else float("nan")
    return float(np.std(values, ddof=1))


def _published_errors(
    truth: Float[np.ndarray, " N"], prediction: Float[np.ndarray, " N"], frames: int, count: int
) -> Float[np.ndarray, " N"]:
    """Predicted minus true number of each frame, 0 where the MATLAB forgives the difference."""
    errors = prediction - truth
    for phase, start, end in segments(truth.tolist()):
        from_end = count - 1 - phase
        late = (-1, -2) if from_end < 2 else (-1,)
        early = (1, 2) if from_end < 4 else (1,)
        own = errors[start:end]  # a view
        reach = min(frames, len(own))
        head = own[:reach]
        head[np.isin(head, late)] = 0
        head[np.isin(own[len(own) - reach :], early)] = 0  # sic: found at the end, forgiven here
    return errors


def _ratio(hits: int, predicted: int) -> float:
    """As MATLAB divides: hits without a prediction are infinite, 0 / 0 is NaN."""
    if predicted:
        return hits / predicted
    return float("inf") if hits else float("nan")
