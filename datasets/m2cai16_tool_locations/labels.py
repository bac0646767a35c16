"""m2cai16-tool-locations' label files: Pascal VOC XML, one a frame, and lists of frames.

  Annotations/vNN_FFFFFF.xml             objects: name, bndbox of xmin, ymin, xmax, ymax
  ImageSets/Main/{train,val,test}.txt    a frame's name a line

VOC counts pixels from 1 and its xmax and ymax belong to the box, so the box in edges begins one
pixel earlier: [xmin - 1, xmax]. Names are those of m2cai16-tool's columns, in any case.
"""

from __future__ import annotations

from xml.etree import ElementTree

from surgzoo.datasets.annotation_files import AnnotationFileError, FrameError, text, xml_file
from surgzoo.datasets.layout import File
from surgzoo.db import boxes, ontology, schema

SOURCE = "m2cai16_tool_locations"


def annotate(file: File, size: tuple[int, int]) -> schema.FrameAnnotations:
    """The instruments of an image of `size` = (height, width).

    A file is one frame, so what is wrong with it costs that frame. Raises FrameError, or
    UnmappedLabelError for a name that the ontology lacks.
    """
    try:
        root = xml_file(file)
    except AnnotationFileError as error:
        raise FrameError(str(error)) from None
    if root.tag != "annotation":
        raise FrameError(f"{file}: begins with <{root.tag}>, not with <annotation>")
    said = root.findtext("filename", "").strip()
    if said and said.lower().rpartition(".")[0] not in ("", file.stem.lower()):
        raise FrameError(f"{file}: is of the image {said}")
    for name, expected in (("height", size[0]), ("width", size[1])):
        found = root.find(f"size/{name}")
        if found is not None and _number(found, file) not in (0, expected):
            raise FrameError(f"{file}: {name} {found.text} where the image has {expected}")
    return schema.FrameAnnotations(
        instruments=tuple(_instrument(node, file, size) for node in root.iter("object"))
    )


def read_names(file: File) -> tuple[str, ...]:
    """The frames of a list, in lower case. Raises AnnotationFileError."""
    out = []
    for line, row in enumerate(text(file).split("\n"), start=1):
        if not row.strip():
            continue
        if len(row.split()) > 1:
            raise AnnotationFileError(f"{file}, line {line}: {row.strip()!r} is no single name")
        out.append(row.strip().lower().removesuffix(".jpg"))
    return tuple(out)


def _instrument(node: ElementTree.Element, file: File, size: tuple[int, int]) -> schema.Instrument:
    name = (node.findtext("name") or "").strip()
    corners = []
    for tag in ("xmin", "ymin", "xmax", "ymax"):
        found = node.find(f"bndbox/{tag}")
        if found is None:
            raise FrameError(f"{file}: an object has no {tag}")
        corners.append(_number(found, file))
    x1, y1, x2, y2 = corners
    try:
        box = boxes.from_xyxy((x1 - 1, y1 - 1, x2, y2), size, clip=True)
    except ValueError as error:
        raise FrameError(f"{file}: {name}: {error}") from None
    return schema.Instrument(_label(name, file), box)


def _label(name: str, file: File) -> schema.Label:
    natives = [native for kind, native in ontology.table(SOURCE) if kind == "instrument"]
    spelt = next((native for native in natives if native.lower() == name.lower()), name)
    try:
        return ontology.label(SOURCE, "instrument", spelt)
    except ontology.UnmappedLabelError as error:
        raise ontology.UnmappedLabelError(f"{file}: {error}") from None


def _number(node: ElementTree.Element, file: File) -> float:
    try:
        value = float(node.text or "")
    except ValueError:
        value = float("nan")
    if not abs(value) < float("inf"):
        raise FrameError(f"{file}: {node.tag} is {node.text!r}, not a number")
    return value
