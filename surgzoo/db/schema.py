"""The schema: every record of every source, task and conversation is built from these dataclasses.

Conventions that hold everywhere
  * `None` means *not annotated*; an empty tuple means *annotated, and there is none*. A task makes
    no question from `None`, and a question with the answer "none" from `()`.
  * Boxes are `Box`: float xyxy in [0, 1], origin top left (`db/boxes.py` has every other
    convention).
  * Times are seconds from the start of the video; intervals are half open, [start, end).
  * Labels are `Label(concept, native)`: the concept id of `db/ontology`, and the source's own
    spelling.
  * Dense maps (masks, depth, clean image) are not in the annotations but beside the image, as
    encoded PNG/JPEG bytes under the names of `DENSE` (`db/records.py`).

Table and field names follow SurgΣ-DB's released JSON where that is known (GUIDE pages, record dump
in the discussion of the release); where it is silent the choice is this project's.
"""

from __future__ import annotations

import dataclasses
import functools
import json
import math
import operator
import types
import typing
from typing import Any, Literal

Split = Literal["train", "val", "test"]
Level = Literal["image", "clip", "image_pair", "text"]


@dataclasses.dataclass(frozen=True, slots=True)
class Label:
    """A label in two spellings: ontology concept id and the source's native string."""

    concept: str
    native: str


@dataclasses.dataclass(frozen=True, slots=True)
class Box:
    """Float xyxy in [0, 1], origin top left. Raises ValueError when empty, inverted or outside."""

    x1: float
    y1: float
    x2: float
    y2: float

    def __post_init__(self):
        values = (self.x1, self.y1, self.x2, self.y2)
        if not all(math.isfinite(v) and 0.0 <= v <= 1.0 for v in values):
            raise ValueError(f"box {values} is not inside [0, 1]")
        if self.x2 <= self.x1 or self.y2 <= self.y1:
            raise ValueError(f"box {values} is empty or inverted (need x1 < x2 and y1 < y2)")


# ---- places in a video ---------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True, slots=True)
class Video:
    """One recording (or still-image series) of one operation.

    `splits` maps a split scheme of the source ("official", "cholect50_rdv", ...) to train/val/test;
    `canonical` is the patient's operation across sources (`db/identity.py`).
    """

    id: str
    canonical: str
    source: str
    specialty: str
    procedure: str
    licence: str
    splits: dict[str, Split] = dataclasses.field(default_factory=dict)
    fps: float = 1.0  # of the stored frames
    width: int = 0
    height: int = 0
    duration: float = 0.0  # seconds
    url: str = ""


@dataclasses.dataclass(frozen=True, slots=True)
class Frame:
    """One stored frame: its number in the stored sequence and its time in the original video."""

    video: str
    index: int
    time: float  # seconds


@dataclasses.dataclass(frozen=True, slots=True)
class Clip:
    """Frames first .. first + count - 1 of a video, at the stored fps."""

    video: str
    first: int
    count: int
    start: float  # seconds
    end: float  # seconds


# ---- annotations of a frame ----------------------------------------------------------------------


@dataclasses.dataclass(frozen=True, slots=True)
class Instrument:
    """One instrument in view. `mask` is its value in the `instrument_mask` map (0 = no mask)."""

    label: Label
    box: Box | None = None
    mask: int = 0
    track: int | None = None
    operator: str | None = None
    tip: tuple[float, float] | None = None  # x, y in [0, 1]


@dataclasses.dataclass(frozen=True, slots=True)
class Tissue:
    """One tissue or organ in view. `mask` is its value in the `tissue_mask` map (0 = no mask)."""

    label: Label
    box: Box | None = None
    mask: int = 0


@dataclasses.dataclass(frozen=True, slots=True)
class Triplet:
    """Instrument, verb, target. `instrument_box`/`target_box` where the source has them."""

    instrument: Label
    verb: Label
    target: Label
    instrument_box: Box | None = None
    target_box: Box | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class Criterion:
    """One safety criterion. `score` is the mean vote in [0, 1]; met when score >= 0.5."""

    label: Label
    score: float

    def __post_init__(self):
        if not 0.0 <= self.score <= 1.0:
            raise ValueError(f"criterion {self.label.concept}: score {self.score} not in [0, 1]")

    @property
    def met(self) -> bool:
        return self.score >= 0.5


