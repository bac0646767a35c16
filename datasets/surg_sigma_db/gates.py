"""Quality gates: what keeps a conversation out of the database, one function a gate.

A gate returns the reason as one sentence, or None. The first gate that objects wins; what it held
back is written to quarantine.jsonl with the gate's name and the reason. Gates that look at one
conversation alone are in `GATES`; those that need to remember what they saw are methods of
`Gatekeeper`.
"""

from __future__ import annotations

import dataclasses
import functools
import math
import re
import zlib
from collections.abc import Callable, Iterator
from typing import Any, Literal, NamedTuple

import cv2
import numpy as np
import simplejpeg

from surgzoo.db import ontology, schema
from surgzoo.db.records import PICTURES, FrameRecord
from surgzoo.db.schema import Box, Conversation, Media
from surgzoo.db.store import Store
from surgzoo.tasks.base import Task

Images = Literal["decode", "header", "off"]

TOLERANCE = 1e-3  # boxes are written in thousandths
_PNG = b"\x89PNG\r\n\x1a\n"
_REST = re.compile(r"\d+/(?P<task>\w+)/\d+")  # frame, task, part
_TRIPLET = ("instrument", "verb", "target")


@dataclasses.dataclass(frozen=True)
class Limits:
    """When a build complains.

    Attributes:
      turn, thinking: most characters of an utterance and of a reasoning trace.
      quarantined: largest share of a task's conversations that may be held back.
      images: whether each frame that is pointed at is decoded once, only its header read, or not.
    """

    turn: int = 4000
    thinking: int = 8000
    quarantined: float = 0.01
    images: Images = "decode"


class Held(NamedTuple):
    """A conversation that was held back."""

    id: str
    task: str
    gate: str
    reason: str


Gate = Callable[[Conversation, Task, Limits], str | None]
GATES: dict[str, Gate] = {}


def gate(function: Gate) -> Gate:
    GATES[function.__name__] = function
    return function


@gate
def empty_answer(conversation: Conversation, task: Task, limits: Limits) -> str | None:
    """Nothing asked, or nothing answered."""
    turns = conversation.turns
    if not turns or turns[-1].role != "assistant":
        return "does not end with the assistant's answer"
    if turns[0].role != "user":
        return "does not begin with a question"
    for number, turn in enumerate(turns):
        if not turn.text.strip():
            return f"turn {number} ({turn.role}) says nothing"
    if conversation.thinking is not None and not conversation.thinking.strip():
        return "the reasoning trace is empty"
    answer = conversation.answer
    if answer is None or (isinstance(answer, str) and not answer.strip()):
        return f"the structured answer is {answer!r}"
    if task.answer_form == "pixels" and _pointer(answer) is None:
        return f"the answer points at no pixels: {str(answer)[:200]}"
    return None


def _pointer(answer: Any) -> Media | None:
    """Where the true pixels of an answer are; None when it does not say."""
    try:
        return schema.from_jsonable(Media, answer["media"])
    except (TypeError, KeyError, ValueError, AttributeError):
        return None


@gate
def text_over_length(conversation: Conversation, task: Task, limits: Limits) -> str | None:
    for number, turn in enumerate(conversation.turns):
        if len(turn.text) > limits.turn:
            return f"turn {number} has {len(turn.text)} characters, the limit is {limits.turn}"
    if conversation.thinking and len(conversation.thinking) > limits.thinking:
        count = len(conversation.thinking)
        return f"the reasoning trace has {count} characters, the limit is {limits.thinking}"
    return None


@gate
def impossible_box(conversation: Conversation, task: Task, limits: Limits) -> str | None:
    """Every box of the answer, wherever in it: inside the image, and not empty."""
    for values in _boxes(conversation.answer):
        try:
            Box(*values)
        except ValueError as error:
            return str(error)
    return None


