"""CholecTrack20's label files: VIDNN.json, one record an instrument and annotated frame.

  annotations   frame of the 25-fps video, counted from 1 -> list of records (or the file is this)
  categories    tools and operators: lists of {id, name}, or id -> name
  video         name and size

A record has instrument (category in the README's prose), tool_bbox, operator, phase, three track
ids, nine visual flags, and verb, target, triplet, which are annotated in eight videos only. -1 is
"no label" in every field; triplet -2 is not explained anywhere and no label either. Verbs, targets,
triplets and phases have CholecT50's ids, whose videos these are.
"""

from __future__ import annotations

import dataclasses

from surgzoo.datasets.annotation_files import AnnotationFileError, FrameError, Node, json_file
from surgzoo.datasets.cholect50.labels import LONGEST_GAP, triplet_parts
from surgzoo.datasets.intervals import bridged
from surgzoo.datasets.layout import File
from surgzoo.db import boxes, ontology, schema

SOURCE = "cholectrack20"
FRAME_RATE = 25
FIRST_FRAME = 1  # ffmpeg counts the frames that it writes from 1

# By id, github.com/CAMMA-public/cholectrack20, README; used where a file has no categories.
OPERATORS = ("null", "MSLH", "ASRH", "MSRH")
_CATEGORIES = {"instrument": "tools", "operator": "operators"}

# No fraction of the image is above 2 (boxes may leave the image), no box in pixels is that small.
_PIXELS = 2.0
# 941 of the 65,247 boxes cross the border of the image, as their instruments do. The unit is known
# from the whole file, so a far overshoot is no other convention.
_CROSSING = 1.0

_SAID = "said of an instrument in view"


@dataclasses.dataclass(frozen=True)
class Record:
    """One instrument in one frame, as the file has it; -1 = no label."""

    instrument: int
    box: tuple[float, ...] | None
    operator: int
    track: int
    phase: int
    verb: int
    target: int
    triplet: int
    flags: dict[str, float]  # by concept; without those that are -1


@dataclasses.dataclass(frozen=True)
class LabelFile:
    """One video's labels.

    Attributes:
      number: of the video, None where the file does not say it.
      frames: records by frame. names: label of each id by kind (None = nothing).
      in_pixels: whether boxes are in pixels. has_triplets: whether any triplet was annotated.
    """

    number: int | None
    frames: dict[int, tuple[Record, ...]]
    names: dict[str, dict[int, schema.Label | None]]
    in_pixels: bool
    has_triplets: bool

    def label(self, kind: str, number: int) -> schema.Label | None:
        """None for a negative number. Raises FrameError for one that is no category."""
        if number < 0:
            return None
        try:
            return self.names[kind][number]
        except KeyError:
            raise FrameError(f"there is no {kind} {number} in the categories") from None

    def phase(self, frame: int) -> schema.Label | None:
        """Raises FrameError when the records of a frame name two phases."""
        found = {self.label("phase", record.phase) for record in self.frames[frame]} - {None}
        if len(found) > 1:
            names = ", ".join(sorted(label.native for label in found))
            raise FrameError(f"two phases in one frame: {names}")
        return found.pop() if found else None

    def annotate(self, frame: int, size: tuple[int, int]) -> schema.FrameAnnotations:
        """The annotations of a frame of an image of `size` = (height, width).

        Raises FrameError. A frame that the file does not mention is not annotated. Instruments (or
        triplets) are None where a record lacks its instrument (its triplet): the list would not be
        whole.
        """
        if frame not in self.frames:
            return schema.FrameAnnotations()
        records = self.frames[frame]
        instruments = [self._instrument(record, size) for record in records]
        triplets = [self._triplet(record, size) for record in records]
        flags: dict[str, float] = {}
        for record in records:
            for name, value in record.flags.items():
                flags[name] = max(value, flags.get(name, 0.0))
        return schema.FrameAnnotations(
            phase=self.phase(frame),
            instruments=None if None in instruments else tuple(instruments),
            triplets=tuple(triplets) if self.has_triplets and None not in triplets else None,
            flags=flags,
            derived={f"flags.{name}": _SAID for name in flags},
        )

    def _instrument(self, record: Record, size: tuple[int, int]) -> schema.Instrument | None:
        label = self.label("instrument", record.instrument)
        if label is None:
            return None
        operator = self.label("operator", record.operator)
        return schema.Instrument(
            label,
            self._box(record, size),
            track=record.track if record.track >= 0 else None,
            operator=None if operator is None else operator.concept,
        )

    def _triplet(self, record: Record, size: tuple[int, int]) -> schema.Triplet | None:
        whole = self.label("triplet", record.triplet)
        if whole is None:
            return None
        parts = triplet_parts(whole)
        for kind, part in zip(("instrument", "verb", "target"), parts, strict=True):
            said = self.label(kind, getattr(record, kind))
            if said is not None and said.concept != part.concept:
                raise FrameError(f"triplet {whole.native} of the {kind} {said.native}")
        return schema.Triplet(*parts, self._box(record, size))

    def _box(self, record: Record, size: tuple[int, int]) -> schema.Box | None:
        if record.box is None:
            return None
        try:
            return boxes.from_xywh(
                record.box, size if self.in_pixels else None, clip=True, tolerance=_CROSSING
            )
        except ValueError as error:
            raise FrameError(str(error)) from None


