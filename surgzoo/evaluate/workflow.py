"""Workflow of whole videos: what one question a frame cannot measure.

Where the frames of a video are asked one by one (phase, step), its answers are a sequence in time,
and the measures of sequences apply: relaxed at changes (`metrics/phases.py`), segmental F1 and edit
score (`metrics/segments.py`). The strict video-wise ones need no sequence; the task has them.

A video is whole if its questions are about consecutive stored frames, spaced as its frame rate
says, and all of them were answered (an unread answer is an answer, and wrong). The others count in
none of these numbers, and `whole_videos` says how many are left. The frame rate is that of the
store, never a setting: a wrong one turns ten seconds into minutes.
"""

from __future__ import annotations

import collections
import itertools
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from surgzoo.evaluate.truth import Truth, place
from surgzoo.metrics import phases, segments
from surgzoo.tasks.base import Scored, Task
from surgzoo.tasks.one_label import OneLabel

OFF = 0.5  # of a frame's duration: how far two neighbours may be from that apart


class WholeVideo(NamedTuple):
    """True and predicted labels frame by frame, at `fps` stored frames per second."""

    truth: list[str]
    said: list[str | None]
    options: tuple[str, ...]
    fps: float


def metrics(truth: Truth, task: Task, scored: Iterable[tuple[str, Scored]]) -> dict[str, float]:
    """Numbers of sequences over some answers (id, scored); {} for a task that makes none.

    whole_videos     share of the videos whose answers are a sequence; the rest is about those, and
                     lacking where there is none
    relaxed_accuracy_as_intended, ..._std, relaxed_jaccard_as_intended, ...
                     ten seconds around a change (`phases.relaxed_as_intended`); the deviation of
                     accuracy is over videos, those of the others over labels
    relaxed_accuracy_as_published, ...
                     the MATLAB of the field; only where all videos have the same 7 or 8 phases
    f1_at_10, f1_at_25, f1_at_50  segmental F1 over all videos
    edit             mean edit score over videos
    """
    if not (isinstance(task, OneLabel) and task.level == "image"):
        return {}
    answers: dict[str, dict[str, Scored]] = collections.defaultdict(dict)
    for id, item in scored:
        answers[place(id)][id] = item
    if not answers:
        return {}
    found = [whole(truth, task, video, given) for video, given in answers.items()]
    videos = [video for video in found if video is not None]
    out = {"whole_videos": len(videos) / len(found)}
    if not videos:
        return out
    vocabularies = dict.fromkeys(video.options for video in videos)
    labels = tuple(dict.fromkeys(label for options in vocabularies for label in options))
    rates = [phases.relaxed_as_intended(v.truth, v.said, labels, v.fps) for v in videos]
    out |= _relaxed(rates, "as_intended")
    if task.kind == "phase" and len(vocabularies) == 1 and len(labels) in phases.PUBLISHED_COUNTS:
        rates = [phases.relaxed_as_published(v.truth, v.said, labels, v.fps) for v in videos]
        out |= _relaxed(rates, "as_published")
    for overlap in segments.OVERLAPS:
        counted = [segments.counts(v.truth, v.said, overlap) for v in videos]
        out[f"f1_at_{round(100 * overlap)}"] = segments.f1(counted)
    scores = [segments.edit_score(v.truth, v.said) for v in videos]
    out["edit"] = segments.mean_edit_score(scores)
    return out


def whole(truth: Truth, task: Task, video: str, answers: dict[str, Scored]) -> WholeVideo | None:
    """The answers (id -> scored) about one video, a place, as a sequence; None if they are none."""
    stored = truth.videos[video]
    ids = [f"{video}/{index:06d}/{task.name}/0" for index in range(stored.count)]
    asked = [index for index, id in enumerate(ids) if id in truth.conversations]
    ids = ids[asked[0] : asked[-1] + 1] if asked else []
    if not ids or not all(id in answers for id in ids):  # a frame nobody asks about is a hole too
        return None
    fps = stored.video.fps
    if not _even([truth.times[id] for id in ids], fps):
        return None
    items = [answers[id] for id in ids]
    return WholeVideo(
        truth=[item.conversation.answer for item in items],
        said=[item.answer for item in items],
        options=items[0].conversation.options,
        fps=fps,
    )


def _even(times: Sequence[float], fps: float) -> bool:
    """Whether frames follow each other at the frame rate, give or take half a frame."""
    steps = (after - before for before, after in itertools.pairwise(times))
    return fps > 0 and all(abs(step * fps - 1) <= OFF for step in steps)


def _relaxed(rates: Sequence[phases.Rates], version: str) -> dict[str, float]:
    out = {}
    for name, value in phases.summary(rates).items():
        measure, std, _ = name.partition("_std")
        out[f"relaxed_{measure}_{version}{std}"] = value
    return out