def _boxes(answer: Any) -> Iterator[list]:
    """All lists of four numbers; the values of a mask are none."""
    if isinstance(answer, dict):
        if "media" in answer:
            return
        answer = list(answer.values())
    if not isinstance(answer, (list, tuple)):
        return
    if len(answer) == 4 and all(type(v) in (int, float) for v in answer):
        yield answer
        return
    for item in answer:
        if isinstance(item, (list, tuple, dict)):
            yield from _boxes(item)


@gate
def unknown_label(conversation: Conversation, task: Task, limits: Limits) -> str | None:
    """Labels of the answer are among the options; the parts of a triplet among the source's names.

    (A triplet's options are the usual ones; an unusual one that was annotated is right.)
    """
    form, answer = task.answer_form, conversation.answer
    if form == "triplets":
        source = conversation.id.partition(".")[0]
        known = [_vocabulary(source, kind) for kind in _TRIPLET]
        for triplet in answer:
            for kind, name, names in zip(_TRIPLET, triplet, known, strict=True):
                if name not in names:
                    return f"{source} has no {kind} '{name}'"
        return None
    if form not in ("label", "labels", "boxes", "criteria"):
        return None
    if form == "label":
        names = [answer]
    else:
        names = answer if form == "labels" else [pair[0] for pair in answer]
    for name in names:
        if name not in conversation.options:
            shown = ", ".join(conversation.options[:8]) or "none"
            return f"'{name}' is not among the options: {shown}"
    return None


@functools.cache
def _vocabulary(source: str, kind: str) -> frozenset[str]:
    return frozenset(ontology.names(source, kind))


@gate
def round_trip(conversation: Conversation, task: Task, limits: Limits) -> str | None:
    """The text of the answer is read back as the answer, but for the rounding of numbers.

    An answer in pixels has a mere token as its text; it has to be the token of that answer.
    """
    if task.answer_form == "pixels":
        token = task.render(conversation.answer)
        said = conversation.target
        return None if said == token else f"says {said[:100]!r} and not {token!r}"
    parsed, error = task.parse(conversation.target, conversation)
    if error is not None:
        return f"the answer cannot be read back: {error}"
    if parsed == conversation.answer or _near(parsed, conversation.answer):
        return None
    if task.render(parsed) == task.render(conversation.answer):
        return None
    return f"the answer {conversation.answer!r} is read back as {parsed!r}"[:300]


def _near(a: Any, b: Any) -> bool:
    if isinstance(a, (list, tuple)) and isinstance(b, (list, tuple)):
        return len(a) == len(b) and all(map(_near, a, b))
    if isinstance(a, float) or isinstance(b, float):
        numbers = all(isinstance(v, (int, float)) for v in (a, b))
        return numbers and math.isclose(a, b, rel_tol=0, abs_tol=TOLERANCE + 1e-9)
    return a == b


