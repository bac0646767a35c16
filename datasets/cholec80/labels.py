"""Cholec80's two label files: phases (a name a frame, at 25 fps) and tools (0/1 values a second).

Formats, from the released files as read by several public parsers (card.md lists them):
  phase_annotations/videoNN-phase.txt  tab separated, header `Frame Phase`, one row a frame from 0
  tool_annotations/videoNN-tool.txt    tab separated, header `Frame Grasper Bipolar ...`, rows at
                                       the frames 0, 25, 50, ...; the last seconds may have none
Phases are read by name: two orders of phase ids are in use. Every error names file and line.
"""

from __future__ import annotations

import bisect
import dataclasses
from collections.abc import Iterator
from pathlib import Path

from surgzoo.db import ontology, schema

SOURCE = "cholec80"
LABEL_FPS = 25  # frames are counted at 25 fps in both files
TOOL_STRIDE = 25  # and tools are annotated in every 25th

PHASE_HEADER = ("Frame", "Phase")


class LabelFileError(ValueError):
    """A label file that is not as the release has it; the message names file and line."""


@dataclasses.dataclass(frozen=True)
class Phases:
    """Runs of equal phase: `labels[i]` holds from row `starts[i]` to the next start."""

    starts: tuple[int, ...]
    labels: tuple[schema.Label, ...]
    rows: int

    def at(self, row: int) -> schema.Label | None:
        """The phase of a 25-fps frame; None behind the last row."""
        if not 0 <= row < self.rows:
            return None
        return self.labels[bisect.bisect_right(self.starts, row) - 1]

    def segments(self) -> tuple[schema.Segment, ...]:
        """The runs as segments in seconds."""
        ends = (*self.starts[1:], self.rows)
        return tuple(
            schema.Segment("phase", label, start / LABEL_FPS, end / LABEL_FPS)
            for label, start, end in zip(self.labels, self.starts, ends, strict=True)
        )


@dataclasses.dataclass(frozen=True)
class Tools:
    """Annotated 25-fps frames and the tools present there."""

    present: dict[int, tuple[schema.Instrument, ...]]

    def at(self, row: int) -> tuple[schema.Instrument, ...] | None:
        """() when annotated and none is there, None when the frame is not annotated."""
        return self.present.get(row)

    @property
    def last(self) -> int:
        return max(self.present, default=-1)


def read_phases(path: Path) -> Phases:
    """Raises LabelFileError, or UnmappedLabelError for a phase name that the ontology lacks."""
    starts: list[int] = []
    labels: list[schema.Label] = []
    previous = None
    rows = 0
    for line, (frame, name) in _rows(path, PHASE_HEADER):
        if frame != str(rows):
            raise LabelFileError(f"{path}, line {line}: frame {frame!r} where {rows} should follow")
        if name != previous:
            starts.append(rows)
            labels.append(_label(path, line, "phase", name))
            previous = name
        rows += 1
    if not rows:
        raise LabelFileError(f"{path}: no row below the header")
    return Phases(tuple(starts), tuple(labels), rows)


def read_tools(path: Path) -> Tools:
    """Raises LabelFileError."""
    names = [native for kind, native in ontology.table(SOURCE) if kind == "instrument"]
    instruments = [schema.Instrument(ontology.label(SOURCE, "instrument", name)) for name in names]
    present: dict[int, tuple[schema.Instrument, ...]] = {}
    for line, (frame, *values) in _rows(path, ("Frame", *names)):
        if not frame.isdecimal() or int(frame) % TOOL_STRIDE:
            raise LabelFileError(
                f"{path}, line {line}: frame {frame!r} is not a multiple of {TOOL_STRIDE}"
            )
        if int(frame) in present:
            raise LabelFileError(f"{path}, line {line}: frame {frame} is given twice")
        if set(values) - {"0", "1"}:
            raise LabelFileError(f"{path}, line {line}: {values} are not all 0 or 1")
        present[int(frame)] = tuple(
            tool for tool, value in zip(instruments, values, strict=True) if value == "1"
        )
    if not present:
        raise LabelFileError(f"{path}: no row below the header")
    return Tools(present)


def _rows(path: Path, header: tuple[str, ...]) -> Iterator[tuple[int, list[str]]]:
    """(line number, fields) below the header. Tolerates BOM, CRLF and blank lines at the end."""
    with open(path, encoding="utf-8-sig") as file:  # text mode reads CRLF as a newline
        first = file.readline().rstrip("\n").split("\t")
        if tuple(field.strip() for field in first) != header:
            raise LabelFileError(
                f"{path}, line 1: the header should be {' '.join(header)} (tab separated), "
                f"not {' '.join(first)!r}"
            )
        blank = 0
        for line, text in enumerate(file, start=2):
            fields = [field.strip() for field in text.rstrip("\n").split("\t")]
            if fields == [""]:
                blank = blank or line
                continue
            if blank:
                raise LabelFileError(f"{path}, line {blank}: empty line between rows")
            if len(fields) != len(header):
                raise LabelFileError(
                    f"{path}, line {line}: {len(fields)} tab-separated fields, not {len(header)}"
                )
            yield line, fields


def _label(path: Path, line: int, kind: str, native: str) -> schema.Label:
    try:
        return ontology.label(SOURCE, kind, native)
    except ontology.UnmappedLabelError as error:
        raise ontology.UnmappedLabelError(f"{path}, line {line}: {error}") from None
