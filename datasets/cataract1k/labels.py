"""Cataract-1K's label files: phases as a table of intervals, masks as polygons in two formats.

Formats, from the owner's code and README (github.com/Negin-Ghamsarian/Cataract-1K) and from what
several public parsers of the Synapse release read:
  case_5013_annotations_phases.csv  caseId,comment,frame,endFrame,sec,endSec; `comment` is the
                                    phase. The owner's code calls it case_5013_annotations.csv
  case_5013_video.csv               one row, the frame rate in its fifth column
  ann/case5013_01.png.json          Supervisely: objects with classTitle and points.exterior
  instances.json                    COCO: images, annotations, categories
Names differ between README, tables and exports in case and marks, so they are compared without
these; `OTHER_NAMES` holds what is spelled otherwise.
"""

from __future__ import annotations

import dataclasses
import functools
import re

import numpy as np

from surgzoo.datasets import masks
from surgzoo.datasets.annotation_files import AnnotationFileError, FrameError, Node, Row, rows
from surgzoo.datasets.annotation_files import json_file as read_json
from surgzoo.datasets.layout import File
from surgzoo.db import ontology, schema

SOURCE = "cataract1k"

# File's name -> name in the ontology's table, both as `_key` has them.
OTHER_NAMES = {
    "capsulepulishing": "capsulepolishing",  # so in every phase table
    # Titles of the masks. COCO says lens, Supervisely lense; cornea1 and pupil1 are classes of the
    # COCO export that its parsers list beside cornea and pupil (our choice: the same tissue).
    "lens": "lense",
    "cornea1": "cornea",
    "pupil1": "pupil",
    # An earlier version of the owner's code has these.
    "rhexis": "capsulorhexiscystotome",
    "phacotip": "phacoemulsificationtip",
    "ia": "irrigationaspiration",
    "cartridge": "lensinjector",
    "rhexisforceps": "capsulorhexisforceps",
}
# Drawn in this order, as the pupil is drawn inside the cornea; the value in our tissue mask.
TISSUES = {"cornea": 1, "pupil": 2, "lense": 3}

_FPS_COLUMN = 4  # of the video table, from 0


def _key(name: str) -> str:
    key = re.sub(r"[^a-z0-9]", "", name.lower())
    return OTHER_NAMES.get(key, key)


@functools.cache
def _known() -> dict[tuple[str, str], str]:
    """(kind, key) -> native name of the ontology's table."""
    return {(kind, _key(native)): native for kind, native in ontology.table(SOURCE)}


def label(kind: str, name: str, where: str) -> schema.Label:
    """Raises UnmappedLabelError that begins with `where`."""
    native = _known().get((kind, _key(name)), name)
    try:
        return ontology.label(SOURCE, kind, native)
    except ontology.UnmappedLabelError as error:
        raise ontology.UnmappedLabelError(f"{where}: {error}") from None


# ---- phases --------------------------------------------------------------------------------------


def read_fps(file: File) -> float:
    """The frame rate of a video table. Raises AnnotationFileError."""
    last = next(reversed([*rows(file)]), None)
    if last is None or len(last.fields) <= _FPS_COLUMN:
        raise AnnotationFileError(f"{file}: has no row with a frame rate in its fifth column")
    fps = last.float(list(last.fields)[_FPS_COLUMN])
    if not 1 <= fps <= 240:
        raise last.error(f"{fps:g} is no frame rate")
    return fps


def read_phases(
    file: File, case: int, fps: float | None
) -> tuple[tuple[schema.Segment, ...], tuple[str, ...]]:
    """(phases in seconds, notes). `fps` serves a table that has frames but no seconds.

    Raises AnnotationFileError, or UnmappedLabelError for a phase that the ontology lacks.
    """
    segments, empty = [], 0
    for row in rows(file, ("caseId", "comment", "frame", "endFrame")):
        if row.int("caseId") != case:
            raise row.error(f"is of case {row['caseId']}, not {case}")
        found = label("phase", row["comment"], f"{file}, line {row.line}")
        start, end = _seconds(row, fps)
        if start < 0 or end < start:
            raise row.error(f"runs from {start:g} to {end:g} s")
        if end == start:
            empty += 1
            continue
        segments.append(schema.Segment("phase", found, start, end))
    if not segments:
        raise AnnotationFileError(f"{file}: no phase below the header")
    notes = (f"{empty} phases of no length are left out",) if empty else ()
    return tuple(sorted(segments, key=lambda s: (s.start, s.end))), notes


def _seconds(row: Row, fps: float | None) -> tuple[float, float]:
    """Seconds as the table has them: the frames count at the rate of the camera's file, which is
    not always that of the released video."""
    if row.fields.get("sec") and row.fields.get("endSec"):
        return row.float("sec"), row.float("endSec")
    if fps is None:
        raise row.error("has no seconds, and there is no table with the frame rate of the video")
    return row.int("frame") / fps, row.int("endFrame") / fps


# ---- masks ---------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Shape:
    """One outlined object: rings of (x, y) pixels, or COCO's run lengths."""

    kind: str  # instrument or tissue
    label: schema.Label
    rings: tuple[tuple[tuple[float, float], ...], ...] = ()
    holes: tuple[tuple[tuple[float, float], ...], ...] = ()
    runs: str | tuple[int, ...] | None = None
    size: tuple[int, int] = (0, 0)  # height, width that the file states


def _titled(name: str, where: str) -> tuple[str, schema.Label]:
    kind = "tissue" if ("tissue", _key(name)) in _known() else "instrument"
    return kind, label(kind, name, where)


