"""Annotations of the schema as a person writes them: plain label names, checked field by field.

    {"phase": "preparation", "instruments": [{"label": "hook", "box": [0.1, 0.2, 0.4, 0.5]}],
     "triplets": [{"instrument": "hook", "verb": "dissect", "target": "cystic duct"}],
     "criteria": [{"label": "two_structures", "score": 0.67}], "flags": {"smoke": 1}}

Fields are those of `schema.FrameAnnotations` and `schema.VideoAnnotations`, with a name for each
label and boxes as [x1, y1, x2, y2] fractions. An absent field is not annotated; [] is none there.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import TypeVar

from surgzoo.datasets.annotation_files import AnnotationFileError, Node
from surgzoo.datasets.collection import LabelBook
from surgzoo.db import boxes, ontology, schema

T = TypeVar("T")

_FRAME = frozenset(
    field.name for field in dataclasses.fields(schema.FrameAnnotations) if field.name != "derived"
)
_VIDEO = frozenset(("segments", "captions", "skills", "notes"))


def frame_annotations(node: Node | None, book: LabelBook) -> schema.FrameAnnotations:
    """Raises AnnotationFileError that names line and field."""
    if node is None:
        return schema.FrameAnnotations()
    _only(node, _FRAME)
    flags = node.get("flags")
    caption = node.get("caption")
    return schema.FrameAnnotations(
        phase=_label(node.get("phase"), "phase", book),
        step=_label(node.get("step"), "step", book),
        actions=_items(node.get("actions"), lambda item: _label(item, "action", book)),
        instruments=_items(node.get("instruments"), lambda item: _instrument(item, book)),
        tissues=_items(node.get("tissues"), lambda item: _tissue(item, book)),
        triplets=_items(node.get("triplets"), lambda item: _triplet(item, book)),
        criteria=_items(node.get("criteria"), lambda item: _criterion(item, book)),
        questions=_items(node.get("questions"), _question),
        caption=caption.str() if caption else None,
        flags={name: value.float() for name, value in flags.items()} if flags else {},
    )


def video_annotations(node: Node | None, book: LabelBook) -> schema.VideoAnnotations:
    """Raises AnnotationFileError that names line and field."""
    if node is None:
        return schema.VideoAnnotations()
    _only(node, _VIDEO)
    return schema.VideoAnnotations(
        segments=_items(node.get("segments"), lambda item: _segment(item, book)) or (),
        captions=_items(node.get("captions"), _caption) or (),
        skills=_items(node.get("skills"), _skill) or (),
        notes=_items(node.get("notes"), Node.str) or (),
    )


def _only(node: Node, known: frozenset[str]) -> None:
    unknown = [key for key, _ in node.items() if key not in known]
    if unknown:
        raise node.error(f"unknown: {', '.join(unknown)}; known: {', '.join(sorted(known))}")


def _items(node: Node | None, read: Callable[[Node], T]) -> tuple[T, ...] | None:
    return None if node is None else tuple(read(item) for item in node.list())


def _checked(node: Node, build: Callable[[], T]) -> T:
    """What the schema refuses, with its place."""
    try:
        return build()
    except AnnotationFileError:
        raise
    except (ValueError, ontology.UnmappedLabelError) as error:
        raise node.error(str(error)) from None


def _label(node: Node | None, kind: str, book: LabelBook) -> schema.Label | None:
    if node is None:
        return None
    native = node.str()
    return _checked(node, lambda: book.label(kind, native))


def _box(node: Node | None) -> schema.Box | None:
    if node is None:
        return None
    corners = node.floats(4)
    return _checked(node, lambda: boxes.from_xyxy(corners, clip=True))


def _mask(node: Node) -> int:
    value = node.get("mask")
    if value is None:
        return 0
    if not 1 <= value.int() <= 255:
        raise value.error("a mask value is 1 .. 255")
    return value.int()


def _instrument(node: Node, book: LabelBook) -> schema.Instrument:
    _only(node, frozenset(("label", "box", "mask", "track", "operator", "tip")))
    track, operator, tip = node.get("track"), node.get("operator"), node.get("tip")
    return schema.Instrument(
        _label(node["label"], "instrument", book),
        _box(node.get("box")),
        _mask(node),
        track.int() if track else None,
        operator.str() if operator else None,
        tip.floats(2) if tip else None,
    )


def _tissue(node: Node, book: LabelBook) -> schema.Tissue:
    _only(node, frozenset(("label", "box", "mask")))
    return schema.Tissue(_label(node["label"], "tissue", book), _box(node.get("box")), _mask(node))


def _triplet(node: Node, book: LabelBook) -> schema.Triplet:
    _only(node, frozenset((*ontology.TRIPLET, "instrument_box", "target_box")))
    parts = tuple(_label(node[kind], kind, book) for kind in ontology.TRIPLET)
    book.triplet(parts)
    return schema.Triplet(*parts, _box(node.get("instrument_box")), _box(node.get("target_box")))


def _criterion(node: Node, book: LabelBook) -> schema.Criterion:
    _only(node, frozenset(("label", "score")))
    label, score = _label(node["label"], "criterion", book), node["score"].float()
    return _checked(node, lambda: schema.Criterion(label, score))


def _question(node: Node) -> schema.Question:
    _only(node, frozenset(("text", "answer", "box", "kind", "thinking", "accepted")))
    kind, thinking, accepted = (node.get(key) for key in ("kind", "thinking", "accepted"))
    return schema.Question(
        _filled(node["text"]),
        _filled(node["answer"]),
        _box(node.get("box")),
        kind.str() if kind else "",
        thinking.str() if thinking else None,
        tuple(map(_filled, accepted.list())) if accepted else (),
    )


def _segment(node: Node, book: LabelBook) -> schema.Segment:
    _only(node, frozenset(("kind", "label", "start", "end", "actor")))
    kind, actor = node["kind"].str(), node.get("actor")
    label = _label(node["label"], kind, book)
    start, end = node["start"].float(), node["end"].float()
    who = actor.str() if actor else None
    return _checked(node, lambda: schema.Segment(kind, label, start, end, who))


def _caption(node: Node) -> tuple[float, float, str]:
    items = node.list()
    if len(items) != 3:
        raise node.error("a caption is [start, end, text]")
    start, end, text = items[0].float(), items[1].float(), _filled(items[2])
    if not 0 <= start < end:
        raise node.error(f"the interval [{start}, {end}) is empty or begins before 0")
    return start, end, text


def _skill(node: Node) -> schema.Skill:
    _only(node, frozenset(("scale", "value", "lowest", "highest")))
    value, lowest, highest = (node[key].float() for key in ("value", "lowest", "highest"))
    if not lowest <= value <= highest:
        raise node.error(f"the value {value} is not between {lowest} and {highest}")
    return schema.Skill(node["scale"].str(), value, lowest, highest)


def _filled(node: Node) -> str:
    if not node.str().strip():
        raise node.error("the text is empty")
    return node.str()
