"""Intervals over operations: a headline's tallies for each, drawn again by the bootstrap."""

from __future__ import annotations

import collections
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from surgzoo.evaluate.truth import Truth
from surgzoo.metrics import bootstrap
from surgzoo.tasks.base import Scored

FEWEST_VIDEOS = 5  # operations; below this an interval over them would say nothing


def interval(
    truth: Truth, task: str, ids: Sequence[str], scored: Sequence[Scored]
) -> tuple[float, float] | None:
    """95 % interval of the headline over operations; None for fewer than FEWEST_VIDEOS."""
    found = tallies(truth, task, zip(ids, scored, strict=True))
    return bootstrap.interval(stacked(found)) if len(found) >= FEWEST_VIDEOS else None


def tallies(
    truth: Truth, task: str, scored: Iterable[tuple[str, Scored]]
) -> dict[str, dict[str, tuple[float, float]]]:
    """Operation (canonical id, so that two sources with one patient count once) -> `Task.tally`."""
    operations: dict[str, list[Scored]] = collections.defaultdict(list)
    for id, item in scored:
        operations[truth.video(id).canonical].append(item)
    rule = truth.tasks[task]
    return {name: rule.tally(items) for name, items in operations.items()}


def stacked(
    found: Mapping[str, Mapping[str, tuple[float, float]]], parts: Sequence[str] | None = None
) -> np.ndarray:
    """Tallies as an array [operations, parts, 2], for `metrics/bootstrap.py`."""
    if parts is None:
        parts = sorted({part for tally in found.values() for part in tally})
    return np.array(
        [[tally.get(part, (0.0, 0.0)) for part in parts] for tally in found.values()], float
    )