def segments(labels: LabelFile) -> tuple[schema.Segment, ...]:
    """Runs of annotated seconds of one phase; frames without instrument have no record."""
    moments = ((seconds(frame), _known_phase(labels, frame)) for frame in sorted(labels.frames))
    return bridged("phase", moments, LONGEST_GAP)


def _known_phase(labels: LabelFile, frame: int) -> schema.Label | None:
    try:
        return labels.phase(frame)
    except FrameError:
        return None  # the frame itself is quarantined when it is stored


def seconds(frame: int) -> float:
    """The moment of a frame that is counted from 1."""
    return (frame - FIRST_FRAME) / FRAME_RATE


def read_labels(file: File) -> LabelFile:
    """Raises AnnotationFileError, or UnmappedLabelError for a category that the ontology lacks."""
    data = json_file(file)
    video = data.get("video")
    name = video.get("name") if video is not None else None
    number = None
    if name is not None:
        digits = name.str().lower().removeprefix("vid")
        if not digits.isdecimal():
            raise name.error(f"{name.value!r} is not VIDNN")
        number = int(digits)
    frames: dict[int, tuple[Record, ...]] = {}
    annotations = data.get("annotations")
    for key, node in (data if annotations is None else annotations).items():
        if not key.isdecimal() or int(key) < FIRST_FRAME:
            raise node.error(f"the key {key!r} is not a frame number from {FIRST_FRAME} on")
        if int(key) in frames:
            raise node.error(f"frame {int(key)} is given twice")
        frames[int(key)] = tuple(_record(record) for record in node.list())
    if not frames:
        raise AnnotationFileError(f"{file}: annotates no frame")
    records = [record for found in frames.values() for record in found]
    return LabelFile(
        number,
        frames,
        _names(data.get("categories"), file),
        in_pixels=any(value > _PIXELS for record in records for value in record.box or ()),
        has_triplets=any(record.triplet >= 0 for record in records),
    )


def _names(categories: Node | None, file: File) -> dict[str, dict[int, schema.Label | None]]:
    """Labels by kind and id. The file's own names where it has them, else the ontology's order."""
    natives = {
        kind: dict(enumerate(native for k, native in ontology.table(SOURCE) if k == kind))
        for kind in ("instrument", "phase", "verb", "target", "triplet")
    }
    natives["operator"] = dict(enumerate(OPERATORS))
    for kind, key in _CATEGORIES.items():
        own = categories.get(key) if categories is not None else None
        if own is not None:
            natives[kind] = _own_names(own)
    out: dict[str, dict[int, schema.Label | None]] = {}
    for kind, found in natives.items():
        out[kind] = {}
        for number, native in found.items():
            void = ("void", native) in ontology.table(SOURCE)
            try:
                out[kind][number] = None if void else ontology.label(SOURCE, kind, native)
            except ontology.UnmappedLabelError as error:
                raise ontology.UnmappedLabelError(f"{file} (categories): {error}") from None
    return out


def _own_names(node: Node) -> dict[int, str]:
    pairs = (
        [(item["id"].int(), item["name"]) for item in node.list()]
        if isinstance(node.value, list)
        else [(_whole(item, key), item) for key, item in node.items()]
    )
    out: dict[int, str] = {}
    for number, name in pairs:
        if number in out:
            raise name.error(f"the id {number} is given twice")
        out[number] = name.str()
    return out


def _whole(node: Node, key: str) -> int:
    if not key.isdecimal():
        raise node.error(f"the key {key!r} is not a number")
    return int(key)


def _record(node: Node) -> Record:
    instrument, box = node.get("instrument", "category"), node.get("tool_bbox", "bbox")
    if instrument is None or box is None:
        raise node.error("a record needs instrument and tool_bbox")
    numbers = box.floats(4)
    track = node.get("intraoperative_track", "intraoperative_track_id")
    return Record(
        instrument=instrument.int(),
        box=None if all(value == -1 for value in numbers) else numbers,
        track=-1 if track is None else track.int(),
        flags=_flags(node),
        **{
            key: -1 if node.get(key) is None else node[key].int()
            for key in ("operator", "phase", "verb", "target", "triplet")
        },
    )


def _flags(node: Node) -> dict[str, float]:
    out = {}
    for (kind, native), concept in ontology.table(SOURCE).items():
        found = node.get(native) if kind == "flag" else None
        if found is None:
            continue
        value = int(found.value) if isinstance(found.value, bool) else found.int()
        if value not in (-1, 0, 1):
            raise found.error(f"{value} is not 0, 1 or -1")
        if value >= 0:
            out[concept] = float(value)
    return out
