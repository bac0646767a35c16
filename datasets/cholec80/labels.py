"""Cholec80's two label files: phases (a name a frame, at 25 fps) and tools (0/1 values a second).

Formats, from the released files as read by several public parsers (card.md lists them):
  phase_annotations/videoNN-phase.txt  tab separated, header `Frame Phase`, one row a frame from 0
  tool_annotations/videoNN-tool.txt    tab separated, header `Frame Grasper Bipolar ...`, rows at
                                       the frames 0, 25, 50, ...; the last seconds may have none
Phases are read by name: two orders of phase ids are in use. The m2cai16 challenge has the same
formats, hence `source`, the ontology's table that the names are of. Errors name file and line.
"""

from __future__ import annotations

import dataclasses

from surgzoo.datasets.annotation_files import AnnotationFileError, Row, rows
from surgzoo.datasets.frame_runs import Runs, frame_runs
from surgzoo.datasets.layout import File
from surgzoo.datasets.video import VideoInfo
from surgzoo.db import ontology, schema

SOURCE = "cholec80"
LABEL_FPS = 25  # frames are counted at 25 fps in both files
TOOL_STRIDE = 25  # and tools are annotated in every 25th


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

    def notes(self, last_row: int) -> list[str]:
        """What the file leaves open, given the last 25-fps frame of the video."""
        if self.last >= last_row // TOOL_STRIDE * TOOL_STRIDE:
            return []
        return [f"tools end at frame {self.last}, the video at frame {last_row}"]


def last_row(info: VideoInfo | None) -> int:
    """The last 25-fps frame of a video by its header."""
    return round((info.duration if info else 0.0) * LABEL_FPS) - 1


def rate_notes(info: VideoInfo | None) -> list[str]:
    """That a video has another rate than its labels, where it has one."""
    if info is None or info.fps == LABEL_FPS:
        return []
    return [f"the file has {float(info.fps):.3f} fps, the labels {LABEL_FPS}; matched by time"]


def read_phases(file: File, source: str = SOURCE) -> Runs[schema.Label]:
    """Raises AnnotationFileError, or UnmappedLabelError for a name that the ontology lacks."""

    def phase(row: Row) -> schema.Label:
        try:
            return ontology.label(source, "phase", row["Phase"])
        except ontology.UnmappedLabelError as error:
            raise ontology.UnmappedLabelError(f"{file}, line {row.line}: {error}") from None

    return frame_runs(file, ("Frame", "Phase"), phase, delimiter="\t", exact=True, firsts=(0,))


def read_tools(file: File, source: str = SOURCE) -> Tools:
    """Raises AnnotationFileError."""
    names = [native for kind, native in ontology.table(source) if kind == "instrument"]
    instruments = [schema.Instrument(ontology.label(source, "instrument", name)) for name in names]
    present: dict[int, tuple[schema.Instrument, ...]] = {}
    for row in rows(file, ("Frame", *names), delimiter="\t", exact=True):
        frame = row.int("Frame")
        if frame < 0 or frame % TOOL_STRIDE:
            raise row.error(f"frame {frame} is not a multiple of {TOOL_STRIDE}")
        if frame in present:
            raise row.error(f"frame {frame} is given twice")
        values = [row[name] for name in names]
        if set(values) - {"0", "1"}:
            raise row.error(f"{values} are not all 0 or 1")
        present[frame] = tuple(
            tool for tool, value in zip(instruments, values, strict=True) if value == "1"
        )
    if not present:
        raise AnnotationFileError(f"{file}: no row below the header")
    return Tools(present)
