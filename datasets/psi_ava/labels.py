"""PSI-AVA's label files, and GraSP's, which are of the same family: COCO files, rows, id lists.

  coco_anns/*.json   images (file_name CASE001/00211.jpg) and one annotation an instrument:
                     category_id, bbox (x, y, w, h in pixels), up to three actions, phase, step.
                     Ids are looked up in the file's own categories.
  annotations/*.csv  the same without header: case, second, annotation id, x1, y1, x2, y2 as
                     fractions, three actions (-1 = none), instrument, step, phase. The last two are
                     in this order: the 5,804 rows of the release agree with its JSON files so, and
                     not the other way round.
  *_list.pbtxt       id lists; those of phases and steps are Spanish
Everywhere -1 is "no label"; in the one-a-second rows (psi-ava_extended) a box of zeros with
instrument 0 and action 0 is "no instrument labels here", which is not "no instrument in view".
(github.com/BCV-Uniandes/TAPIR, outputs/data_annotations, and slowfast/datasets/ava_helper.py.)
"""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from surgzoo.datasets.annotation_files import AnnotationFileError, Node, Row, json_file, rows, text
from surgzoo.datasets.layout import File
from surgzoo.db import boxes, ontology, schema

SOURCE = "psi_ava"
COLUMNS = (
    *("case", "second", "annotation", "x1", "y1", "x2", "y2"),
    *("action1", "action2", "action3", "instrument", "step", "phase"),
)
# The first id of each kind; the ontology's table has the names in the order of the ids.
FIRST_ID = {"instrument": 1, "action": 1, "phase": 0, "step": 0}
NONE = -1

# GraSP spells the keys in the plural.
_CATEGORIES = {
    "instrument": ("categories",),
    "action": ("action_categories", "actions_categories"),
    "phase": ("phase_categories", "phases_categories"),
    "step": ("step_categories", "steps_categories"),
}
_IMAGE = re.compile(r"(?:.*/)?(CASE\d+)/(\d+)\.(?:jpe?g|png)", re.IGNORECASE)
_ENTRY = re.compile(r'label\s*\{\s*name:\s*"([^"]*)"\s*label_id:\s*(\d+)\s*label_type:\s*\w+\s*\}')
_SAME = 1e-5  # of the image: the two files round differently

Key = tuple[str, Any]  # case, and which of its frames: a number here, a file's stem in GraSP


@dataclasses.dataclass(frozen=True)
class KeyFrame:
    """The labels of one frame, or why they cannot be used.

    `segmentations[i]` is what a COCO file has as the mask of instrument i (GraSP), None for none.
    """

    annotations: schema.FrameAnnotations = dataclasses.field(
        default_factory=schema.FrameAnnotations
    )
    segmentations: tuple[Any, ...] = ()
    problem: str = ""


@dataclasses.dataclass
class _Part:
    """What one annotation (or row) says. Ids are resolved already."""

    number: int
    instrument: schema.Instrument | None
    actions: tuple[schema.Label, ...] | None
    phase: schema.Label | None
    step: schema.Label | None
    segmentation: Any = None


def image_key(node: Node) -> Key:
    """(case, number) of a file name. Raises AnnotationFileError."""
    match = _IMAGE.fullmatch(node.str())
    if match is None:
        raise node.error(f"{node.value!r} is not a name like CASE001/00000.jpg")
    return match[1].upper(), int(match[2])


def read_coco(
    file: File, source: str = SOURCE, key_of: Callable[[Node], Key] = image_key
) -> dict[Key, KeyFrame]:
    """Raises AnnotationFileError, or UnmappedLabelError for a category the ontology lacks.

    What is wrong with one frame only (an id without a category, a box outside of the image) is that
    frame's `problem`.
    """
    data = json_file(file)
    names = {kind: _categories(data, file, source, kind) for kind in _CATEGORIES}
    images: dict[int, tuple[Key, tuple[int, int]]] = {}
    parts: dict[Key, list[_Part]] = {}
    problems: dict[Key, str] = {}
    for node in data["images"].list():
        key = key_of(node["file_name"])
        size = node["height"].int(), node["width"].int()
        number = node["id"].int()
        if number in images or key in parts:
            raise node.error("the image is given twice")
        images[number] = key, size
        parts[key] = []
    for node in data["annotations"].list():
        number = node["image_id"].int()
        if number not in images:
            raise node.error(f"there is no image {number}")
        key, size = images[number]
        named = node.get("image_name")
        if named is not None and key_of(named) != key:
            raise node.error(f"image {number} is {key[0]}/{key[1]}, not {named.value}")
        try:
            parts[key].append(_part(node, size, names))
        except AnnotationFileError as error:
            problems.setdefault(key, str(error))
    complete = any(part.instrument for found in parts.values() for part in found)
    return {
        key: KeyFrame(problem=problems[key]) if key in problems else _joined(file, found, complete)
        for key, found in parts.items()
    }


