"""Endoscapes2023's label files: CVS scores and boxes in COCO files, class masks, lists of videos.

  <split>/annotation_coco.json     boxes every 30 s, polygons or run lengths in 50 videos
  <split>/annotation_ds_coco.json  CVS every 5 s: `ds` = [C1, C2, C3], each the mean of three raters
  semseg/VID_FRAME.png             class ids in three equal channels, 255 = ignore
  <split>_vids.txt                 video numbers, also as 1.000000000000000000e+00

An image is known by its file name: ids are the digits of video and frame joined in several ways.
`ds` of an image that is no key frame repeats the last rating, so it is not read. A file that has no
`annotations` says nothing about boxes, whatever its images say. annotation_coco_vid.json holds no
label that the other two lack, and lacks images itself (228 of the test videos 190 and 194), so it
is not read at all.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterable, Sequence

import numpy as np

from surgzoo.datasets import masks
from surgzoo.datasets.annotation_files import AnnotationFileError, FrameError, Node, json_file, text
from surgzoo.datasets.layout import File
from surgzoo.db import boxes, ontology, schema

SOURCE = "endoscapes"
FRAME_RATE = 25  # frames are counted in the 25-fps video
RATERS = 3
IGNORED = 255
TOOL = 6

# Class ids of semseg/, github.com/CAMMA-public/Endoscapes, seg_label_map.txt and README.
CLASSES = {
    0: "background",
    1: "cystic_plate",
    2: "calot_triangle",
    3: "cystic_artery",
    4: "cystic_duct",
    5: "gallbladder",
    TOOL: "tool",
}

_NAME = re.compile(r"(\d+)_(\d+)\.jpg", re.IGNORECASE)
_ROUNDING = 0.02  # 0.67 for 2/3

Key = tuple[int, int]  # video, 25-fps frame


@dataclasses.dataclass(frozen=True)
class Thing:
    """A box of the COCO files: class name, x, y, w, h in pixels, and its outline where it has one.

    `outline` is a list of polygons (flat x, y pixels), or COCO run lengths.
    """

    native: str
    box: tuple[float, ...]
    outline: tuple[tuple[float, ...], ...] | Runs | None = None


@dataclasses.dataclass(frozen=True)
class Runs:
    """COCO's run lengths of an image of `size` = (height, width)."""

    size: tuple[int, int]
    counts: str | tuple[int, ...]


@dataclasses.dataclass(frozen=True)
class Image:
    """What the COCO files say of one image; `things` is None where boxes are not annotated."""

    size: tuple[int, int]  # height, width that the boxes are of
    scores: tuple[float, ...] | None = None
    things: tuple[Thing, ...] | None = None


def read_coco(files: Iterable[File]) -> dict[Key, Image]:
    """The images of several COCO files; of boxes given twice the first, or those with outlines.

    Raises AnnotationFileError, also when two files rate one frame differently.
    """
    out: dict[Key, Image] = {}
    for file in files:
        for key, image in _read_one(file).items():
            out[key] = _joined(out[key], image, file) if key in out else image
    return out


def annotate(
    image: Image | None, semantic: File | None, size: tuple[int, int]
) -> tuple[schema.FrameAnnotations, dict[str, bytes]]:
    """Annotations and dense maps of a frame of `size` = (height, width). Raises FrameError."""
    classes = None if semantic is None else _class_mask(semantic, size)
    things = image.things if image else None
    dense: dict[str, bytes] = {}
    derived: dict[str, str] = {}
    instruments: tuple[schema.Instrument, ...] | None = None
    tissues: tuple[schema.Tissue, ...] | None = None
    if things is not None:
        instruments, tissues = _things(image, set() if classes is None else set(np.unique(classes)))
    if classes is not None:
        tissue_mask = np.where(classes == TOOL, 0, classes)
        dense["tissue_mask"] = masks.encode(tissue_mask)
        if tissues is None:
            tissues = masks.tissues(tissue_mask, _labels("tissue"))
            derived["tissues.box"] = masks.BOX_OF_MASK
        tool_mask = np.where(classes == TOOL, TOOL, 0)
        outlined = _outlined(image, size) if image and things is not None else None
        if outlined is not None:
            tool_mask = outlined
            instruments = tuple(
                dataclasses.replace(item, mask=value) for value, item in enumerate(instruments, 1)
            )
        elif not instruments:
            instruments = masks.instruments(tool_mask, _labels("instrument"), instances=False)
        dense["instrument_mask"] = masks.encode(tool_mask)
    criteria = None
    if image and image.scores is not None:
        natives = [native for kind, native in ontology.table(SOURCE) if kind == "criterion"]
        criteria = tuple(
            schema.Criterion(ontology.label(SOURCE, "criterion", native), score)
            for native, score in zip(natives, image.scores, strict=True)
        )
    return (
        schema.FrameAnnotations(
            instruments=instruments, tissues=tissues, criteria=criteria, derived=derived
        ),
        dense,
    )