def read_supervisely(file: File) -> tuple[Shape, ...]:
    """The objects of one image. Raises AnnotationFileError or UnmappedLabelError."""
    data = read_json(file)
    size = data["size"]["height"].int(), data["size"]["width"].int()
    out = []
    for item in data["objects"].list():
        title = item["classTitle"]
        kind, found = _titled(title.str(), f"{file}, {title.path}")
        points = item["points"]
        interior = points.get("interior")
        holes = [] if interior is None else interior.list()
        out.append(
            Shape(
                kind,
                found,
                (_ring(points["exterior"]),),
                tuple(_ring(hole) for hole in holes),
                size=size,
            )
        )
    return tuple(out)


def _ring(node: Node) -> tuple[tuple[float, float], ...]:
    return tuple(point.floats(2) for point in node.list())


def read_coco(file: File) -> dict[str, tuple[Shape, ...]]:
    """Name of an image file -> its objects, for all images of the file."""
    data = read_json(file)
    classes: dict[int, tuple[Node, str]] = {}
    for item in data["categories"].list():
        number = item["id"].int()
        if number in classes:
            raise item.error(f"the id {number} is given twice")
        classes[number] = item, item["name"].str()
    names: dict[int, str] = {}
    sizes: dict[int, tuple[int, int]] = {}
    for item in data["images"].list():
        number, name = item["id"].int(), item["file_name"].str().replace("\\", "/")
        name = name.rpartition("/")[2].lower()
        if number in names or name in names.values():
            raise item.error(f"{name} (id {number}) is given twice")
        names[number] = name
        sizes[number] = item["height"].int(), item["width"].int()
    found: dict[str, list[Shape]] = {name: [] for name in names.values()}
    for item in data["annotations"].list():
        image, category = item["image_id"], item["category_id"]
        if image.int() not in names:
            raise image.error(f"there is no image {image.int()}")
        if category.int() not in classes:
            raise category.error(f"there is no category {category.int()}")
        node, title = classes[category.int()]
        kind, name = _titled(title, f"{file}, {node.path}")
        shape = Shape(kind, name, size=sizes[image.int()])
        found[names[image.int()]].append(_outlined(shape, item["segmentation"]))
    return {name: tuple(shapes) for name, shapes in found.items()}


def _outlined(shape: Shape, node: Node) -> Shape:
    if isinstance(node.value, dict):
        counts = node["counts"]
        runs = (
            counts.str()
            if isinstance(counts.value, str)
            else tuple(item.int() for item in counts.list())
        )
        return dataclasses.replace(shape, runs=runs)
    rings = []
    for ring in node.list():
        numbers = [item.float() for item in ring.list()]
        if len(numbers) % 2:
            raise ring.error(f"{len(numbers)} numbers are no (x, y) pairs")
        rings.append(tuple(zip(numbers[::2], numbers[1::2], strict=True)))
    return dataclasses.replace(shape, rings=tuple(rings))


def annotate(
    shapes: tuple[Shape, ...], size: tuple[int, int]
) -> tuple[schema.FrameAnnotations, dict[str, bytes]]:
    """Objects of an image of `size` = (height, width). Raises FrameError.

    Tissues cover each other in the order of `TISSUES`; every instrument has a value of its own, a
    later one on top. A box is around the whole outline, covered parts too.
    """
    tissue_mask, instrument_mask = np.zeros(size, np.uint8), np.zeros(size, np.uint8)
    regions: dict[str, np.ndarray] = {}
    tools: list[tuple[schema.Label, np.ndarray]] = []
    for shape in shapes:
        if shape.size != tuple(size):
            raise FrameError(
                f"the outlines are of an image of {shape.size[1]}x{shape.size[0]}, this one has "
                f"{size[1]}x{size[0]}"
            )
        region = _filled(shape, size)
        if shape.kind == "instrument":
            tools.append((shape.label, region))
        elif shape.label.native in regions:
            regions[shape.label.native] |= region
        else:
            regions[shape.label.native] = region
    tissues, instruments = [], []
    for native, value in TISSUES.items():
        if native in regions:
            tissue_mask[regions[native]] = value
    for native, value in TISSUES.items():
        if native in regions:
            shown = value if (tissue_mask == value).any() else 0
            name = ontology.label(SOURCE, "tissue", native)
            tissues.append(schema.Tissue(name, masks.box(regions[native]), shown))
    if len(tools) > 255:
        raise FrameError(f"{len(tools)} instruments do not fit an 8-bit mask")
    for value, (_, region) in enumerate(tools, start=1):
        instrument_mask[region] = value
    for value, (name, region) in enumerate(tools, start=1):
        shown = value if (instrument_mask == value).any() else 0
        instruments.append(schema.Instrument(name, masks.box(region), shown))
    annotations = schema.FrameAnnotations(
        instruments=tuple(instruments),
        tissues=tuple(tissues),
        derived={"instruments.box": masks.BOX_OF_MASK, "tissues.box": masks.BOX_OF_MASK},
    )
    return annotations, {
        "tissue_mask": masks.encode(tissue_mask),
        "instrument_mask": masks.encode(instrument_mask),
    }


def _filled(shape: Shape, size: tuple[int, int]) -> np.ndarray:
    if shape.runs is not None:
        return masks.run_lengths(shape.runs, size)
    corners = [value for ring in (*shape.rings, *shape.holes) for point in ring for value in point]
    if corners and max(map(abs, corners)) > 2 * max(size):
        raise FrameError(f"the outline of {shape.label.native} lies far outside of the image")
    region = np.zeros(size, bool)
    for ring in shape.rings:
        region |= masks.polygon(ring, size)
    for hole in shape.holes:
        region &= ~masks.polygon(hole, size)
    if not region.any():
        raise FrameError(f"the outline of {shape.label.native} holds no pixel of the image")
    return region
