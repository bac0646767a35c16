"""EndoVis 2018's labels: colours, and the lists that name them.

Formats (the released labels.json files; IMSY-DKFZ/mml, endovis18_robotic_instrument.py):
  labels.json          [{"name", "color": [r, g, b], "classid"}, ...], or, with the test,
                       {"classes": [{"name", "active", "color": [r, g, b, a], "classid"}, ...]};
                       each lists the classes of its own release part
  labels/frame000.png  RGB
Classes are read by name, through the colours of the lists.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable

import numpy as np

from surgzoo.datasets import masks
from surgzoo.datasets.annotation_files import FrameError, Node, json_file
from surgzoo.datasets.layout import File
from surgzoo.db import ontology, schema

SOURCE = "endovis2018"

Color = tuple[int, int, int]

# As published in labels.json; for a tree without it, and for classes that its lists lack.
PALETTE: dict[Color, str] = {
    (0, 0, 0): "background-tissue",
    (0, 255, 0): "instrument-shaft",
    (0, 255, 255): "instrument-clasper",
    (125, 255, 12): "instrument-wrist",
    (255, 55, 0): "kidney-parenchyma",
    (24, 55, 125): "covered-kidney",
    (187, 155, 25): "thread",
    (0, 255, 125): "clamps",
    (255, 255, 125): "suturing-needle",
    (123, 15, 175): "suction-instrument",
    (124, 155, 5): "small-intestine",
    (12, 255, 141): "ultrasound-probe",
}

# Label images that repairs.zip replaces: sequence -> frames.
REPAIRED = {"seq_1": (42, 43, 44, 73), "seq_4": (135, 137, 138)}


@dataclasses.dataclass(frozen=True)
class Classes:
    """The classes of the label images: colour -> name."""

    colors: dict[Color, str]

    def annotate(
        self, file: File, size: tuple[int, int]
    ) -> tuple[schema.FrameAnnotations, dict[str, bytes]]:
        """The labels of a frame of `size` = (height, width). Raises FrameError.

        Classes are not instances, so instruments have no boxes. A value of either map is the place
        of the class among those of its kind in the ontology's table, from 1.
        """
        mask = masks.read_mask(file, size)
        if mask.ndim != 3:
            raise FrameError(f"{file}: has one channel; the labels are RGB colours")
        places = masks.by_color(mask, {c: i for i, c in enumerate(self.colors)}, file)
        found = {}
        for kind in ("instrument", "tissue"):
            names = _natives(kind)
            values = [names.index(n) + 1 if n in names else 0 for n in self.colors.values()]
            found[kind] = np.array(values, np.uint8)[places]
        annotations = schema.FrameAnnotations(
            instruments=masks.instruments(
                found["instrument"], _labels("instrument"), instances=False
            ),
            tissues=masks.tissues(found["tissue"], _labels("tissue")),
            derived={"tissues.box": masks.BOX_OF_MASK},
        )
        return annotations, {f"{kind}_mask": masks.encode(mask) for kind, mask in found.items()}


def read_classes(files: Iterable[File]) -> Classes:
    """The published colours, with those of the lists in their place.

    Raises AnnotationFileError when two lists name a colour differently, UnmappedLabelError for a
    name that the ontology lacks.
    """
    colors: dict[Color, tuple[str, File]] = {}
    for file in files:
        data = json_file(file)
        if isinstance(data.value, dict):
            data = data["classes"]
        for node in data.list():
            name, color = node["name"].str(), _color(node["color"])
            if not any(name in _natives(kind) for kind in ("instrument", "tissue")):
                raise ontology.UnmappedLabelError(
                    f"{file}, {node.path}: {SOURCE} has no class '{name}'. If it is right, add a "
                    f"row to surgzoo/db/ontology/{SOURCE}.tsv."
                )
            other, place = colors.setdefault(color, (name, file))
            if _concept(other) != _concept(name):
                raise node.error(f"{color} is '{name}' here and '{other}' in {place}")
    return Classes(PALETTE | {color: name for color, (name, _) in colors.items()})


def _color(node: Node) -> Color:
    values = [item.int() for item in node.list()]
    if len(values) not in (3, 4) or not all(0 <= value <= 255 for value in values):
        raise node.error(f"{values} is not a colour: 3 or 4 numbers from 0 to 255")
    return values[0], values[1], values[2]


def _natives(kind: str) -> list[str]:
    return [native for k, native in ontology.table(SOURCE) if k == kind]


def _labels(kind: str) -> dict[int, schema.Label]:
    names = enumerate(_natives(kind), start=1)
    return {value: ontology.label(SOURCE, kind, name) for value, name in names}


def _concept(name: str) -> tuple[str, ...]:
    """What tells classes apart: the parts of an instrument are of one concept and differ."""
    tissue = ontology.table(SOURCE).get(("tissue", name))
    return ("tissue", tissue) if tissue else ("instrument", name)