def read_numbers(file: File) -> tuple[int, ...]:
    """A *_vids.txt file; whole numbers in any spelling. Raises AnnotationFileError."""
    out = []
    for line, word in enumerate(text(file).split("\n"), start=1):
        if not word.strip():
            continue
        try:
            value = float(word)
            number = int(value)
        except (ValueError, OverflowError):
            number = value = 0
        if number != value or number < 1:
            raise AnnotationFileError(f"{file}, line {line}: {word.strip()!r} is no video number")
        out.append(number)
    return tuple(out)


def _read_one(file: File) -> dict[Key, Image]:
    data = json_file(file)
    out: dict[Key, Image] = {}
    keys: dict[int, Key] = {}
    boxed: dict[Key, list[Thing]] = {}
    annotations = data.get("annotations")
    for node in data["images"].list():
        key = _key(node)
        if key in out:
            raise node.error(f"{node['file_name'].str()} is given twice")
        number = node["id"].int()
        if number in keys:
            raise node.error(f"the id {number} is given twice")
        keys[number] = key
        size = node["height"].int(), node["width"].int()
        if min(size) < 1:
            raise node.error(f"an image of {size[1]}x{size[0]}")
        out[key] = Image(size, _scores(node))
        if annotations is not None and _said(node, "is_det_keyframe"):
            boxed[key] = []
    if annotations is not None:
        names = _categories(data["categories"], file)
        for node in annotations.list():
            image_id, category = node["image_id"].int(), node["category_id"].int()
            if image_id not in keys:
                raise node.error(f"no image has the id {image_id}")
            if category not in names:
                raise node.error(f"no category has the id {category}")
            if keys[image_id] not in boxed:
                continue  # boxes that were carried over to a frame that is no key frame
            thing = Thing(names[category], node["bbox"].floats(4), _outline(node))
            boxed[keys[image_id]].append(thing)
    for key, things in boxed.items():
        out[key] = dataclasses.replace(out[key], things=tuple(things))
    return out


def _categories(node: Node, file: File) -> dict[int, str]:
    names: dict[int, str] = {}
    for category in node.list():
        number, native = category["id"].int(), category["name"].str()
        if number in names:
            raise category.error(f"the id {number} is given twice")
        _kind(native, file)
        names[number] = native
    return names


def _key(node: Node) -> Key:
    name = node["file_name"].str().replace("\\", "/").rpartition("/")[2]
    match = _NAME.fullmatch(name)
    if not match:
        raise node["file_name"].error(f"{name!r} is not VIDEO_FRAME.jpg")
    video = node.get("video_id")
    if video is not None and video.int() != int(match[1]):
        raise video.error(f"{video.value} for the image {name}")
    return int(match[1]), int(match[2])


def _said(node: Node, flag: str) -> bool:
    """A flag of an image; what a file does not flag it holds because of that label."""
    found = node.get(flag)
    if found is None:
        return True
    if not isinstance(found.value, bool):
        raise found.error(f"{found.value!r} is not true or false")
    return found.value


def _scores(node: Node) -> tuple[float, ...] | None:
    ratings = node.get("ds")
    if ratings is None or not _said(node, "is_ds_keyframe"):
        return None
    scores = ratings.floats(3)
    for score in scores:
        votes = score * RATERS
        if not -_ROUNDING <= votes <= RATERS + _ROUNDING or abs(votes - round(votes)) > _ROUNDING:
            raise ratings.error(f"{score} is no mean of {RATERS} votes")
    return tuple(min(max(score, 0.0), 1.0) for score in scores)


