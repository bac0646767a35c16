"""Label tables with a row for every frame of a video, kept as runs of equal values."""

from __future__ import annotations

import bisect
import dataclasses
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from surgzoo.datasets.annotation_files import AnnotationFileError, Row, rows
from surgzoo.datasets.layout import File


@dataclasses.dataclass(frozen=True)
class Runs:
    """A value for every frame: `values[i]` holds from frame `starts[i]` to the next start."""

    first: int
    last: int
    starts: tuple[int, ...]
    values: tuple

    def at(self, frame: int) -> Any:
        """The value of a frame; None where the file has no row for it."""
        if not self.first <= frame <= self.last:
            return None
        return self.values[bisect.bisect_right(self.starts, frame) - 1]

    def pieces(self) -> Iterator[tuple[int, int, Any]]:
        """(first frame, frame behind the last, value) in order."""
        return zip(self.starts, (*self.starts[1:], self.last + 1), self.values, strict=True)


def frame_runs(
    file: File,
    columns: Sequence[str],
    value: Callable[[Row], Any],
    *,
    frame: str = "Frame",
    header: bool = True,
) -> Runs:
    """Reads a table whose rows follow each other frame by frame, from 0 or from 1.

    `value` makes a row to its value and may raise; `columns` and `header` as in `rows`. Raises
    AnnotationFileError.
    """
    starts: list[int] = []
    values: list[Any] = []
    number = None
    for row in rows(file, columns, header=header):
        now = row.int(frame)
        if number is None and now not in (0, 1):
            raise row.error(f"the first frame is {now}, neither 0 nor 1")
        if number is not None and now != number + 1:
            raise row.error(f"frame {now} where {number + 1} should follow")
        number, found = now, value(row)
        if not starts or found != values[-1]:
            starts.append(now)
            values.append(found)
    if number is None:
        raise AnnotationFileError(f"{file}: no row of a frame")
    return Runs(starts[0], number, tuple(starts), tuple(values))
