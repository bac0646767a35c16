"""The file of boxes that Kvasir-Instrument and HyperKvasir share, and the lists of a split.

bboxes.json  {image: {"height", "width", "bbox": [{"label", "xmin", "ymin", "xmax", "ymax"}]}}
             in pixels (github.com/dataset-ninja/kvasir-instrument, src/convert.py)
train.txt    the name of an image a line, without its ending
"""

from __future__ import annotations

import dataclasses

from surgzoo.datasets.annotation_files import AnnotationFileError, FrameError, json_file, text
from surgzoo.datasets.layout import File
from surgzoo.db import boxes, schema

_ENDINGS = (".jpg", ".jpeg", ".png")


@dataclasses.dataclass(frozen=True)
class Boxes:
    """The boxes of one image in pixels, and the size (height, width) that they are for."""

    size: tuple[int, int]
    corners: tuple[tuple[float, float, float, float], ...]  # x1, y1, x2, y2

    def of(self, size: tuple[int, int]) -> tuple[schema.Box, ...]:
        """The boxes of the image, which has this size. Raises FrameError."""
        if tuple(size) != self.size:
            raise FrameError(
                f"the boxes are of an image of {self.size[1]}x{self.size[0]}, this one has "
                f"{size[1]}x{size[0]}"
            )
        try:
            return tuple(boxes.from_xyxy(one, size, clip=True) for one in self.corners)
        except ValueError as error:
            raise FrameError(str(error)) from None


def read_boxes(file: File) -> dict[str, Boxes]:
    """Name of an image without ending -> its boxes. Raises AnnotationFileError."""
    out: dict[str, Boxes] = {}
    for name, node in json_file(file).items():
        stem = without_ending(name)
        if stem in out:
            raise node.error(f"the image {stem} is given twice")
        size = node["height"].int(), node["width"].int()
        if min(size) < 1:
            raise node.error(f"{size[1]}x{size[0]} is no size of an image")
        corners = tuple(
            tuple(item[key].float() for key in ("xmin", "ymin", "xmax", "ymax"))
            for item in node["bbox"].list()
        )
        out[stem] = Boxes(size, corners)
    return out


def read_list(file: File) -> tuple[str, ...]:
    """Names of images without ending. Raises AnnotationFileError."""
    names = [without_ending(line.strip()) for line in text(file).split("\n") if line.strip()]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice:
        raise AnnotationFileError(f"{file}: {twice} is listed twice")
    if not names:
        raise AnnotationFileError(f"{file}: lists no image")
    return tuple(names)


def without_ending(name: str) -> str:
    for ending in _ENDINGS:
        if name.lower().endswith(ending):
            return name[: -len(ending)].lower()
    return name.lower()
