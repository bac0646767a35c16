"""JIGSAWS's label files: gestures of a trial, and the ratings of all trials of a task.

  transcriptions/<trial>.txt  `79 222 G1`: first and last frame (at 30 fps, counted from 1, both
                              included) and gesture. Frames outside of all rows are not labelled;
                              that of Suturing_H002 has no row.
  meta_file_<task>.txt        tab separated, CRLF, a blank last line: trial, nothing, self-declared
                              experience (N, I, E), sum of the rating, nothing, six items of 1 to 5
The kinematics (76 numbers a frame) are measurements and no labels, and are not read.
"""

from __future__ import annotations

import bisect
import dataclasses
import re

from surgzoo.datasets.annotation_files import AnnotationFileError, rows, text
from surgzoo.datasets.layout import File
from surgzoo.db import ontology, schema

SOURCE = "jigsaws"
FPS = 30
# Which gestures a task has (Y. Gao et al., JIGSAWS, M2CAI 2014, table of gestures).
GESTURES = {
    "Suturing": (1, 2, 3, 4, 5, 6, 8, 9, 10, 11),
    "Knot_Tying": (1, 11, 12, 13, 14, 15),
    "Needle_Passing": (1, 2, 3, 4, 5, 6, 8, 11),
}
LEVELS = ("N", "I", "E")  # under 10 hours of robotic surgery, 10 to 100, over 100
LOWEST, HIGHEST = 1, 5  # of an item
EXPERIENCE, TOTAL = "self_declared_experience", "global_rating_score"


@dataclasses.dataclass(frozen=True)
class Gestures:
    """Rows of a transcription by first frame; frames count from 0 here, `ends` are exclusive."""

    starts: tuple[int, ...]
    ends: tuple[int, ...]
    names: tuple[str, ...]

    def at(self, frame: int) -> schema.Label | None:
        """The gesture of a frame as the action that it is part of; None where not labelled."""
        place = bisect.bisect_right(self.starts, frame) - 1
        if place < 0 or frame >= self.ends[place]:
            return None
        return ontology.label(SOURCE, "action", self.names[place])

    def segments(self) -> tuple[schema.Segment, ...]:
        """Each row as a gesture, and as an action."""
        return tuple(
            schema.Segment(kind, ontology.label(SOURCE, kind, name), start / FPS, end / FPS)
            for kind in ("gesture", "action")
            for start, end, name in zip(self.starts, self.ends, self.names, strict=True)
        )


def read_transcription(file: File) -> Gestures:
    """Raises AnnotationFileError, or UnmappedLabelError for a gesture that the ontology lacks."""
    found: list[tuple[int, int, str]] = []
    for row in rows(file, ("start", "end", "gesture"), header=False, delimiter=" "):
        start, end = row.int("start"), row.int("end")
        if not 1 <= start <= end:
            raise row.error(f"frames {start} to {end} are no interval counted from 1")
        if found and start <= found[-1][1]:
            raise row.error(f"frame {start} is in the row before already")
        try:
            ontology.label(SOURCE, "gesture", row["gesture"])
        except ontology.UnmappedLabelError as error:
            raise ontology.UnmappedLabelError(f"{file}, line {row.line}: {error}") from None
        found.append((start, end, row["gesture"]))
    return Gestures(
        tuple(start - 1 for start, _, _ in found),
        tuple(end for _, end, _ in found),
        tuple(name for _, _, name in found),
    )


def read_meta(file: File, task: str) -> dict[str, tuple[schema.Skill, ...]]:
    """Trial -> its ratings. Raises AnnotationFileError; the sum has to be that of the items."""
    items = [ontology.label(SOURCE, "skill", name).concept for name in _items()]
    out: dict[str, tuple[schema.Skill, ...]] = {}
    for number, line in enumerate(text(file).split("\n"), start=1):
        if not line.strip():
            continue
        # Columns are told apart by one tab or two.
        fields = [field.strip() for field in re.split(r"\t+", line.strip())]

        def error(problem: str, number: int = number) -> AnnotationFileError:
            return AnnotationFileError(f"{file}, line {number}: {problem}")

        if len(fields) != 3 + len(items):
            raise error(f"{len(fields)} fields, not {3 + len(items)}: {line.strip()[:80]!r}")
        name, level, *numbers = fields
        if not re.fullmatch(rf"{task}_[B-I]\d{{3}}", name):
            raise error(f"{name!r} is no trial of {task}")
        if name in out:
            raise error(f"{name} is given twice")
        if level not in LEVELS:
            raise error(f"the experience {level!r} is none of {', '.join(LEVELS)}")
        if not all(re.fullmatch(r"\d{1,2}", value) for value in numbers):
            raise error(f"{numbers} are not all whole numbers")
        total, *values = map(int, numbers)
        if not all(LOWEST <= value <= HIGHEST for value in values):
            raise error(f"{values} are not all from {LOWEST} to {HIGHEST}")
        if sum(values) != total:
            raise error(f"the sum is {total}, the items {values} make {sum(values)}")
        out[name] = (
            schema.Skill(EXPERIENCE, LEVELS.index(level), 0, len(LEVELS) - 1),
            schema.Skill(TOTAL, total, LOWEST * len(items), HIGHEST * len(items)),
            *(
                schema.Skill(item, value, LOWEST, HIGHEST)
                for item, value in zip(items, values, strict=True)
            ),
        )
    if not out:
        raise AnnotationFileError(f"{file}: has no row")
    return out


def _items() -> list[str]:
    """The six items, in the order of the columns."""
    skills = [native for kind, native in ontology.table(SOURCE) if kind == "skill"]
    return [native for native in skills if native not in LEVELS]
