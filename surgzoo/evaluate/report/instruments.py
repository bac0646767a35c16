"""What a model finds of each label: precision, recall, F1; and how well its boxes fit."""

from __future__ import annotations

import collections
import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np

from surgzoo.evaluate.grade import Graded
from surgzoo.evaluate.truth import Truth
from surgzoo.metrics import detection, multilabel

HIT = 0.5  # IoU from which a box counts as found

Boxes = Sequence[tuple[str, Sequence[float]]]


@dataclasses.dataclass(frozen=True)
class LabelScore:
    """One label. `support` counts true occurrences; a ratio without a denominator is None."""

    label: str
    support: int
    precision: float | None
    recall: float | None
    f1: float | None


@dataclasses.dataclass(frozen=True)
class Histogram:
    """IoU of each true box with the box predicted for it; `lost` true boxes touch no such box."""

    counts: list[int]  # equal bins from 0 to 1
    lost: int
    found: int  # boxes with an IoU of at least HIT

    @property
    def total(self) -> int:
        return sum(self.counts) + self.lost

    @property
    def tallest(self) -> int:
        return max(*self.counts, self.lost, 1)


def label_scores(truth: Truth, graded: Mapping[str, Graded], task: str) -> list[LabelScore]:
    """Per-label scores of a task with the answer form "labels" or "boxes", most frequent first.

    An unparsed answer finds nothing. A box counts when it has the label and an IoU of at least HIT;
    where the task has questions about all labels, only those count, as a question about one label
    gives its presence away.
    """
    items = _of(graded, task)
    if truth.tasks[task].answer_form == "boxes":
        about_all = [item for item in items if len(item.conversation.options) != 1]
        hits, said, true = _box_counts(about_all or items)
    else:
        counted = multilabel.counts(
            [item.conversation.answer for item in items], [item.answer for item in items]
        )
        hits, said, true = counted.tp, counted.tp + counted.fp, counted.tp + counted.fn
        said.pop(multilabel.UNPARSED, None)
    names = sorted(set(true) | set(said), key=lambda name: (-true[name], name))
    return [_label_score(name, hits[name], said[name], true[name]) for name in names]


def iou_histogram(graded: Mapping[str, Graded], task: str, bins: int = 10) -> Histogram:
    """The histogram of a task with the answer form "boxes".

    Where it has questions about one label, those alone count, as in the mean IoU of the task.
    """
    items = _of(graded, task)
    about_one = [item for item in items if len(item.conversation.options) == 1]
    values = np.array(
        [
            iou
            for item in about_one or items
            for _, iou in overlaps(item.conversation.answer, item.answer or [])
        ]
    )
    counts, _ = np.histogram(values[values > 0], bins, range=(0.0, 1.0))
    return Histogram(counts.tolist(), int((values == 0).sum()), int((values >= HIT).sum()))


def overlaps(true: Boxes, said: Boxes) -> list[tuple[str, float]]:
    """(label, IoU with its match) of each true box, 0 without one. Boxes match inside a label."""
    out: list[tuple[str, float]] = []
    for name in dict.fromkeys(name for name, _ in true):
        wanted = [box for other, box in true if other == name]
        given = [box for other, box in said if other == name]
        values = np.zeros(len(wanted))
        if given:
            ious = detection.iou(wanted, given)
            rows, columns = detection.match(ious)
            values[rows] = ious[rows, columns]
        out += [(name, float(value)) for value in values]
    return out


def _box_counts(items: Sequence[Graded]) -> tuple[collections.Counter, ...]:
    """Found, predicted and true boxes of each label."""
    hits, said, true = (collections.Counter() for _ in range(3))
    for item in items:
        answer = item.answer or []
        pairs = overlaps(item.conversation.answer, answer)
        hits.update(name for name, iou in pairs if iou >= HIT)
        said.update(name for name, _ in answer)
        true.update(name for name, _ in item.conversation.answer)
    return hits, said, true


def _label_score(name: str, hits: int, said: int, true: int) -> LabelScore:
    return LabelScore(
        name,
        true,
        hits / said if said else None,
        hits / true if true else None,
        2 * hits / (said + true) if said + true else None,
    )


def _of(graded: Mapping[str, Graded], task: str) -> list[Graded]:
    return [item for item in graded.values() if item.conversation.task == task]
