"""CATARACTS's two label files a video: tools and steps, a row a frame of the video.

Tools: `Frame`, in test files also `to_be_evaluated`, and 21 columns with 0, 0.5 (the two experts
disagree) or 1. Steps: `Frame, Steps`, ids 0 .. 18 in the order of the ontology's rows. The two are
told apart by their columns, as their folders differ between the challenges.
"""

from __future__ import annotations

from surgzoo.datasets.annotation_files import AnnotationFileError, rows
from surgzoo.datasets.frame_runs import Runs, frame_runs
from surgzoo.datasets.layout import File
from surgzoo.db import ontology, schema

SOURCE = "cataracts"
EVALUATED = "to_be_evaluated"
DISAGREE = 0.5


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

    return frame_runs(file, ["Frame", *names], value)


def read_steps(file: File) -> Runs:
    """Frame -> step. Raises AnnotationFileError."""
    natives = [native for kind, native in ontology.table(SOURCE) if kind == "step"]

    def value(row):
        number = row.int("Steps")
        if not 0 <= number < len(natives):
            raise row.error(f"there is no step {number}")
        return ontology.label(SOURCE, "step", natives[number])

    return frame_runs(file, ["Frame", "Steps"], value)


def is_steps(file: File) -> bool:
    """Whether a label file is of steps. Raises AnnotationFileError when it cannot be read."""
    first = next(iter(rows(file, ["Frame"])), None)
    if first is None:
        raise AnnotationFileError(f"{file}: no row below the header")
    return "Steps" in first.fields
