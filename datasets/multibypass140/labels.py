"""MultiBypass140's label files, and its splits, which are pickles.

`labels/<centre>/labels_by70/BBP01.mp4.json` holds `phases` and `steps`, each a list of {start, end
(milliseconds), label_name, label_id}. `out_of_body` and `severe_index` are listed among the phases
and lie on top of them. Labels are read by name.
"""

from __future__ import annotations

import pickle
from typing import Any

from surgzoo.datasets.annotation_files import AnnotationFileError, Node, json_file
from surgzoo.datasets.layout import File
from surgzoo.db import ontology, schema

SOURCE = "multibypass140"
FLAGS = ("out_of_body", "severe_index")


def read_segments(file: File) -> tuple[schema.Segment, ...]:
    """Phases, steps and flags as segments in seconds.

    Raises AnnotationFileError, or UnmappedLabelError for a name that the ontology lacks.
    """
    data = json_file(file)
    out = [_segment(item, "phase") for item in data["phases"].list()]
    out += [_segment(item, "step") for item in data["steps"].list()]
    if not out:
        raise AnnotationFileError(f"{file}: neither a phase nor a step")
    return tuple(sorted(out, key=lambda s: (s.start, s.end, s.kind)))


def _segment(node: Node, kind: str) -> schema.Segment:
    native = node["label_name"].str()
    start, end = node["start"].float() / 1000, node["end"].float() / 1000
    if native in FLAGS:
        kind = "flag"
    try:
        label = ontology.label(SOURCE, kind, native)
    except ontology.UnmappedLabelError as error:
        raise ontology.UnmappedLabelError(f"{node.file}, {node.path}: {error}") from None
    try:
        return schema.Segment(kind, label, start, end)
    except ValueError as error:
        raise node.error(str(error)) from None


class _Plain(pickle.Unpickler):
    """Plain containers, numbers and texts; anything else could run code."""

    def find_class(self, module: str, name: str) -> Any:
        raise pickle.UnpicklingError(f"it holds {module}.{name}, which is no plain value")

    def persistent_load(self, pid: Any) -> Any:
        raise pickle.UnpicklingError("it refers to something outside of itself")


def read_split(file: File) -> tuple[str, ...]:
    """The videos of a split pickle, {video: [frame records]}. Raises AnnotationFileError."""
    try:
        with file.open() as opened:
            value = _Plain(opened).load()
    except Exception as error:  # a torn pickle may raise nearly anything
        raise AnnotationFileError(f"{file}: is not read ({error})") from None
    if not isinstance(value, dict) or not all(isinstance(key, str) for key in value):
        raise AnnotationFileError(f"{file}: is not a dict of videos")
    return tuple(value)
