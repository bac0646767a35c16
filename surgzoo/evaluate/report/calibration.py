"""Whether a model's confidence can be believed: how often it is right at each level of it.

The confidence is read from the `scores` of a prediction, {label: fraction}. For one label it is the
score of the label that was answered (top-label calibration); for sets of labels every scored label
is a statement of its own that is true or not. The expected calibration error is the mean distance
of confidence and share right over ten equal bins, weighted by their size (Guo et al., ICML 2017).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping

import numpy as np

from surgzoo.evaluate.grade import Graded
from surgzoo.evaluate.report.words import percent
from surgzoo.evaluate.truth import Truth

BINS = 10


@dataclasses.dataclass(frozen=True)
class Bin:
    """Statements with a confidence from `low` to `high`; means are None where there are none."""

    low: float
    high: float
    count: int
    confidence: float | None
    right: float | None


@dataclasses.dataclass(frozen=True)
class Calibration:
    """One task. `error` is the expected calibration error, a fraction."""

    task: str
    bins: list[Bin]
    error: float

    @property
    def statements(self) -> int:
        return sum(bin.count for bin in self.bins)

    @property
    def alt(self) -> str:
        """The diagram in words."""
        parts = [
            f"of {percent(bin.confidence)} % sure, {percent(bin.right)} % right"
            for bin in self.bins
            if bin.count
        ]
        return f"Confidence and share right: {'; '.join(parts)}."


def calibrations(truth: Truth, graded: Mapping[str, Graded]) -> list[Calibration]:
    """One entry a task with labels as answers whose predictions hold scores; [] without any."""
    found: dict[str, list[tuple[float, bool]]] = {}
    for item in graded.values():
        form = truth.tasks[item.conversation.task].answer_form
        if form in ("label", "labels"):
            found.setdefault(item.conversation.task, []).extend(_statements(item, form))
    return [_calibration(task, pairs) for task, pairs in found.items() if pairs]


def _statements(item: Graded, form: str) -> Iterator[tuple[float, bool]]:
    """(confidence, whether it is true) of everything that an answer says with a score."""
    scores = item.prediction.scores or {}
    wanted = item.conversation.answer
    if form == "labels":
        for label, score in scores.items():
            yield float(score), label in wanted
    elif item.answer in scores:  # not of an unparsed answer: it says nothing
        yield float(scores[item.answer]), item.answer == wanted


def _calibration(task: str, pairs: list[tuple[float, bool]]) -> Calibration:
    confidence, right = (np.array(column, float) for column in zip(*pairs, strict=True))
    places = np.minimum((confidence * BINS).astype(int), BINS - 1)
    bins = []
    for number in range(BINS):
        inside = places == number
        count = int(inside.sum())
        means = [float(v[inside].mean()) if count else None for v in (confidence, right)]
        bins.append(Bin(number / BINS, (number + 1) / BINS, count, *means))
    error = sum(bin.count * abs(bin.confidence - bin.right) for bin in bins if bin.count)
    return Calibration(task, bins, error / len(pairs))