class Gatekeeper:
    """All gates over the conversations of one stored video; remembers ids and frames."""

    def __init__(self, store: Store, video: str, limits: Limits):
        self._store, self._limits = store, limits
        self._stored = store.video(video)
        self._prefix = f"{store.source}.{store.config}/{video}/"
        self._ids: set[str] = set()
        self._frames: dict[tuple[int, str], str | None] = {}
        # (frame, name) -> the encoded map; raises KeyError. A build has the maps at hand.
        self.map_of: Callable[[int, str], bytes] = functools.partial(store.map, video)

    def look(self, record: FrameRecord) -> None:
        """Checks the image of a record that is at hand, so that it need not be read again."""
        if self._limits.images != "off":
            fault = image_fault(record.image, self._limits.images)
            self._frames[record.frame.index, "image"] = fault

    def check(self, conversation: Conversation, task: Task) -> Held | None:
        """What is wrong with a conversation, None when it may pass."""

        def held(gate: str, reason: str) -> Held:
            return Held(conversation.id, task.name, gate, reason)

        if reason := self.duplicate_id(conversation):
            return held("duplicate_id", reason)
        for name, function in GATES.items():
            if reason := function(conversation, task, self._limits):
                return held(name, reason)
        if reason := self.corrupt_image(conversation, task):
            return held("corrupt_image", reason)
        return None

    def duplicate_id(self, conversation: Conversation) -> str | None:
        """Ids name their video, so no two videos can share one if they name the right video."""
        rest = conversation.id.removeprefix(self._prefix)
        match = _REST.fullmatch(rest)
        if rest == conversation.id or match is None or match["task"] != conversation.task:
            return f"the id '{conversation.id}' is not {self._prefix}FRAME/{conversation.task}/PART"
        if conversation.id in self._ids:
            return "another conversation has this id"
        self._ids.add(conversation.id)
        return None

    def corrupt_image(self, conversation: Conversation, task: Task) -> str | None:
        """Media are stored frames of this video, each looked at once for all conversations."""
        pointers = list(conversation.media)
        if task.answer_form == "pixels":  # a question in words alone may ask for a clip
            pointers.append(_pointer(conversation.answer))
        if not pointers and task.level != "text":
            return "points at no image"
        for media in pointers:
            if f"{media.source}.{media.config}/{media.video}/" != self._prefix:
                return f"points at {media.source}.{media.config}/{media.video}, another video"
            if media.first < 0 or media.count < 1 or media.first + media.count > self._stored.count:
                return (
                    f"points at frames {media.first} to {media.first + media.count - 1} of "
                    f"{self._stored.count}"
                )
            if self._limits.images == "off":
                continue
            for index in range(media.first, media.first + media.count):
                if reason := self._frame(index, media):
                    return f"frame {index}: {reason}"
        return None

    def _frame(self, index: int, media: Media) -> str | None:
        kind = "image" if media.kind in PICTURES else media.kind
        if (index, kind) not in self._frames:
            self._frames[index, kind] = image_fault(self._data(index, kind), self._limits.images)
        return self._frames[index, kind]

    def _data(self, index: int, kind: str) -> bytes:
        if kind == "image":
            return self._store.frame(self._stored.video.id, index).image
        try:
            return self.map_of(index, kind)
        except KeyError:
            return b""


def image_fault(data: bytes, images: Images) -> str | None:
    """Why encoded bytes are no image. A JPEG is decoded in grey at an eighth of its size, which
    reads every byte of it and costs a fraction of a whole decoding; of a PNG the checksums are
    compared, which takes a twentieth of the time of decoding."""
    if not data:
        return "is not stored"
    if data.startswith(_PNG):
        return _png_fault(data) if images == "decode" else None
    try:
        if not data.startswith(b"\xff\xd8"):
            flat = np.frombuffer(data, np.uint8)
            if images == "decode" and cv2.imdecode(flat, cv2.IMREAD_UNCHANGED) is None:
                return "is neither JPEG nor an image that OpenCV reads"
            return None
        if images == "header":
            simplejpeg.decode_jpeg_header(data)
            return None if data.rstrip(b"\0").endswith(b"\xff\xd9") else "the JPEG is cut off"
        simplejpeg.decode_jpeg(data, "GRAY", min_height=1, min_width=1)
    except ValueError as error:
        return f"cannot be decoded: {error}"
    return None


def _png_fault(data: bytes) -> str | None:
    """Walks the chunks of a PNG: length, kind, content, CRC-32 of kind and content (ISO 15948)."""
    view, place = memoryview(data), len(_PNG)
    while place + 12 <= len(data):
        end = place + 8 + int.from_bytes(view[place : place + 4], "big")
        if end + 4 > len(data):
            break
        if zlib.crc32(view[place + 4 : end]) != int.from_bytes(view[end : end + 4], "big"):
            return f"the PNG is damaged at byte {place}"
        if view[place + 4 : place + 8] == b"IEND":
            return None
        place = end + 4
    return "the PNG is cut off"
