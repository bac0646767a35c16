"""CholecInstanceSeg's label files: one LabelMe JSON a frame, polygons of instruments.

`shapes` holds one contour each: label, points (x, y pixels), group_id. Contours with the same label
and group_id are one instance, in pieces where something lies across it. group_id counts the
instances of a class within one frame and is no track. Files of frames without any instrument may
lack imageHeight and imageWidth.
"""

from __future__ import annotations

import numpy as np

from surgzoo.datasets import masks
from surgzoo.datasets.annotation_files import AnnotationFileError, FrameError, json_file
from surgzoo.datasets.layout import File
from surgzoo.db import ontology, schema

SOURCE = "cholecinstanceseg"

_CLASSES = 8  # ids 1 to 7, github.com/labdeeman7/cholec_instance_seg, dataset_variables.py


def annotate(file: File, size: tuple[int, int]) -> tuple[schema.FrameAnnotations, dict[str, bytes]]:
    """Instruments with boxes and the instance mask of an image of `size` = (height, width).

    A file is one frame, so what is wrong with it costs that frame. Raises FrameError, or
    UnmappedLabelError for a class that the ontology lacks.
    """
    try:
        outlines = _read(file, size)
    except AnnotationFileError as error:
        raise FrameError(str(error)) from None
    found = [(label, _fill(label, pieces, size)) for label, pieces in outlines]
    values = _values(found)
    mask = np.zeros(size, np.uint8)
    for value, (_, area) in zip(values, found, strict=True):
        mask[area] = value
    shown = set(np.unique(mask).tolist())
    return (
        schema.FrameAnnotations(
            instruments=tuple(
                # What lies wholly under another instrument keeps its box and has no mask.
                schema.Instrument(label, masks.box(area), value if value in shown else 0)
                for value, (label, area) in zip(values, found, strict=True)
            ),
            derived={"instruments.box": masks.BOX_OF_MASK},
        ),
        {"instrument_mask": masks.encode(mask)},
    )


Points = tuple[tuple[float, ...], ...]
Outlines = list[tuple[schema.Label, list[Points]]]  # the contours of each instance


def _read(file: File, size: tuple[int, int]) -> Outlines:
    """The instances in the order of the file. Raises AnnotationFileError, UnmappedLabelError."""
    data = json_file(file)
    for key, expected in zip(("imageHeight", "imageWidth"), size, strict=True):
        said = data.get(key)
        if said is not None and said.int() != expected:
            raise said.error(f"{said.value} where the image has {expected}")
    instances: dict[tuple[str, int | str], list[Points]] = {}
    for number, node in enumerate(data["shapes"].list()):
        kind, group = node.get("shape_type"), node.get("group_id")
        if kind is not None and kind.str() != "polygon":
            raise kind.error(f"a {kind.value} where all shapes are polygons")
        # Without a group it is an instance of its own.
        instance = f"#{number}" if group is None else group.int()
        points = tuple(point.floats(2) for point in node["points"].list())
        instances.setdefault((node["label"].str(), instance), []).append(points)
    out: Outlines = []
    for (native, _), pieces in instances.items():
        try:
            out.append((ontology.label(SOURCE, "instrument", native), pieces))
        except ontology.UnmappedLabelError as error:
            raise ontology.UnmappedLabelError(f"{file}: {error}") from None
    return out


def _fill(label: schema.Label, pieces: list[Points], size: tuple[int, int]) -> np.ndarray:
    """The pixels of an instance; specks of one or two points beside a polygon are left out."""
    area = np.zeros(size, bool)
    whole = [piece for piece in pieces if len(piece) > 2]
    for piece in whole or pieces[:1]:
        area |= masks.polygon(piece, size)
    if not area.any():
        raise FrameError(f"the {label.native} lies outside of the image")
    return area


def _values(found: list[tuple[schema.Label, np.ndarray]]) -> list[int]:
    """A mask value for each instance, as steady over time as it can be without tracks.

    The only instance of a class has the class's id; of several the first from the left has
    id + 8, the next id + 16, and so on: an instance is never taken for another of a frame where
    there are more or fewer.
    """
    ids = {n: i for i, n in enumerate(_natives(), start=1)}
    out = [0] * len(found)
    for native in {label.native for label, _ in found}:
        mine = [i for i, (label, _) in enumerate(found) if label.native == native]
        if len(mine) == 1:
            out[mine[0]] = ids[native]
            continue
        mine.sort(key=lambda i: np.flatnonzero(found[i][1].any(0)).mean())
        for rank, place in enumerate(mine, start=1):
            out[place] = ids[native] + _CLASSES * rank
    if max(out, default=0) > 255:
        raise FrameError(f"{len(out)} instruments in one frame")
    return out


def _natives() -> list[str]:
    return [native for kind, native in ontology.table(SOURCE) if kind == "instrument"]