@dataclasses.dataclass(frozen=True, slots=True)
class Question:
    """A question that came with the source; the answer may include a box, or reasoning before it.

    `kind` is the source's own class of question, `thinking` its reasoning trace. `accepted` are
    answers that the source counts as right beside `answer`.
    """

    text: str
    answer: str
    box: Box | None = None
    kind: str = ""
    thinking: str | None = None
    accepted: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True, slots=True)
class FrameAnnotations:
    """Everything known about one frame. `None` = not annotated, `()` = annotated as none."""

    phase: Label | None = None
    step: Label | None = None
    actions: tuple[Label, ...] | None = None
    instruments: tuple[Instrument, ...] | None = None
    tissues: tuple[Tissue, ...] | None = None
    triplets: tuple[Triplet, ...] | None = None
    criteria: tuple[Criterion, ...] | None = None
    questions: tuple[Question, ...] | None = None
    caption: str | None = None
    flags: dict[str, float] = dataclasses.field(
        default_factory=dict
    )  # smoke, blood, blur, out_of_body
    # Field -> how it was derived; "instruments.box" when only the boxes were.
    derived: dict[str, str] = dataclasses.field(default_factory=dict)


# ---- annotations of a stretch of video -----------------------------------------------------------


@dataclasses.dataclass(frozen=True, slots=True)
class Segment:
    """A labelled interval [start, end) in seconds: kind is phase, step, action, gesture ..."""

    kind: str
    label: Label
    start: float
    end: float
    actor: str | None = None  # instrument or hand, where the source says it

    def __post_init__(self):
        if not 0.0 <= self.start < self.end:
            raise ValueError(
                f"segment {self.kind}/{self.label.concept}: [{self.start}, {self.end})"
            )


@dataclasses.dataclass(frozen=True, slots=True)
class Skill:
    """A skill rating of the whole video on the source's own scale."""

    scale: str
    value: float
    lowest: float
    highest: float


@dataclasses.dataclass(frozen=True, slots=True)
class VideoAnnotations:
    """What is known about a video as a whole; per-frame labels live in FrameAnnotations."""

    segments: tuple[Segment, ...] = ()
    captions: tuple[tuple[float, float, str], ...] = ()  # start, end, text
    skills: tuple[Skill, ...] = ()
    notes: tuple[str, ...] = ()  # what the reader repaired or found missing


# ---- conversations -------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True, slots=True)
class Media:
    """A pointer into a prepared source; no pixels. `kind` is image, clip, or the name of a map."""

    source: str
    config: str
    video: str
    first: int  # frame number in the stored sequence
    count: int = 1
    kind: str = "image"


@dataclasses.dataclass(frozen=True, slots=True)
class Turn:
    """One utterance. `role` is user or assistant."""

    role: Literal["user", "assistant"]
    text: str


@dataclasses.dataclass(frozen=True, slots=True)
class Conversation:
    """A question about media with its answer, as text (`turns`) and structured (`answer`).

    `answer` is JSON-like and its form belongs to the task (`tasks/base.py`); `options` are the
    label names that the question admits, so that a parser needs no look-up in the source. `choices`
    are the answers that a multiple-choice question lists as A, B, C ...; () for an open one.
    `also` are the names that a relaxed measure takes beside `answer`.
    `thinking` is a reasoning trace that ends before the answer; `derived` says how an answer that
    nobody annotated was made.
    """

    id: str
    task: str
    media: tuple[Media, ...]
    turns: tuple[Turn, ...]
    answer: Any
    options: tuple[str, ...] = ()
    choices: tuple[str, ...] = ()
    thinking: str | None = None
    video: str = ""  # canonical id, for splits and for bootstrap over patients
    split: str = ""
    derived: str | None = None
    also: tuple[str, ...] = ()

    @property
    def prompt(self) -> str:
        """The user's last question."""
        return next(turn.text for turn in reversed(self.turns) if turn.role == "user")

    @property
    def target(self) -> str:
        """The assistant's last answer as text."""
        return next(turn.text for turn in reversed(self.turns) if turn.role == "assistant")


