"""AutoLaparo's label files: phases of videos, motions of clips, masks of images.

  label_NN.txt                 header `Frame Phase`, tabs between: a row a second, counted from 1
  laparoscope_motion_label.txt the same, header `Clip Label Phase`: a row a clip of ten seconds; the
                               camera moves from the fifth second on
  XXXYYY.png                   clip XXX, its frame YYY (at 25 fps, counted from 1): 0, 20, ... 180
(Release notes of AutoLaparo, arXiv 2208.02049; github.com/ziyiwangx/AutoLaparo.)
Ids of phases count from 1, of motions from 0, in the order of the ontology's table.
"""

from __future__ import annotations

import dataclasses

import numpy as np

from surgzoo.datasets import masks
from surgzoo.datasets.annotation_files import AnnotationFileError, Row, rows
from surgzoo.datasets.frame_runs import Runs, frame_runs
from surgzoo.datasets.layout import File
from surgzoo.db import ontology, schema

SOURCE = "autolaparo"
FPS = 25
MOTION_START, CLIP_END = 5.0, 10.0  # seconds
# Values of the masks, with the names of the release notes.
VALUES = {
    0: ("void", "background"),
    20: ("instrument", "grasping forceps manipulator"),
    40: ("instrument", "grasping forceps shaft"),
    60: ("instrument", "LigaSure manipulator"),
    80: ("instrument", "LigaSure shaft"),
    100: ("instrument", "dissecting and grasping forceps manipulator"),
    120: ("instrument", "dissecting and grasping forceps shaft"),
    140: ("instrument", "electric hook manipulator"),
    160: ("instrument", "electric hook shaft"),
    180: ("tissue", "uterus"),
}
_FIRST_ID = {"phase": 1, "motion": 0}


@dataclasses.dataclass(frozen=True)
class ClipLabel:
    """How the camera moves in the second half of a clip, and the phase that the clip is of."""

    motion: schema.Label
    phase: schema.Label

    def segment(self) -> schema.Segment:
        """The motion as a segment of the clip."""
        return schema.Segment("motion", self.motion, MOTION_START, CLIP_END)


def read_phases(file: File) -> Runs[schema.Label]:
    """The phase of each second of a video. Raises AnnotationFileError."""
    names = _by_id("phase")

    def phase(row: Row) -> schema.Label:
        return _label(row, "phase", "Phase", names)

    return frame_runs(file, ("Frame", "Phase"), phase, delimiter=" ", exact=True, firsts=(1,))


def read_motions(file: File) -> dict[int, ClipLabel]:
    """Clip -> its labels. Raises AnnotationFileError."""
    motions, phases = _by_id("motion"), _by_id("phase")
    out: dict[int, ClipLabel] = {}
    for row in rows(file, ("Clip", "Label", "Phase"), delimiter=" "):
        clip = row.int("Clip")
        if clip < 1 or clip in out:
            raise row.error(f"clip {clip} is given twice" if clip in out else f"no clip {clip}")
        out[clip] = ClipLabel(
            _label(row, "motion", "Label", motions), _label(row, "phase", "Phase", phases)
        )
    if not out:
        raise AnnotationFileError(f"{file}: no row below the header")
    return out


def read_mask(
    file: File, size: tuple[int, int]
) -> tuple[schema.FrameAnnotations, dict[str, bytes]]:
    """Instruments and tissues of a mask, with the two maps. Raises FrameError.

    A value is a class, and manipulator and shaft of an instrument are two values: an instrument has
    no box, and up to two entries.
    """
    values = masks.one_channel(masks.read_mask(file, size), file)
    masks.check_values(values, tuple(VALUES), file)
    labels: dict[str, dict[int, schema.Label]] = {"instrument": {}, "tissue": {}}
    for value, (kind, native) in VALUES.items():
        if kind in labels:
            labels[kind][value] = ontology.label(SOURCE, kind, native)
    tissues = masks.tissues(values, labels["tissue"])
    annotations = schema.FrameAnnotations(
        instruments=masks.instruments(values, labels["instrument"], instances=False),
        tissues=tissues,
        derived={"tissues.box": masks.BOX_OF_MASK} if tissues else {},
    )
    dense = {
        f"{kind}_mask": masks.encode(np.where(np.isin(values, list(found)), values, 0))
        for kind, found in labels.items()
    }
    return annotations, dense


def _by_id(kind: str) -> dict[int, str]:
    natives = [native for k, native in ontology.table(SOURCE) if k == kind]
    return dict(enumerate(natives, start=_FIRST_ID[kind]))


def _label(row: Row, kind: str, column: str, names: dict[int, str]) -> schema.Label:
    number = row.int(column)
    if number not in names:
        raise row.error(f"there is no {kind} {number}; known are {min(names)} to {max(names)}")
    return ontology.label(SOURCE, kind, names[number])
