"""CholecT50's label files: labels/VIDNN.json and the optional label_mapping.txt.

`annotations` maps a frame number (1 fps) to vectors of 15 numbers, one a triplet instance:
  0 triplet; 1 instrument, 2 its score, 3-6 its box; 7 verb; 8 target, 9 its score, 10-13 its box;
  14 phase. Negative = absent. Boxes are x, y, w, h from the top left as fractions of the image.
The full release has no boxes (all -1); the challenge files have them around the instrument tips.
Ids are looked up in the file's own `categories`, and their names in the ontology, so a file with
another order of ids is read right. A frame without any action holds one vector with triplet -1.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from surgzoo.datasets.annotation_files import AnnotationFileError, FrameError, Node, json_file, text
from surgzoo.datasets.intervals import bridged
from surgzoo.datasets.layout import File
from surgzoo.db import boxes, ontology, schema

SOURCE = "cholect50"
VECTOR = 15
KINDS = ("instrument", "verb", "target", "phase")
LONGEST_GAP = 30.0  # seconds between annotated frames that a phase segment bridges

# No fraction is above 1.02, and no box in pixels has all its numbers below 2.
_PIXELS = 2.0


@dataclasses.dataclass(frozen=True)
class LabelFile:
    """One video's labels. `labels[kind][id]`, `triplets[id]`, and the raw vectors a frame."""

    number: int
    labels: dict[str, dict[int, schema.Label]]
    triplets: dict[int, tuple[schema.Label, schema.Label, schema.Label]]
    frames: dict[int, list[Sequence[float]]]

    def annotate(self, frame: int, size: tuple[int, int]) -> schema.FrameAnnotations:
        """The annotations of a frame of an image of `size` = (height, width).

        Raises FrameError. A frame that the file does not mention is not annotated.
        """
        if frame not in self.frames:
            return schema.FrameAnnotations()
        vectors = self.frames[frame]
        instruments, triplets = [], []
        for vector in vectors:
            box = _box(vector[3:7], size)
            parts = [
                self._label(kind, vector[place])
                for kind, place in (("instrument", 1), ("verb", 7), ("target", 8))
            ]
            if vector[0] >= 0:
                named = self._triplet(vector[0])
                for part, name in zip(parts, named, strict=True):
                    if part is not None and part != name:
                        whole = ",".join(label.native for label in named)
                        raise FrameError(f"triplet {whole} with component {part.native}")
                triplets.append(schema.Triplet(*named, box, _box(vector[10:14], size)))
                parts[0] = named[0]
            if parts[0] is not None:
                instruments.append(schema.Instrument(parts[0], box))
        return schema.FrameAnnotations(
            phase=self.phase(frame),
            instruments=_distinct(instruments),
            triplets=tuple(dict.fromkeys(triplets)),
            derived={"instruments": "instruments of the action triplets"},
        )

    def phase(self, frame: int) -> schema.Label | None:
        """Raises FrameError when the vectors of a frame name two phases."""
        found = {self._label("phase", vector[14]) for vector in self.frames[frame]} - {None}
        if len(found) > 1:
            names = ", ".join(sorted(label.native for label in found))
            raise FrameError(f"two phases in one frame: {names}")
        return found.pop() if found else None

    def segments(self) -> tuple[schema.Segment, ...]:
        """Runs of frames of one phase, whether or not their images are there."""
        moments = ((frame, self._known_phase(frame)) for frame in sorted(self.frames))
        return bridged("phase", moments, LONGEST_GAP)

    def _known_phase(self, frame: int) -> schema.Label | None:
        try:
            return self.phase(frame)
        except FrameError:
            return None  # the frame itself is quarantined when it is stored

    def _label(self, kind: str, number: float) -> schema.Label | None:
        if number < 0:
            return None
        try:
            return self.labels[kind][int(number)]
        except KeyError:
            raise FrameError(f"there is no {kind} {number} in the categories") from None

    def _triplet(self, number: float) -> tuple[schema.Label, schema.Label, schema.Label]:
        try:
            return self.triplets[int(number)]
        except KeyError:
            raise FrameError(f"there is no triplet {number} in the categories") from None


