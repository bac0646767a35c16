"""Confusion matrices of the tasks whose answer is one label, of frames and of clips."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np

from surgzoo.evaluate.grade import Graded
from surgzoo.evaluate.truth import Truth
from surgzoo.metrics import classification


@dataclasses.dataclass(frozen=True)
class Confusion:
    """Counts of (true, predicted) labels of one task and procedure.

    `counts` is int, n x (n + 1); the last column counts unparsed answers.
    """

    task: str
    title: str  # the procedure
    labels: tuple[str, ...]
    counts: np.ndarray

    @property
    def shares(self) -> np.ndarray:
        """Rows as fractions of their sum; zero where a label never occurs."""
        return self.counts / np.maximum(self.counts.sum(1, keepdims=True), 1)

    @property
    def rows(self) -> list[int]:
        """The labels that occur in the truth."""
        return [int(row) for row in np.flatnonzero(self.counts.sum(1))]

    @property
    def columns(self) -> list[int]:
        """The labels that occur at all; the last column of `counts` where an answer is unparsed."""
        used = self.counts.sum(0) > 0
        used[self.rows] = True
        return [int(column) for column in np.flatnonzero(used)]


def confusions(truth: Truth, graded: Mapping[str, Graded]) -> list[Confusion]:
    """One matrix for each task and procedure, of the questions that were answered."""
    members: dict[tuple[str, str], list[str]] = {}
    for id, conversation in truth.conversations.items():
        task = truth.tasks.get(conversation.task)
        if task is not None and task.answer_form == "label":
            members.setdefault((conversation.task, truth.video(id).procedure), []).append(id)
    found = [confusion(*key, ids, truth, graded) for key, ids in members.items()]
    return [matrix for matrix in found if matrix.counts.any()]


def confusion(
    task: str, procedure: str, ids: Sequence[str], truth: Truth, graded: Mapping[str, Graded]
) -> Confusion:
    """The matrix of some questions."""
    labels = used_labels(ids, truth, graded)
    items = [graded[id] for id in ids if id in graded]
    true, said = [item.conversation.answer for item in items], [item.answer for item in items]
    return Confusion(task, procedure, labels, classification.confusion(true, said, labels))


def used_labels(ids: Sequence[str], truth: Truth, graded: Mapping[str, Graded]) -> tuple[str, ...]:
    """The labels that are true or predicted somewhere, in the order of the options."""
    options = dict.fromkeys(name for id in ids for name in truth.conversations[id].options)
    used = {truth.conversations[id].answer for id in ids}
    used |= {graded[id].answer for id in ids if id in graded} - {None}
    return (*(name for name in options if name in used), *sorted(used - set(options)))
