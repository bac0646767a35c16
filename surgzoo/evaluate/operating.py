"""Each answer against all others: area under the ROC curve, sensitivity, specificity, Youden index.

For tasks with one name as answer, where every answer has `scores`. A name is said of an item where
it is the answer (the highest score); with the answers to validation questions, also where its score
reaches the threshold that had the largest Youden index there. Thresholds are never chosen on the
items that are judged. Intervals are over operations. `metrics/roc.py` has the definitions.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np

from surgzoo.evaluate.grade import Graded
from surgzoo.evaluate.truth import Truth
from surgzoo.metrics import roc

Thresholds = dict[str, dict[str, float]]  # task -> class -> the score from which it is said
Said = Literal["answer", "threshold"]
MACRO = "mean"  # name of the row over all classes
_METRICS = ("auroc", "sensitivity", "specificity", "youden")


@dataclasses.dataclass(frozen=True)
class Estimate:
    """None where undefined; `interval` is the 95 % one, None also for few operations."""

    value: float | None
    interval: tuple[float, float] | None = None


@dataclasses.dataclass(frozen=True)
class ClassRow:
    """One class against the others, or `MACRO`: the mean over those that have a value.

    Attributes:
      items, positives: questions that admit the class, and those whose answer it is.
      said: what sensitivity and the rest are about, the answers or a threshold.
      threshold: None where `said` is "answer", or where validation lacks the class.
    """

    name: str
    items: int
    positives: int
    said: Said
    threshold: float | None
    auroc: Estimate
    sensitivity: Estimate
    specificity: Estimate
    youden: Estimate


def rows(
    truth: Truth,
    graded: Mapping[str, Graded],
    thresholds: Thresholds | None = None,
    fewest: int = 2,
) -> dict[str, list[ClassRow]]:
    """Task -> a row for each class and the mean; a task whose answers lack scores is left out.

    `thresholds` are those of `thresholds_of`, on other operations. Fewer operations than `fewest`
    get no intervals.
    """
    out = {}
    for task in truth.tasks:
        items = _scored(truth, graded, task)
        if not items:
            continue
        operations = [truth.video(item.conversation.id).canonical for item in items]
        found = _rows(items, operations, (thresholds or {}).get(task))
        out[task] = found if len(set(operations)) >= fewest else list(map(_bare, found))
    return out


def thresholds_of(truth: Truth, graded: Mapping[str, Graded]) -> Thresholds:
    """Task -> class -> the threshold with the largest Youden index on these answers.

    Left out: a task whose answers lack scores, a class that all or none of the items have.
    """
    out: Thresholds = {}
    for task in truth.tasks:
        items = _scored(truth, graded, task)
        if not items:
            continue
        names, wanted, scores, _, asked = _table(items)
        out[task] = {}
        for number, name in enumerate(names):
            mine = asked[:, number]
            positive = wanted[mine, number]
            if positive.any() and not positive.all():
                out[task][name] = roc.best(positive, scores[mine, number]).threshold
    return out


def read_rows(found: Mapping[str, Sequence[Mapping[str, Any]]]) -> dict[str, list[ClassRow]]:
    """What `dataclasses.asdict` and JSON made of `rows`."""

    def estimate(value: Mapping[str, Any]) -> Estimate:
        interval = value["interval"]
        return Estimate(value["value"], None if interval is None else tuple(interval))

    return {
        task: [ClassRow(**{**row, **{n: estimate(row[n]) for n in _METRICS}}) for row in listed]
        for task, listed in found.items()
    }


def _scored(truth: Truth, graded: Mapping[str, Graded], task: str) -> list[Graded]:
    """The answers to a task of one name, if all have scores: some of them would flatter."""
    if truth.tasks[task].answer_form != "label":
        return []
    items = [item for item in graded.values() if item.conversation.task == task]
    fit = all(
        item.prediction.scores is not None and item.conversation.answer in item.conversation.options
        for item in items
    )
    return items if fit else []


def _table(items: Sequence[Graded]):
    """Names [C]; of items and names: the truth, scores, answers, and whether it was an option."""
    names = list(dict.fromkeys(name for item in items for name in item.conversation.options))
    place = {name: number for number, name in enumerate(names)}
    shape = (len(items), len(names))
    wanted, said, asked = (np.zeros(shape, bool) for _ in range(3))
    scores = np.zeros(shape)
    for row, item in enumerate(items):
        asked[row, [place[name] for name in item.conversation.options]] = True
        wanted[row, place[item.conversation.answer]] = True
        if item.answer in place:
            said[row, place[item.answer]] = True
        for name, score in item.prediction.scores.items():
            scores[row, place[name]] = score
    return names, wanted, scores, said, asked


def _rows(
    items: Sequence[Graded],
    operations: Sequence[str],
    chosen: Mapping[str, float] | None,
) -> list[ClassRow]:
    names, wanted, scores, said, asked = _table(items)
    out = []
    for number, name in enumerate(names):
        mine = asked[:, number]
        of = [operations[row] for row in np.flatnonzero(mine)]
        positive = wanted[mine, number][:, None]
        threshold = None if chosen is None else chosen.get(name, math.nan)
        (ranked,) = roc.scores_by_class(
            positive, scores[mine, number][:, None], of, [threshold or 0.0]
        )
        at = ranked
        if threshold is None:  # an answer is a score of 1
            given = said[mine, number][:, None].astype(float)
            (at,) = roc.scores_by_class(positive, given, of, [0.5])
        out.append(
            ClassRow(
                name,
                int(mine.sum()),
                ranked.positives,
                "answer" if chosen is None else "threshold",
                None if threshold is None or not math.isfinite(threshold) else threshold,
                _estimate(ranked.auroc),
                *map(_estimate, (at.sensitivity, at.specificity, at.youden)),
            )
        )
    macro = roc.macro_auroc(wanted, scores, operations, asked)
    means = (_mean(out, name) for name in _METRICS[1:])
    return [
        *out,
        ClassRow(MACRO, len(items), len(items), out[0].said, None, _estimate(macro), *means),
    ]


def _bare(row: ClassRow) -> ClassRow:
    """Without intervals."""
    values = {name: Estimate(getattr(row, name).value) for name in _METRICS}
    return dataclasses.replace(row, **values)


def _mean(found: Sequence[ClassRow], metric: str) -> Estimate:
    """Over the classes that have a value."""
    known = [v for row in found if (v := getattr(row, metric).value) is not None]
    return Estimate(sum(known) / len(known) if known else None)


def _estimate(found: roc.Estimate) -> Estimate:
    if math.isnan(found.value):
        return Estimate(None)
    return Estimate(found.value, found.interval)