def read_rows(file: File) -> dict[Key, KeyFrame]:
    """The CSV form. Raises AnnotationFileError with the line."""
    names = {
        kind: dict(enumerate(_natives(SOURCE, kind), start=first))
        for kind, first in FIRST_ID.items()
    }
    labels = {
        kind: {number: ontology.label(SOURCE, kind, name) for number, name in found.items()}
        for kind, found in names.items()
    }
    parts: dict[Key, list[_Part]] = {}
    for row in rows(file, COLUMNS, header=False):
        if not re.fullmatch(r"CASE\d{3}", row["case"]) or row.int("second") < 0:
            raise row.error(f"{row['case']!r}, {row['second']!r} is no second of a case")
        found = parts.setdefault((row["case"], row.int("second")), [])
        found.append(_row_part(row, labels))
    if not parts:
        raise AnnotationFileError(f"{file}: has no row")
    return {key: _joined(file, found, False) for key, found in parts.items()}


def read_frame_list(file: File) -> list[Key]:
    """The frames that a list names: `CASE002 2 0 ./outputs/PSIAVA/keyframes/CASE002/00000.jpg`."""
    out = []
    columns = ("case", "video", "frame", "path")
    for row in rows(file, columns, header=False, delimiter=" "):
        match = _IMAGE.fullmatch(row["path"])
        if match is None or (match[1], int(match[2])) != (row["case"], row.int("frame")):
            raise row.error(f"{row['path']} is not frame {row['frame']} of {row['case']}")
        out.append((row["case"], row.int("frame")))
    if not out:
        raise AnnotationFileError(f"{file}: has no row")
    return out


def check_list(file: File, kind: str) -> None:
    """Compares an id list with the ontology's table: the ids, and names where they are English.

    Raises AnnotationFileError.
    """
    whole = text(file)
    found = _ENTRY.findall(whole)
    rest = _ENTRY.sub("", whole).strip()
    if rest or not found:
        raise AnnotationFileError(f"{file}: {rest[:60]!r} is no label entry")
    expected = list(enumerate(_natives(SOURCE, kind), start=FIRST_ID[kind]))
    ids = [int(number) for _, number in found]
    if ids != [number for number, _ in expected]:
        raise AnnotationFileError(
            f"{file}: the ids are {ids[:3]} .. {ids[-1]}, not {expected[0][0]} to {expected[-1][0]}"
        )
    if kind in ("instrument", "action"):
        for (name, _), (number, native) in zip(found, expected, strict=True):
            if name != native:
                raise AnnotationFileError(f"{file}: {kind} {number} is {name!r}, not {native!r}")


def merged(frames: dict[Key, KeyFrame], more: dict[Key, KeyFrame], file: File) -> None:
    """Adds what another file says. Where two files contradict, the frame gets a `problem`."""
    for key, new in more.items():
        frames[key] = _merge(frames[key], new, file) if key in frames else new


def by_case(frames: Mapping[Key, KeyFrame | None]) -> dict[str, dict[Any, KeyFrame | None]]:
    """Case -> its frames."""
    out: dict[str, dict[Any, KeyFrame | None]] = {}
    for (case, number), frame in frames.items():
        out.setdefault(case, {})[number] = frame
    return out


def segments(
    frames: Mapping[Any, KeyFrame], times: Mapping[Any, float], length: float
) -> tuple[schema.Segment, ...]:
    """Runs of equal phase and of equal step over frames `length` seconds apart.

    `times` gives each frame its time; a gap of more than 1.5 `length` ends a run.
    """
    order = sorted(frames, key=times.__getitem__)
    out: list[schema.Segment] = []
    for kind in ("phase", "step"):
        run: list[Any] | None = None  # label, start, time of the last frame
        for frame in order:
            label, time = getattr(frames[frame].annotations, kind), times[frame]
            if run and (label != run[0] or time - run[2] > 1.5 * length):
                out.append(schema.Segment(kind, run[0], run[1], run[2] + length))
                run = None
            if label is not None:
                run = [label, run[1] if run else time, time]
        if run:
            out.append(schema.Segment(kind, run[0], run[1], run[2] + length))
    return tuple(out)


def _categories(data: Node, file: File, source: str, kind: str) -> dict[int, schema.Label]:
    table = data.get(*_CATEGORIES[kind])
    if table is None:
        return {}
    out: dict[int, schema.Label] = {}
    for node in table.list():
        number = node["id"].int()
        if number in out:
            raise node.error(f"the id {number} is given twice")
        try:
            out[number] = ontology.label(source, kind, node["name"].str())
        except ontology.UnmappedLabelError as error:
            raise ontology.UnmappedLabelError(f"{file} ({node.path}): {error}") from None
    return out


def _natives(source: str, kind: str) -> list[str]:
    return [native for k, native in ontology.table(source) if k == kind]


