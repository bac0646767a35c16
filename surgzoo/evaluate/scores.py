"""What `scores.json` holds: how it is written, read and asked."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Literal

from surgzoo.evaluate import operating

Group = Literal["all", "source", "specialty", "procedure", "video"]
Policy = Literal["report", "wrong"]


@dataclasses.dataclass(frozen=True)
class Row:
    """The scores of one task on one group of conversations.

    `group` says what `name` is: "all", a source ("source.config"), a procedure or a video (its
    place). `interval` is the 95 % bootstrap interval of the headline over operations, None for few
    of them (FEWEST_VIDEOS) and for a single video. A metric that is undefined on the group (NaN) is
    None. `latency` is the mean in seconds.
    """

    task: str
    group: Group
    name: str
    headline: str
    metrics: dict[str, float | None]
    expected: int
    predicted: int
    unparsed: int
    reasons: dict[str, int]
    latency: float | None = None
    interval: tuple[float, float] | None = None

    @property
    def value(self) -> float | None:
        """The headline metric."""
        return self.metrics.get(self.headline)

    @property
    def missing(self) -> int:
        return self.expected - self.predicted


@dataclasses.dataclass(frozen=True)
class Scores:
    """What `scores.json` holds: a row for each task and group, and what did not fit the data."""

    models: list[str]
    split: str
    scheme: str
    missing: Policy
    rows: list[Row]
    unknown: list[str]  # ids that name no conversation
    outside: int  # predictions on videos of other splits
    # Task -> how its answers were decoded -> how many of them; empty where nobody says.
    decoding: dict[str, dict[str, int]] = dataclasses.field(default_factory=dict)
    # Task -> each answer against all others, where all answers have scores.
    classes: dict[str, list[operating.ClassRow]] = dataclasses.field(default_factory=dict)

    def row(self, task: str, group: Group = "all", name: str = "all") -> Row:
        """Raises KeyError when there is no such row."""
        for row in self.rows:
            if (row.task, row.group, row.name) == (task, group, name):
                return row
        raise KeyError(f"no scores of {task} for {group} {name}")

    def select(self, group: Group, task: str | None = None) -> list[Row]:
        """The rows of one kind of group, of one task or of all."""
        return [row for row in self.rows if row.group == group and task in (None, row.task)]

    @property
    def tasks(self) -> list[str]:
        return [row.task for row in self.select("all")]

    def save(self, path: str | Path) -> None:
        """Writes `scores.json`."""
        text = json.dumps(dataclasses.asdict(self), indent=1, ensure_ascii=False, allow_nan=False)
        Path(path).write_text(text + "\n", encoding="utf-8")

    @classmethod
    def load(cls, path: str | Path) -> Scores:
        """Reads what `save` wrote."""
        values = json.loads(Path(path).read_text(encoding="utf-8"))
        rows = [
            Row(**{**row, "interval": row["interval"] and tuple(row["interval"])})
            for row in values.pop("rows")
        ]
        classes = operating.read_rows(values.pop("classes", {}))
        return cls(rows=rows, classes=classes, **values)
