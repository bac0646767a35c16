"""HeiChole's label files: tables without header, a row for every frame of the video.

Phase: frame, phase (0 .. 6 in Cholec80's order). Instrument: frame and 21 columns, of which the
first seven are the categories and the last is the shaft of some instrument whose tip is not in
view. Action: frame, grasp, hold, cut, clip. Skill: five ratings, 1 to 5.
Numbers stand for the ontology's rows in their order.
"""

from __future__ import annotations

from surgzoo.datasets.annotation_files import AnnotationFileError, Row, text
from surgzoo.datasets.frame_runs import Runs, frame_runs
from surgzoo.datasets.layout import File
from surgzoo.db import ontology, schema

SOURCE = "heichole"
INSTRUMENT_COLUMNS = 21
SHAFT = "undefined shaft"  # the last of them
LOWEST, HIGHEST = 1, 5


def natives(kind: str) -> list[str]:
    return [native for k, native in ontology.table(SOURCE) if k == kind]


def read_phases(file: File) -> Runs:
    """Frame -> phase. Raises AnnotationFileError."""
    names = natives("phase")

    def value(row: Row) -> schema.Label:
        number = row.int("phase")
        if not 0 <= number < len(names):
            raise row.error(f"there is no phase {number}")
        return ontology.label(SOURCE, "phase", names[number])

    return frame_runs(file, ["Frame", "phase"], value, header=False)


def read_instruments(file: File) -> Runs:
    """Frame -> instruments by category; None where only a shaft of nobody knows what is in view.

    Raises AnnotationFileError.
    """
    names = natives("instrument")
    unused = [f"column {n}" for n in range(len(names) + 2, INSTRUMENT_COLUMNS + 1)]

    def value(row: Row) -> tuple[schema.Instrument, ...] | None:
        if any(_flag(row, name) for name in unused):
            raise row.error(f"a category beyond the {len(names)} known ones is set")
        found = tuple(
            schema.Instrument(ontology.label(SOURCE, "instrument", name))
            for name in names
            if _flag(row, name)
        )
        # An instrument is there: "none" would be wrong.
        return None if _flag(row, SHAFT) and not found else found

    return frame_runs(file, ["Frame", *names, *unused, SHAFT], value, header=False)


def read_actions(file: File) -> Runs:
    """Frame -> actions. Raises AnnotationFileError."""
    names = natives("action")

    def value(row: Row) -> tuple[schema.Label, ...]:
        return tuple(ontology.label(SOURCE, "action", name) for name in names if _flag(row, name))

    return frame_runs(file, ["Frame", *names], value, header=False)


def read_skill(file: File, part: str) -> tuple[schema.Skill, ...]:
    """The five ratings of a part of the operation, whatever separates them.

    Raises AnnotationFileError.
    """
    names = natives("skill")
    fields = text(file).replace(",", " ").replace(";", " ").split()
    if fields and not fields[0].replace(".", "").isdecimal():
        fields = [field for field in fields if field.replace(".", "").isdecimal()]  # a header
    if len(fields) != len(names):
        raise AnnotationFileError(
            f"{file}: {len(fields)} numbers, not {len(names)} ({', '.join(names)})"
        )
    out = []
    for name, field in zip(names, fields, strict=True):
        try:
            rating = float(field)
        except ValueError:
            raise AnnotationFileError(f"{file}: the rating {field!r} is not a number") from None
        if not LOWEST <= rating <= HIGHEST:
            raise AnnotationFileError(f"{file}: the rating {field} is not from 1 to 5")
        out.append(schema.Skill(f"{part} {name}", rating, LOWEST, HIGHEST))
    return tuple(out)


def _flag(row: Row, column: str) -> bool:
    if row[column] not in ("0", "1", "0.0", "1.0"):
        raise row.error(f"{column} is {row[column]!r}, neither 0 nor 1")
    return row[column].startswith("1")
