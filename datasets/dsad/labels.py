"""DSAD's masks, a file an organ, and its table of what else is in view.

liver/02/mask00.png             0, and 255 on the organ of the folder
multilabel/02/mask00_liver.png  one for each organ (the place of the organ's name in that of the
                                file is not verified, so it is found anywhere)
liver/02/weak_labels.csv        a row an image: its name, then 0 or 1 for each structure; with
                                `uterus`, which no mask shows (columns: the dataset's card on
                                Hugging Face, nct-tso/dsad)
"""

from __future__ import annotations

import functools
import re

import numpy as np

from surgzoo.datasets import masks
from surgzoo.datasets.annotation_files import FrameError, Row, rows
from surgzoo.datasets.layout import File
from surgzoo.db import ontology, schema

SOURCE = "dsad"
WITHOUT_MASKS = "uterus"
ONE_ORGAN = "the organ of the folder; others may be in view"


@functools.cache
def organs() -> dict[str, int]:
    """Organ -> its value in our mask, in the ontology's order from 1."""
    names = [native for kind, native in ontology.table(SOURCE) if kind == "tissue"]
    return {name: value for value, name in enumerate(names, start=1)}


def organ_of(name: str) -> str | None:
    """The organ whose name is in that of a file; None where there is none."""
    plain = re.sub(r"[^a-z]+", "_", name.lower())
    return next((organ for organ in organs() if organ in plain), None)


def read_presence(file: File) -> dict[int, frozenset[str]]:
    """Number of an image -> the organs in view. Raises AnnotationFileError."""
    out: dict[int, frozenset[str]] = {}
    columns: dict[str, str] = {}
    for row in rows(file):
        first, *rest = row.fields
        columns = columns or _columns(row, rest)
        digits = re.search(r"(\d+)(?:\.\w+)?$", row[first])
        if digits is None:
            raise row.error(f"{row[first]!r} names no image")
        number = int(digits[1])
        if number in out:
            raise row.error(f"image {number} is given twice")
        seen = set()
        for column, organ in columns.items():
            if row[column] not in ("0", "1", "0.0", "1.0"):
                raise row.error(f"{column} is {row[column]!r}, not 0 or 1")
            if row[column].startswith("1"):
                seen.add(organ)
        out[number] = frozenset(seen - {WITHOUT_MASKS})
    return out


def _columns(row: Row, names: list[str]) -> dict[str, str]:
    """Column -> organ, for all columns but the first."""
    found = {name: re.sub(r"[^a-z]+", "_", name.lower()).strip("_") for name in names}
    known = {*organs(), WITHOUT_MASKS}
    wrong = sorted(set(organs()) - set(found.values())) + sorted(set(found.values()) - known)
    if wrong or len(set(found.values())) < len(found):
        raise row.error(f"the columns are not the image and the organs: {', '.join(wrong)}")
    return found


def annotate(
    mask_files: dict[str, File], seen: frozenset[str] | None, size: tuple[int, int], *, whole: bool
) -> tuple[schema.FrameAnnotations, dict[str, bytes]]:
    """An image of `size` = (height, width) with the masks of some organs. Raises FrameError.

    Args:
      seen: the organs that the table says are in view; None without a table.
      whole: whether all organs in view have a mask.

    Where two organs overlap, the later one in the ontology's order is on top.
    """
    values = np.zeros(size, np.uint8)
    found: dict[str, schema.Box] = {}
    for organ, value in organs().items():
        if organ in mask_files:
            region = _region(mask_files[organ], size)
            values[region] = value
            if box := masks.box(region):
                found[organ] = box
    tissues = []
    for organ, value in organs().items():
        if organ in found or organ in (seen or ()):
            shown = value if (values == value).any() else 0
            name = ontology.label(SOURCE, "tissue", organ)
            tissues.append(schema.Tissue(name, found.get(organ), shown))
    derived = {"tissues.box": masks.BOX_OF_MASK}
    if seen is None and not whole:
        derived["tissues"] = ONE_ORGAN
    annotations = schema.FrameAnnotations(tissues=tuple(tissues), derived=derived)
    return annotations, {"tissue_mask": masks.encode(values)}


def _region(file: File, size: tuple[int, int]) -> np.ndarray:
    mask = masks.one_channel(masks.read_mask(file, size), file)
    values = set(np.unique(mask).tolist())
    if not (values <= {0, 255} or values <= {0, 1}):
        raise FrameError(f"{file}: is no mask of one organ, it has {len(values)} values")
    return mask > 0