def read_labels(file: File) -> LabelFile:
    """Raises AnnotationFileError, or UnmappedLabelError for a category that the ontology lacks."""
    data = json_file(file)
    for key in ("video", "fps", "categories", "annotations"):
        data[key]  # raises when it is missing
    if data["fps"].float() != 1:
        raise data["fps"].error(f"it is {data['fps'].value}; only frames at 1 fps are known")

    def named(kind: str) -> dict[int, schema.Label]:
        out = {}
        for number, node in data["categories"][kind].items():
            try:
                out[_number(node, number)] = ontology.label(SOURCE, kind, node.str())
            except ontology.UnmappedLabelError as error:
                raise ontology.UnmappedLabelError(f"{file} ({node.path}): {error}") from None
        return out

    return LabelFile(
        number=data["video"].int(),
        labels={kind: named(kind) for kind in KINDS},
        triplets={number: triplet_parts(label) for number, label in named("triplet").items()},
        frames={
            _number(node, key): [vector.floats(VECTOR) for vector in node.list()]
            for key, node in data["annotations"].items()
        },
    )


def check_mapping(file: File) -> None:
    """Compares label_mapping.txt (rows IVT, I, V, T, IV, IT) with the ontology's table.

    Raises AnnotationFileError at the first row that differs.
    """
    places = {
        kind: [native for k, native in ontology.table(SOURCE) if k == kind]
        for kind in ("instrument", "verb", "target", "triplet")
    }
    number = 0
    for line, row in enumerate(text(file).split("\n"), start=1):
        if not row.strip() or row.startswith("#"):
            continue
        if number >= len(places["triplet"]):
            raise AnnotationFileError(f"{file}, line {line}: more than {number} triplets")
        native = places["triplet"][number]
        instrument, verb, target = (
            places[kind].index(part) for kind, part in zip(places, native.split(","), strict=False)
        )
        pairs = (
            len(places["verb"]) * instrument + verb,
            len(places["target"]) * instrument + target,
        )
        expected = [number, instrument, verb, target, *pairs]
        if [field.strip() for field in row.split(",")] != [str(value) for value in expected]:
            raise AnnotationFileError(
                f"{file}, line {line}: {row.strip()} where triplet {number} ({native}) is "
                f"{','.join(map(str, expected))}"
            )
        number += 1
    if number < len(places["triplet"]):
        raise AnnotationFileError(f"{file}: {number} rows, not {len(places['triplet'])}")


def triplet_parts(label: schema.Label) -> tuple[schema.Label, schema.Label, schema.Label]:
    """Instrument, verb and target of a triplet's label."""
    concepts, natives = label.concept.split(","), label.native.split(",")
    one, two, three = map(schema.Label, concepts, natives)
    return one, two, three


def _number(node: Node, key: str) -> int:
    if not key.isdecimal():
        raise node.error(f"the key {key!r} is not a number")
    return int(key)


def _box(values: Sequence[float], size: tuple[int, int]) -> schema.Box | None:
    if all(value == -1 for value in values):
        return None
    in_pixels = any(value > _PIXELS for value in values)
    try:
        return boxes.from_xywh(values, size if in_pixels else None, clip=True)
    except ValueError as error:
        raise FrameError(str(error)) from None


def _distinct(instruments: list[schema.Instrument]) -> tuple[schema.Instrument, ...]:
    """One entry an instance where boxes tell instances apart, else one a class.

    One instrument in two triplets is one instance: both vectors have the same box.
    """
    boxed = {instrument.label for instrument in instruments if instrument.box is not None}
    return tuple(
        instrument
        for instrument in dict.fromkeys(instruments)
        if instrument.box is not None or instrument.label not in boxed
    )
