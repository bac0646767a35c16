"""Label tables with a row for every frame (or second) of a video, kept as runs of equal values."""

from __future__ import annotations

import bisect
import dataclasses
from collections.abc import Callable, Iterator, Sequence
from fractions import Fraction
from typing import Generic, TypeVar

from surgzoo.datasets.annotation_files import AnnotationFileError, Row, rows
from surgzoo.datasets.layout import File
from surgzoo.db import schema

Value = TypeVar("Value")


@dataclasses.dataclass(frozen=True)
class Runs(Generic[Value]):
    """A value for every row: `values[i]` holds from row `starts[i]` to the next start.

    Rows count from 0, as the frames of a video do, whatever the file counts from.
    """

    starts: tuple[int, ...]
    values: tuple[Value, ...]
    rows: int

    def at(self, row: int) -> Value | None:
        """The value of a row; None where the file has none."""
        if not 0 <= row < self.rows:
            return None
        return self.values[bisect.bisect_right(self.starts, row) - 1]

    def pieces(self) -> Iterator[tuple[int, int, Value]]:
        """(first row, row behind the last, value) in order."""
        return zip(self.starts, (*self.starts[1:], self.rows), self.values, strict=True)

    def segments(self, kind: str, rate: Fraction | float) -> tuple[schema.Segment, ...]:
        """The runs of labels at `rate` rows a second, in seconds; rows without label have none."""
        return tuple(
            schema.Segment(kind, label, float(start / rate), float(end / rate))
            for start, end, label in self.pieces()
            if label is not None
        )

    def ends_early(self, what: str, last: int) -> list[str]:
        """A note when the rows end before frame `last`, the last one of the video; else none."""
        if self.rows > last:
            return []
        return [f"{what} end at frame {self.rows - 1}, the video at frame {last}"]


def frame_runs(
    file: File,
    columns: Sequence[str],
    value: Callable[[Row], Value],
    *,
    header: bool = True,
    delimiter: str = ",",
    exact: bool = False,
    firsts: Sequence[int] = (0, 1),
) -> Runs[Value]:
    """Reads a table whose rows follow each other frame by frame; column Frame has the number.

    `value` makes a row to its value and may raise; rows that equal the one before are not asked
    again. `firsts` are the numbers that the first row may have; the others are as in `rows`. Raises
    AnnotationFileError.
    """
    starts: list[int] = []
    values: list[Value] = []
    count = first = 0
    before: dict[str, str] | None = None
    for row in rows(file, columns, header=header, delimiter=delimiter, exact=exact):
        number = row.int("Frame")
        if before is None:
            first = number
            if first not in firsts:
                allowed = " or ".join(map(str, firsts))
                raise row.error(f"the first frame is {first}, not {allowed}")
        elif number != first + count:
            raise row.error(f"frame {number} where {first + count} should follow")
        labels = {column: field for column, field in row.fields.items() if column != "Frame"}
        if labels != before:
            before, found = labels, value(row)
            if not values or found != values[-1]:
                starts.append(count)
                values.append(found)
        count += 1
    if not count:
        raise AnnotationFileError(f"{file}: no row of a frame")
    return Runs(tuple(starts), tuple(values), count)
