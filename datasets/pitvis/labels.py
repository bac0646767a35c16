"""PitVis's annotation files: a row a second with a step and up to two instruments.

annotations_NN.csv: int_video, int_time (second), int_step, int_instrument1, int_instrument2.
Steps are 1 .. 14 and -1 outside of the patient. Instruments are 1 .. 18; 0 says that none can be
seen, -1 that the endoscope is outside, -2 that there is no second one. Numbers are those of the
ontology's rows in their order (names as in CAIR-HKISI/SurgMotion, data_process/pitvis_prepare.py).
"""

from __future__ import annotations

import dataclasses

from surgzoo.datasets.annotation_files import AnnotationFileError, Row, rows
from surgzoo.datasets.intervals import runs
from surgzoo.datasets.layout import File
from surgzoo.db import ontology, schema

SOURCE = "pitvis"
COLUMNS = ("int_video", "int_time", "int_step", "int_instrument1", "int_instrument2")
OUTSIDE, NOT_VISIBLE, NO_SECOND = -1, 0, -2

# Steps -> phase, as PitVQA's answers name the groups.
PHASES = {"nasal_sphenoid": range(1, 5), "sellar": range(5, 8), "closure": range(8, 15)}
PHASE_OF_STEP = "the group of the step"


@dataclasses.dataclass(frozen=True)
class Second:
    """Labels of one second; `instruments` is None where nobody looked: outside of the patient."""

    step: schema.Label | None
    phase: schema.Label | None
    instruments: tuple[schema.Label, ...] | None
    outside: bool


def read_seconds(file: File, number: int) -> dict[int, Second]:
    """Second -> labels of video `number`. Raises AnnotationFileError."""
    steps, instruments = _numbered("step"), _numbered("instrument")
    out: dict[int, Second] = {}
    for row in rows(file, COLUMNS):
        if row.int("int_video") != number:
            raise row.error(f"of video {row['int_video']} in the file of video {number}")
        second = row.int("int_time")
        if second < 0 or second in out:
            raise row.error(f"second {second} is negative or given twice")
        out[second] = _second(row, steps, instruments)
    if not out:
        raise AnnotationFileError(f"{file}: no row below the header")
    return dict(sorted(out.items()))


def _numbered(kind: str) -> dict[int, schema.Label]:
    natives = [native for k, native in ontology.table(SOURCE) if k == kind]
    return {n: ontology.label(SOURCE, kind, native) for n, native in enumerate(natives, start=1)}


def _second(
    row: Row, steps: dict[int, schema.Label], instruments: dict[int, schema.Label]
) -> Second:
    step, first, second = (row.int(column) for column in COLUMNS[2:])
    if step != OUTSIDE and step not in steps:
        raise row.error(f"there is no step {step}")
    for number in (first, second):
        if number not in instruments and number not in (OUTSIDE, NOT_VISIBLE, NO_SECOND):
            raise row.error(f"there is no instrument {number}")
    phase = next((name for name, group in PHASES.items() if step in group), None)
    seen = dict.fromkeys(instruments[n] for n in (first, second) if n in instruments)
    return Second(
        step=steps.get(step),
        phase=ontology.label(SOURCE, "phase", phase) if phase else None,
        instruments=None if first == OUTSIDE else tuple(seen),
        outside=step == OUTSIDE or first == OUTSIDE,
    )


def segments(seconds: dict[int, Second]) -> tuple[schema.Segment, ...]:
    """Runs of steps and of phases."""
    return tuple(
        segment
        for kind in ("phase", "step")
        for segment in runs(
            kind, ((t, t + 1, getattr(second, kind)) for t, second in seconds.items())
        )
    )