# ---- JSON codec ----------------------------------------------------------------------------------
#
# A database holds millions of records, so the walk over a type is done once: each class gets an
# encoder and a decoder, closures over what its fields need.

_dump = json.JSONEncoder(ensure_ascii=False, sort_keys=True, allow_nan=False).encode
_Convert = typing.Callable[[Any], Any]


def to_jsonable(value: Any) -> Any:
    """Dataclasses to plain JSON values. Fields that equal their default are left out."""
    return _encoder(type(value))(value)


def to_json(value: Any) -> str:
    """One line of JSON, stable key order, no NaN."""
    return _dump(_encoder(type(value))(value))


def from_jsonable(kind: Any, value: Any) -> Any:
    """The inverse of `to_jsonable` for the type `kind`. Raises ValueError on an unknown field."""
    return _decoder(kind)(value)


def from_json(kind: Any, text: str) -> Any:
    """Parses one line written by `to_json`."""
    return _decoder(kind)(json.loads(text))


@functools.cache
def _encoder(cls: type) -> _Convert:
    """By the type that a value has, as fields may hold anything JSON-like."""
    if dataclasses.is_dataclass(cls):
        return _dataclass_encoder(cls)
    if issubclass(cls, (tuple, list)):
        return lambda value: [_encoder(type(item))(item) for item in value]
    if issubclass(cls, dict):
        return lambda value: {key: _encoder(type(item))(item) for key, item in value.items()}
    return _same


def _dataclass_encoder(cls: type) -> _Convert:
    names, defaults = [], []
    for field in dataclasses.fields(cls):
        names.append(field.name)
        if field.default_factory is not dataclasses.MISSING:
            defaults.append(field.default_factory())
        else:
            defaults.append(field.default)  # MISSING equals nothing that a field can hold
    get = operator.attrgetter(*names, "__class__")  # a second name, so that it gives a tuple
    plain = (str, int, float, bool, type(None))

    def encode(value: Any) -> dict[str, Any]:
        return {
            name: item if type(item) in plain else _encoder(type(item))(item)
            for name, item, default in zip(names, get(value), defaults, strict=False)
            if item is not default and item != default
        }

    return encode


@functools.cache
def _decoder(kind: Any) -> _Convert:
    """By the type that a field declares. None is kept whatever the type."""
    origin = typing.get_origin(kind)
    if origin in (types.UnionType, typing.Union):
        options = [arg for arg in typing.get_args(kind) if arg is not type(None)]
        return _decoder(options[0])
    if origin is tuple:
        return _tuple_decoder(typing.get_args(kind))
    if origin is dict:
        item = _decoder(typing.get_args(kind)[1])
        if item is _same:
            return lambda value: None if value is None else dict(value)
        return lambda value: None if value is None else {k: item(v) for k, v in value.items()}
    if dataclasses.is_dataclass(kind):
        return _dataclass_decoder(kind)
    if kind is float:
        return lambda value: None if value is None else float(value)
    return _same


def _tuple_decoder(args: tuple[Any, ...]) -> _Convert:
    if len(args) == 2 and args[1] is Ellipsis:
        item = _decoder(args[0])
        if item is _same:
            return lambda value: None if value is None else tuple(value)
        return lambda value: None if value is None else tuple([item(each) for each in value])
    items = [_decoder(arg) for arg in args]

    def decode(value: Any) -> tuple | None:
        if value is None:
            return None
        return tuple([item(each) for item, each in zip(items, value, strict=True)])

    return decode


def _dataclass_decoder(cls: type) -> _Convert:
    hints = typing.get_type_hints(cls)
    fields = {name: _decoder(hint) for name, hint in hints.items()}

    def decode(value: Any) -> Any:
        if value is None:
            return None
        try:
            found = {key: fields[key](item) for key, item in value.items()}
        except KeyError:
            unknown = sorted(set(value) - set(fields))
            if not unknown:
                raise
            raise ValueError(
                f"{cls.__name__} has no field {', '.join(unknown)}; it has {', '.join(fields)}"
            ) from None
        return cls(**found)

    return decode


def _same(value: Any) -> Any:
    return value