def _outline(node: Node) -> tuple[tuple[float, ...], ...] | Runs | None:
    found = node.get("segmentation")
    if found is None or found.value == []:
        return None
    if isinstance(found.value, dict):
        size = tuple(part.int() for part in found["size"].list())
        if len(size) != 2:
            raise found["size"].error(f"{len(size)} numbers, not 2")
        counts = found["counts"]
        if isinstance(counts.value, str):
            return Runs(size, counts.value)
        return Runs(size, tuple(run.int() for run in counts.list()))
    polygons = []
    for polygon in found.list():
        values = tuple(value.float() for value in polygon.list())
        if len(values) % 2 or len(values) < 6:
            raise polygon.error(f"{len(values)} numbers are no polygon")
        polygons.append(values)
    return tuple(polygons)


def _joined(one: Image, other: Image, file: File) -> Image:
    if one.size != other.size:
        raise AnnotationFileError(f"{file}: an image of another size than in the other label files")
    if None not in (one.scores, other.scores) and one.scores != other.scores:
        raise AnnotationFileError(
            f"{file}: rates a frame {list(other.scores)}, another label file {list(one.scores)}"
        )
    things = one.things
    if things is None or (other.things and not _all_outlined(things)):
        things = other.things if other.things is not None else things
    return Image(one.size, one.scores if one.scores is not None else other.scores, things)


def _all_outlined(things: Sequence[Thing]) -> bool:
    return all(thing.outline is not None for thing in things)


def _things(
    image: Image, shown: set[int]
) -> tuple[tuple[schema.Instrument, ...], tuple[schema.Tissue, ...]]:
    """Instruments and tissues with their boxes; `shown` are the values of the class mask."""
    value_of = {native: value for value, native in CLASSES.items() if value in shown}
    instruments, tissues = [], []
    for thing in image.things:
        try:
            box = boxes.from_xywh(thing.box, image.size, clip=True)
        except ValueError as error:
            raise FrameError(f"{thing.native}: {error}") from None
        label = ontology.label(SOURCE, _kind(thing.native), thing.native)
        made = schema.Instrument if _kind(thing.native) == "instrument" else schema.Tissue
        (instruments if made is schema.Instrument else tissues).append(
            made(label, box, value_of.get(thing.native, 0))
        )
    return tuple(instruments), tuple(tissues)


def _outlined(image: Image, size: tuple[int, int]) -> np.ndarray | None:
    """A mask of the tools' outlines, 1 for the first; None where one has no outline."""
    tools = [thing for thing in image.things if _kind(thing.native) == "instrument"]
    if not tools or not _all_outlined(tools) or image.size != size:
        return None
    out = np.zeros(size, np.uint8)
    for value, tool in enumerate(tools, start=1):
        if isinstance(tool.outline, Runs):
            if tool.outline.size != size:
                raise FrameError(f"run lengths of an image of {tool.outline.size}, not {size}")
            out[masks.run_lengths(tool.outline.counts, size)] = value
            continue
        for polygon in tool.outline:
            out[masks.polygon(np.reshape(polygon, (-1, 2)), size)] = value
    if set(np.unique(out).tolist()) - {0} != set(range(1, len(tools) + 1)):
        return None  # one covers another whole: the class mask tells what is seen
    return out


def _class_mask(file: File, size: tuple[int, int]) -> np.ndarray:
    mask = masks.one_channel(masks.read_mask(file, size), file)
    masks.check_values(mask, [*CLASSES, IGNORED], file)
    return np.where(mask == IGNORED, 0, mask)


def _labels(kind: str) -> dict[int, schema.Label]:
    return {
        value: ontology.label(SOURCE, kind, native)
        for value, native in CLASSES.items()
        if (kind, native) in ontology.table(SOURCE)
    }


def _kind(native: str, file: File | None = None) -> str:
    """instrument or tissue. Raises UnmappedLabelError."""
    if ("instrument", native) in ontology.table(SOURCE):
        return "instrument"
    try:
        ontology.label(SOURCE, "tissue", native)
    except ontology.UnmappedLabelError as error:
        raise ontology.UnmappedLabelError(f"{file}: {error}" if file else str(error)) from None
    return "tissue"
