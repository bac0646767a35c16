"""GraSP's frames and labels: what its file names count, and masks from the label files.

The label files are COCO files like PSI-AVA's (see its labels.py), with keys in the plural and a
segmentation (run lengths or polygons) an instrument. grasp_long-term_*.json have phase and step of
one frame a second, grasp_short-term_*.json the instruments and actions of key frames.

A frame's name is a number. In GraSP_1fps (five digits) it counts seconds. In GraSP_30fps (nine
digits) it counts frames of the original video, which 30 a second were kept of: 30 a second in six
cases, 45 in the others. That is how TAPIS finds a frame (github.com/BCV-Uniandes/GraSP,
TAPIS/tapis/datasets/grasp.py), and it makes the key frames that the README lists, 68, 1642 and 3218
of CASE001 and 15, 1065 and 2115 of CASE053, 35 s apart in both. CASE014's numbers are regular in no
way: there a frame's time is its place in the folder.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from surgzoo.datasets import masks
from surgzoo.datasets.annotation_files import FrameError, Node
from surgzoo.datasets.psi_ava.labels import KeyFrame
from surgzoo.db import schema

SOURCE = "grasp"
DENSE_FPS = 30
LONGEST = 6  # digits of a name that counts seconds
_AT_30 = frozenset({"CASE021", "CASE041", "CASE047", "CASE050", "CASE051", "CASE053"})
_BY_PLACE = frozenset({"CASE014"})
_ORIGINAL_FPS = 45

_IMAGE = re.compile(r"(?:.*/)?(CASE\d+)/(\d+)\.(?:jpe?g|png)", re.IGNORECASE)


def image_key(node: Node) -> tuple[str, str]:
    """(case, stem) of a file name: "00068" and "000000068" are different frames.

    Raises AnnotationFileError.
    """
    match = _IMAGE.fullmatch(node.str())
    if match is None:
        raise node.error(f"{node.value!r} is not a name like CASE001/000000000.jpg")
    return match[1].upper(), match[2]


def dense(stem: str) -> bool:
    """Whether a frame is of GraSP_30fps."""
    return len(stem) > LONGEST


def times(case: str, stems: Sequence[str]) -> dict[str, float]:
    """Seconds of frames of one case and one of the two trees. All of its frames have to be given
    for a case whose numbers are irregular."""
    ordered = sorted(stems, key=int)
    if ordered and not dense(ordered[0]):
        return {stem: float(int(stem)) for stem in ordered}
    if case in _BY_PLACE:
        return {stem: place / DENSE_FPS for place, stem in enumerate(ordered)}
    fps = DENSE_FPS if case in _AT_30 else _ORIGINAL_FPS
    return {stem: int(stem) / fps for stem in ordered}


def by_place(case: str) -> bool:
    """Whether a case's times in GraSP_30fps are known by place only."""
    return case in _BY_PLACE


def annotate(
    frame: KeyFrame, image: np.ndarray
) -> tuple[schema.FrameAnnotations, dict[str, bytes]]:
    """The annotations with mask values 1, 2, ... in the order of the instruments, and the map.

    Raises FrameError for a mask that does not fit the image.
    """
    if frame.problem:
        raise FrameError(frame.problem)
    found = frame.annotations
    if not found.instruments or not any(map(_has_mask, frame.segmentations)):
        return found, {}
    size = image.shape[:2]
    values = np.zeros(size, np.uint8)
    instruments = []
    for value, (instrument, segmentation) in enumerate(
        zip(found.instruments, frame.segmentations, strict=True), start=1
    ):
        if _has_mask(segmentation):
            values[_mask(segmentation, size)] = value
            instrument = dataclasses.replace(instrument, mask=value)
        instruments.append(instrument)
    found = dataclasses.replace(found, instruments=tuple(instruments))
    return found, {"instrument_mask": masks.encode(values)}


def _has_mask(segmentation: Any) -> bool:
    return bool(segmentation)


def _mask(segmentation: Any, size: tuple[int, int]) -> np.ndarray:
    """bool [height, width] of run lengths or of polygons (flat lists x, y, x, y, ...)."""
    if isinstance(segmentation, Mapping):
        stated, counts = segmentation.get("size"), segmentation.get("counts")
        if stated != list(size):
            raise FrameError(f"a mask of size {stated} for an image of height, width {list(size)}")
        if not isinstance(counts, str) and not _numbers(counts, int):
            raise FrameError("the counts of a mask are neither a text nor whole numbers")
        return masks.run_lengths(counts, size)
    if not isinstance(segmentation, list):
        raise FrameError("a segmentation that is neither run lengths nor polygons")
    out = np.zeros(size, bool)
    for points in segmentation:
        if not _numbers(points, (int, float)) or len(points) % 2:
            raise FrameError("a polygon that is no list of x, y, x, y, ...")
        out |= masks.polygon([*zip(points[::2], points[1::2], strict=True)], size)
    return out


def _numbers(values: Any, kind: type | tuple[type, ...]) -> bool:
    return isinstance(values, list) and all(
        isinstance(value, kind) and not isinstance(value, bool) and abs(value) < 1e9
        for value in values
    )
