"""Tasks whose answer is one label a frame (phases, steps): ribbons of whole videos."""

from __future__ import annotations

import collections
import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np

from surgzoo.evaluate.grade import Graded
from surgzoo.evaluate.report.confusion import used_labels
from surgzoo.evaluate.report.words import clock, percent
from surgzoo.evaluate.truth import Truth, place

UNPARSED, MISSING = -1, -2  # beside the indices of labels
MAX_RIBBONS = 24  # videos; more would bury the rest of the page

Run = tuple[float, float, int]  # start and end in seconds, label index


@dataclasses.dataclass(frozen=True)
class Ribbon:
    """One video. `truth` and `said` are runs; paths are SVG in a view box of `duration` x 1."""

    video: str
    duration: float  # seconds
    agreement: float
    truth: list[Run]
    said: list[Run]
    differs: list[Run]
    labels: tuple[str, ...]
    ticks: list[tuple[float, str]]  # share of the width, text

    def paths(self, runs: Sequence[Run]) -> list[tuple[int, str, str]]:
        """(label index, its name, SVG path) of each label that occurs."""
        shapes: dict[int, list[Run]] = collections.defaultdict(list)
        for run in runs:
            shapes[run[2]].append(run)
        return [(label, self.name(label), _path(shapes[label])) for label in sorted(shapes)]

    @property
    def wrong_path(self) -> str:
        """SVG path of where the two differ; empty where they agree throughout."""
        return _path(self.differs)

    def wide(self, runs: Sequence[Run], share: float = 0.045) -> list[tuple[float, int]]:
        """(middle as a share of the width, label index) of the runs that have room for a number."""
        return [
            ((start + end) / 2 / self.duration, label)
            for start, end, label in runs
            if label >= 0 and end - start >= share * self.duration
        ]

    def name(self, label: int) -> str:
        """The label in words, also of what was not parsed or not predicted."""
        return {UNPARSED: "unparsed", MISSING: "no prediction"}.get(label) or self.labels[label]

    @property
    def alt(self) -> str:
        """The ribbon in words."""
        runs = "; ".join(
            f"{self.name(label)} {clock(start, self.duration)} to {clock(end, self.duration)}"
            for start, end, label in self.truth
        )
        wrong = sum(end - start for start, end, _ in self.differs)
        return (
            f"Video {self.video}, {percent(self.agreement)} % of frames right, "
            f"{clock(round(wrong, 1))} differ. Truth: {runs}."
        )


def _path(runs: Sequence[Run]) -> str:
    return "".join(f"M{start:g} 0h{end - start:g}v1H{start:g}z" for start, end, _ in runs)


@dataclasses.dataclass(frozen=True)
class Timeline:
    """All ribbons of one task whose questions have the same options."""

    task: str
    title: str  # the procedures
    labels: tuple[str, ...]
    ribbons: list[Ribbon]
    hidden: int  # videos without a ribbon
    special: tuple[int, ...]  # UNPARSED, MISSING where they occur, for the legend


def timelines(truth: Truth, graded: Mapping[str, Graded]) -> list[Timeline]:
    """One timeline for each procedure of each image task with the answer form "label".

    Clips overlap and differ in length, so that they make no ribbon.
    """
    kinds: dict[tuple, dict[str, list[str]]] = {}
    for id, conversation in truth.conversations.items():
        task = truth.tasks.get(conversation.task)
        if task is not None and task.answer_form == "label" and task.level == "image":
            videos = kinds.setdefault((conversation.task, truth.video(id).procedure), {})
            videos.setdefault(place(id), []).append(id)
    return [_timeline(*kind, videos, truth, graded) for kind, videos in kinds.items()]


def _timeline(
    task: str,
    procedure: str,
    videos: dict[str, list[str]],
    truth: Truth,
    graded: Mapping[str, Graded],
) -> Timeline:
    ids = [id for members in videos.values() for id in members]
    answered = {video: ids for video, ids in videos.items() if any(id in graded for id in ids)}
    labels = used_labels(ids, truth, graded)
    ribbons = [_ribbon(video, ids, labels, truth, graded) for video, ids in answered.items()]
    said = {label for ribbon in ribbons for _, _, label in ribbon.said}
    return Timeline(
        task=task,
        title=procedure,
        labels=labels,
        ribbons=ribbons[:MAX_RIBBONS],
        hidden=len(ribbons[MAX_RIBBONS:]),
        special=tuple(sorted(said & {UNPARSED, MISSING}, reverse=True)),
    )


def _index(labels: tuple[str, ...], item: Graded | None) -> int:
    if item is None:
        return MISSING
    return labels.index(item.answer) if item.answer in labels else UNPARSED


def _ribbon(
    video: str,
    ids: Sequence[str],
    labels: tuple[str, ...],
    truth: Truth,
    graded: Mapping[str, Graded],
) -> Ribbon:
    ids = sorted(ids, key=truth.times.__getitem__)
    times = [truth.times[id] for id in ids]
    step = 1.0 / (truth.videos[video].video.fps or 1.0)
    true = [labels.index(truth.conversations[id].answer) for id in ids]
    said = [_index(labels, graded.get(id)) for id in ids]
    answered = [(t, s) for t, s in zip(true, said, strict=True) if s != MISSING]
    differs = [int(t != s) for t, s in zip(true, said, strict=True)]
    duration = times[-1] + step
    return Ribbon(
        video=video.split("/", 1)[1],
        duration=duration,
        agreement=sum(t == s for t, s in answered) / len(answered),
        truth=_runs(times, true, step),
        said=_runs(times, said, step),
        differs=[run for run in _runs(times, differs, step) if run[2]],
        labels=labels,
        ticks=_ticks(duration),
    )


def _runs(times: Sequence[float], labels: Sequence[int], step: float) -> list[Run]:
    """Equal neighbours as one run; a frame lasts `step` seconds, and a longer gap ends a run."""
    runs: list[Run] = []
    for time, label in zip(times, labels, strict=True):
        start, end = round(time, 3), round(time + step, 3)
        if runs and runs[-1][2] == label and start - runs[-1][1] < step:
            runs[-1] = (runs[-1][0], end, label)
        else:
            runs.append((start, end, label))
    return runs


def _ticks(duration: float, at_most: int = 6) -> list[tuple[float, str]]:
    """Round times along the axis. The last one keeps clear of the right edge."""
    for step in (1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1200, 1800, 3600, 7200):
        if duration / step <= at_most:
            break
    times = np.arange(0, duration * 0.9, step)
    return [(float(time / duration), clock(float(time), duration)) for time in times]
