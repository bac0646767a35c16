"""Two predictions files on the same questions: how much better is one, and is it more than chance?

Only questions that both files answer are compared. Whole operations are resampled and exchanged
(`metrics/bootstrap.py`), as frames of one operation are alike; p-values are adjusted for the number
of tasks.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from surgzoo.evaluate.grade import Graded, grade
from surgzoo.evaluate.intervals import FEWEST_VIDEOS, stacked, tallies
from surgzoo.evaluate.predictions import PredictionsError, read_predictions
from surgzoo.evaluate.truth import Truth, load_truth, named, uncollected
from surgzoo.metrics import bootstrap
from surgzoo.tasks.base import Scored
from surgzoo.tasks.wording import Wording

ALPHA = 0.05


@dataclasses.dataclass(frozen=True)
class Comparison:
    """One task. `difference` is the first model's headline minus the second's, on `answers`.

    `p` is adjusted for the tasks compared (Holm); it and `interval` are None for fewer than
    FEWEST_VIDEOS operations, where neither would say anything.
    """

    task: str
    headline: str
    first: float | None
    second: float | None
    difference: float | None
    interval: tuple[float, float] | None
    p: float | None
    answers: int
    operations: int
    only_first: int  # answers that the other file lacks
    only_second: int

    @property
    def verdict(self) -> str:
        """Which model is better, as far as the data tells."""
        if self.difference is None:
            return "undefined"
        if self.p is None:
            return f"fewer than {FEWEST_VIDEOS} operations"
        if self.p >= ALPHA:
            return "no difference shown"
        return "the first is better" if self.difference > 0 else "the second is better"


@uncollected()
def compare(
    first: str | Path,
    second: str | Path,
    data_dir: str | Path,
    *,
    split: str = "test",
    scheme: str = "default",
    wording: Wording | None = None,
    seed: int = 0,
) -> list[Comparison]:
    """Compares two predictions files task by task, in the order of task names.

    Raises PredictionsError when a file is damaged or when the two share no question of the split,
    NotPreparedError when a source is missing.
    """
    items = [list(read_predictions(path)) for path in (first, second)]
    about = named(item.id for side in items for item in side)
    truth = load_truth(data_dir, *about, split=split, scheme=scheme, wording=wording)
    sides = [
        grade(side, truth, Path(path).parent).graded
        for side, path in zip(items, (first, second), strict=True)
    ]
    found = compare_graded(*sides, truth, seed=seed)
    if not any(item.answers for item in found):
        raise PredictionsError(
            f"{first} and {second} have no question of split '{split}' in common: there is nothing "
            "to compare"
        )
    return found


def compare_graded(
    first: Mapping[str, Graded], second: Mapping[str, Graded], truth: Truth, *, seed: int = 0
) -> list[Comparison]:
    """As `compare`, for answers that `grade` has read."""
    found = [_task(name, first, second, truth, seed) for name in sorted(truth.tasks)]
    tested = [item for item in found if item.p is not None]
    adjusted = dict(
        zip((i.task for i in tested), bootstrap.holm([i.p for i in tested]), strict=True)
    )
    return [dataclasses.replace(item, p=adjusted.get(item.task)) for item in found]


def _task(
    name: str,
    first: Mapping[str, Graded],
    second: Mapping[str, Graded],
    truth: Truth,
    seed: int,
) -> Comparison:
    asked = [id for id, conversation in truth.conversations.items() if conversation.task == name]
    both = [id for id in asked if id in first and id in second]
    sides = [tallies(truth, name, _scored(side, both)) for side in (first, second)]
    parts = sorted({part for side in sides for tally in side.values() for part in tally})
    arrays = [stacked(side, parts) for side in sides]
    operations = len(sides[0])
    values = [_value(array) if operations else None for array in arrays]
    test = bootstrap.paired(*arrays, seed=seed) if operations else None
    enough = operations >= FEWEST_VIDEOS
    return Comparison(
        name,
        truth.tasks[name].headline,
        *values,
        difference=test.difference if test else None,
        interval=test.interval if test and enough else None,
        p=test.p if test and enough else None,
        answers=len(both),
        operations=operations,
        only_first=sum(id in first for id in asked) - len(both),
        only_second=sum(id in second for id in asked) - len(both),
    )


def _scored(side: Mapping[str, Graded], ids: Sequence[str]) -> Iterable[tuple[str, Scored]]:
    return ((id, Scored(side[id].conversation, side[id].answer)) for id in ids)


def _value(array) -> float | None:
    found = float(bootstrap.value(array.sum(axis=0)))
    return None if found != found else found


def save(found: Sequence[Comparison], path: str | Path) -> None:
    """Writes the comparison as JSON."""
    rows = [{**dataclasses.asdict(item), "verdict": item.verdict} for item in found]
    Path(path).write_text(json.dumps(rows, indent=1, allow_nan=False) + "\n", encoding="utf-8")