def _part(node: Node, size: tuple[int, int], names: dict[str, dict[int, schema.Label]]) -> _Part:
    def one(kind: str) -> schema.Label | None:
        found = node.get(kind, f"{kind}s")
        if found is None:
            return None
        listed = found.list() if isinstance(found.value, list) else [found]
        if len(listed) > 1:
            raise found.error(f"{len(listed)} {kind}s in one annotation")
        return _named(names[kind], kind, listed[0]) if listed else None

    box = node.get("bbox")
    values = box.floats(4) if box is not None else (0.0,) * 4
    instrument = None
    if any(values):
        label = _named(names["instrument"], "instrument", node["category_id"])
        if label is None:
            raise node.error("a box without an instrument")
        try:
            where = boxes.from_xywh(values, size, clip=True)
        except ValueError as error:
            raise node.error(str(error)) from None
        instrument = schema.Instrument(label, where)
    return _Part(
        number=node["id"].int(),
        instrument=instrument,
        actions=_actions(names["action"], node.get("actions")) if instrument else None,
        phase=one("phase"),
        step=one("step"),
        segmentation=node.get("segmentation").value if node.get("segmentation") else None,
    )


def _named(labels: dict[int, schema.Label], kind: str, node: Node) -> schema.Label | None:
    number = node.int()
    if number == NONE:
        return None
    if number not in labels:
        raise node.error(f"there is no {kind} {number} in the categories")
    return labels[number]


def _actions(labels: dict[int, schema.Label], node: Node | None) -> tuple[schema.Label, ...] | None:
    if node is None:
        return None
    found = [_named(labels, "action", item) for item in node.list()]
    if found and None in found:
        return None
    return tuple(dict.fromkeys(found))


def _row_part(row: Row, labels: dict[str, dict[int, schema.Label]]) -> _Part:
    def named(kind: str, column: str, none: tuple[int, ...]) -> schema.Label | None:
        number = row.int(column)
        if number in none:
            return None
        if number not in labels[kind]:
            raise row.error(f"there is no {kind} {number}")
        return labels[kind][number]

    values = [row.float(column) for column in ("x1", "y1", "x2", "y2")]
    instrument, actions = None, None
    if any(values):
        label = named("instrument", "instrument", ())
        try:
            instrument = schema.Instrument(label, boxes.from_xyxy(values, clip=True))
        except ValueError as error:
            raise row.error(str(error)) from None
        found = [named("action", f"action{place}", (NONE,)) for place in (1, 2, 3)]
        actions = tuple(dict.fromkeys(action for action in found if action is not None)) or None
    elif row.int("instrument") != 0 or row.int("action1") not in (0, NONE):
        raise row.error("an instrument or an action without a box")
    return _Part(
        number=row.int("annotation"),
        instrument=instrument,
        actions=actions,
        phase=named("phase", "phase", (NONE,)),
        step=named("step", "step", (NONE,)),
    )


def _joined(file: File, parts: list[_Part], complete: bool) -> KeyFrame:
    """One frame of its annotations. `complete`: a frame without any is free of instruments."""
    numbers = [part.number for part in parts]
    if len(set(numbers)) < len(numbers):
        return KeyFrame(problem=f"{file}: an annotation is given twice")
    parts = sorted(parts, key=lambda part: part.number)
    fields: dict[str, Any] = {}
    for kind in ("phase", "step"):
        found = {getattr(part, kind) for part in parts} - {None}
        if len(found) > 1:
            listed = ", ".join(sorted(label.native for label in found))
            return KeyFrame(problem=f"{file}: two {kind}s in one frame: {listed}")
        fields[kind] = found.pop() if found else None
    seen = [part for part in parts if part.instrument is not None]
    if seen or complete:
        fields["instruments"] = tuple(part.instrument for part in seen)
        if all(part.actions is not None for part in seen):
            fields["actions"] = tuple(dict.fromkeys(a for part in seen for a in part.actions))
    return KeyFrame(schema.FrameAnnotations(**fields), tuple(part.segmentation for part in seen))


def _merge(old: KeyFrame, new: KeyFrame, file: File) -> KeyFrame:
    if old.problem or new.problem:
        return old if old.problem else new
    fields: dict[str, Any] = {}
    for name in ("phase", "step", "instruments", "actions"):
        one, other = getattr(old.annotations, name), getattr(new.annotations, name)
        if one is not None and other is not None and not _same(name, one, other):
            return KeyFrame(problem=f"{file}: its {name} are not those of another label file")
        fields[name] = other if one is None else one
    # A segmentation belongs to the instrument in its place.
    first = old if old.annotations.instruments is not None else new
    masks = first.segmentations if any(first.segmentations) else new.segmentations
    return KeyFrame(schema.FrameAnnotations(**fields), masks)


def _same(name: str, one: Any, other: Any) -> bool:
    if name in ("phase", "step"):
        return one == other
    if name == "actions":
        return set(one) == set(other)
    return len(one) == len(other) and all(
        a.label == b.label and _near(_corners(a.box), _corners(b.box))
        for a, b in zip(one, other, strict=True)
    )


def _corners(box: schema.Box) -> Sequence[float]:
    return box.x1, box.y1, box.x2, box.y2


def _near(one: Iterable[float], other: Iterable[float]) -> bool:
    return all(math.isclose(a, b, abs_tol=_SAME) for a, b in zip(one, other, strict=True))
