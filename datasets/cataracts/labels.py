"""CATARACTS's two label files a video: tools and steps, a row a frame of the video.

Tools: `Frame`, in test files also `to_be_evaluated`, and 21 columns with 0, 0.5 (the two experts
disagree) or 1. Steps: `Frame, Steps`, ids 0 .. 18 in the order of the ontology's rows. The two are
told apart by their columns, as their folders differ between the challenges.
"""

from __future__ import annotations

import bisect
import dataclasses

from surgzoo.datasets.annotation_files import AnnotationFileError, rows
from surgzoo.datasets.layout import File
from surgzoo.db import ontology, schema

SOURCE = "cataracts"
EVALUATED = "to_be_evaluated"
DISAGREE = 0.5


@dataclasses.dataclass(frozen=True)
class Runs:
    """A value for every frame: `values[i]` holds from frame `starts[i]` to the next start."""

    first: int
    last: int
    starts: tuple[int, ...]
    values: tuple

    def at(self, frame: int):
        """The value of a frame; None where the file has no row for it."""
        if not self.first <= frame <= self.last:
            return None
        return self.values[bisect.bisect_right(self.starts, frame) - 1]

    def pieces(self):
        """(first frame, frame behind the last, value) in order."""
        return zip(self.starts, (*self.starts[1:], self.last + 1), self.values, strict=True)


def read_tools(file: File) -> Runs:
    """Frame -> instruments; None where the experts disagree or the challenge does not evaluate.

    Raises AnnotationFileError.
    """
    names = [native for kind, native in ontology.table(SOURCE) if kind == "instrument"]
    tools = {name: schema.Instrument(ontology.label(SOURCE, "instrument", name)) for name in names}

    def value(row):
        numbers = {name: row.float(name) for name in names}
        if set(numbers.values()) - {0.0, DISAGREE, 1.0}:
            raise row.error(f"tools are not all 0, {DISAGREE} or 1: {row.fields}")
        evaluated = EVALUATED not in row.fields or row.int(EVALUATED) == 1
        if not evaluated or DISAGREE in numbers.values():
            return None
        return tuple(tools[name] for name in names if numbers[name] == 1)

    return _runs(file, ["Frame", *names], value)


def read_steps(file: File) -> Runs:
    """Frame -> step. Raises AnnotationFileError."""
    natives = [native for kind, native in ontology.table(SOURCE) if kind == "step"]

    def value(row):
        number = row.int("Steps")
        if not 0 <= number < len(natives):
            raise row.error(f"there is no step {number}")
        return ontology.label(SOURCE, "step", natives[number])

    return _runs(file, ["Frame", "Steps"], value)


def is_steps(file: File) -> bool:
    """Whether a label file is of steps. Raises AnnotationFileError when it cannot be read."""
    first = next(iter(rows(file, ["Frame"])), None)
    if first is None:
        raise AnnotationFileError(f"{file}: no row below the header")
    return "Steps" in first.fields


def _runs(file: File, columns: list[str], read) -> Runs:
    starts, values = [], []
    first = number = None
    for row in rows(file, columns):
        frame = row.int("Frame")
        if number is None:
            first = frame
            if first not in (0, 1):
                raise row.error(f"the first frame is {first}, neither 0 nor 1")
        elif frame != number + 1:
            raise row.error(f"frame {frame} where {number + 1} should follow")
        number, value = frame, read(row)
        if not starts or value != values[-1]:
            starts.append(frame)
            values.append(value)
    if number is None:
        raise AnnotationFileError(f"{file}: no row below the header")
    return Runs(first, number, tuple(starts), tuple(values))
