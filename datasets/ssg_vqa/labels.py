"""SSG-VQA's question texts and scene graphs.

  VIDNN/F.txt               F is the second. Two lines that list what is in view, then
                            question|answer|type|type ...; questions about a place have the point
                            that was meant in place of types, some have neither
  scene_graph/VIDNN_K.json  objects of a frame with boxes x1, y1, x2, y2 in an image 430 wide and
                            240 high. K counts graphs; which frame it is of, says image_filename
The graphs were made by detection and segmentation models, not by people.
"""

from __future__ import annotations

import re

from surgzoo.datasets.annotation_files import AnnotationFileError, Node, json_file
from surgzoo.datasets.layout import File
from surgzoo.datasets.question_files import answer_kinds, lines
from surgzoo.db import boxes, ontology, schema

SOURCE = "ssg_vqa"
HEAD = 2  # lines at the top that are no questions
GRAPH_SIZE = (240, 430)  # height, width
DETECTED = "boxes of a detection model, in the authors' scene graphs"

_TYPE = re.compile(r"[a-z_-]+(?:\.json)?")


def read_questions(file: File) -> tuple[schema.Question, ...]:
    """The questions of a frame. Raises AnnotationFileError or UnmappedLabelError."""
    kind_of = answer_kinds(SOURCE)
    found = list(lines(file))
    if len(found) < HEAD:
        raise AnnotationFileError(f"{file}: {len(found)} lines; the first {HEAD} are its head")
    stray = next((n for n, line in found[:HEAD] if "?" in line), None)
    if stray is not None:
        raise AnnotationFileError(f"{file}, line {stray}: a question where the head should be")
    out = []
    for number, line in found[HEAD:]:
        question, answer, *more = (field.strip() for field in f"{line}|".split("|"))
        if not question or not answer:
            raise AnnotationFileError(
                f"{file}, line {number}: need question|answer|type ...: {line!r}"
            )
        try:
            kind_of(answer)
        except ontology.UnmappedLabelError as error:
            raise ontology.UnmappedLabelError(f"{file}, line {number}: {error}") from None
        types = [field.removesuffix(".json") for field in more if _TYPE.fullmatch(field)]
        out.append(schema.Question(question, answer, kind="/".join(types)))
    return tuple(out)


def read_graph(file: File) -> tuple[int, int, tuple[schema.Instrument, ...] | None]:
    """(video, second, instruments with boxes) of a scene graph; None where a box is no box.

    Raises AnnotationFileError, or UnmappedLabelError for an instrument that the ontology lacks.
    """
    scenes = json_file(file)["scenes"].list()
    if len(scenes) != 1:
        raise AnnotationFileError(f"{file}: {len(scenes)} scenes, not one")
    name = scenes[0]["image_filename"]
    match = re.fullmatch(r"VID0*(\d+)_0*(\d+)", name.str(), re.IGNORECASE)
    if match is None:
        raise name.error(f"{name.str()[:40]!r} is not of the form VID01_1")
    instruments: list[schema.Instrument] = []
    broken = False
    for item in scenes[0]["objects"].list():
        kind = item["type"].str()
        if kind == "anatomy":
            continue
        if kind != "instrument":
            raise item["type"].error(f"{kind[:40]!r} is neither anatomy nor instrument")
        label, corners = _instrument(item["component"]), item["bbox"].floats(4)
        try:
            instruments.append(
                schema.Instrument(label, boxes.from_xyxy(corners, GRAPH_SIZE, clip=True))
            )
        except ValueError:
            broken = True
    return int(match[1]), int(match[2]), None if broken else tuple(instruments)


def _instrument(component: Node) -> schema.Label:
    try:
        return ontology.label(SOURCE, "instrument", component.str())
    except ontology.UnmappedLabelError as error:
        raise ontology.UnmappedLabelError(f"{component.file} ({component.path}): {error}") from None
