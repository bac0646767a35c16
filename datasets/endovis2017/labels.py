"""EndoVis 2017's masks: one folder an instrument in training, one map of types in the test.

Formats (github.com/ternaus/robot-surgery-segmentation, prepare_data.py):
  ground_truth/Left_Prograsp_Forceps_labels/frame000.png  10 shaft, 20 wrist, 30 claspers
  gt/TypeSegmentation/frame225.png                        ids 1 to 7, or 32 times the id
Names of the folders differ from sequence to sequence (side before or after the instrument, with and
without "_labels"), so the instrument is looked for within the name.
"""

from __future__ import annotations

import dataclasses

import numpy as np
from jaxtyping import UInt8

from surgzoo.datasets import masks
from surgzoo.datasets.annotation_files import FrameError
from surgzoo.datasets.layout import File
from surgzoo.db import ontology, schema

SOURCE = "endovis2017"
FRAME = (1080, 1920)  # height and width as released, the picture within a black frame
PICTURE = (320, 28, 1280, 1024)  # x, y, width, height; the challenge's data page says so
OTHER = "Other"
TYPES = tuple(native for kind, native in ontology.table(SOURCE) if kind == "instrument")
TYPE_FACTOR = 32  # of the maps made for looking at

# A mask has a handful of values, a photograph laid in its place has hundreds.
_MOST_VALUES = 16


@dataclasses.dataclass(frozen=True)
class InstrumentFolder:
    """The masks of one instrument through a sequence; `value` is its own in `instrument_mask`."""

    name: str
    value: int
    label: schema.Label
    files: dict[int, File]


def instrument_of(folder: str) -> schema.Label:
    """The type in a folder's name. Raises UnmappedLabelError when there is none or several."""
    words = folder.lower().replace("_", " ")
    found = [name for name in TYPES if name.lower() in words]
    if len(found) != 1:
        raise ontology.UnmappedLabelError(
            f"{SOURCE}: the folder '{folder}' of ground_truth names "
            f"{' and '.join(found) or 'no instrument'}; known: {', '.join(TYPES)}. If it is right, "
            f"add a row to surgzoo/db/ontology/{SOURCE}.tsv."
        )
    return ontology.label(SOURCE, "instrument", found[0])


def folders(files: dict[str, dict[int, File]]) -> tuple[InstrumentFolder, ...]:
    """The folders of a sequence in order, numbered from 1."""
    return tuple(
        InstrumentFolder(name, value, instrument_of(name), files[name])
        for value, name in enumerate(sorted(files), start=1)
    )


def instances(
    given: tuple[InstrumentFolder, ...], number: int, size: tuple[int, int]
) -> tuple[schema.FrameAnnotations, dict[str, bytes]]:
    """Instruments of a training frame with boxes and tracks: a folder follows one instrument.

    "Other" may hold several things, so it has neither. Raises FrameError.
    """
    combined = np.zeros(size, np.uint8)
    # Other things lie below: where masks overlap, the named instrument is what is meant.
    for folder in sorted(given, key=lambda f: f.label.native != OTHER):
        if number not in folder.files:
            raise FrameError(f"there is no mask in {folder.name}")
        file = folder.files[number]
        mask = _read(file, size)
        combined[mask.any(-1) if mask.ndim == 3 else mask > 0] = folder.value
    labels = {folder.value: folder.label for folder in given}
    found = tuple(
        dataclasses.replace(item, box=None)
        if item.label.native == OTHER
        else dataclasses.replace(item, track=item.mask)
        for item in masks.instruments(combined, labels, instances=True)
    )
    derived = {"instruments.box": masks.BOX_OF_MASK}
    annotations = schema.FrameAnnotations(instruments=found, derived=derived)
    return annotations, {"instrument_mask": masks.encode(combined)}


def types(file: File, size: tuple[int, int]) -> tuple[schema.FrameAnnotations, dict[str, bytes]]:
    """Instruments of a test frame: classes, without boxes. Raises FrameError."""
    mask = masks.one_channel(_read(file, size), file)
    ids = range(len(TYPES) + 1)
    if (mask >= TYPE_FACTOR).any():
        masks.check_values(mask, [TYPE_FACTOR * i for i in ids], file)
        mask = mask // TYPE_FACTOR
    masks.check_values(mask, ids, file)
    labels = {i: ontology.label(SOURCE, "instrument", n) for i, n in enumerate(TYPES, start=1)}
    annotations = schema.FrameAnnotations(
        instruments=masks.instruments(mask, labels, instances=False)
    )
    return annotations, {"instrument_mask": masks.encode(mask)}


def _read(file: File, size: tuple[int, int]) -> UInt8[np.ndarray, "h w *c"]:
    """A mask of an image of `size`, cut out of its black frame when the image was."""
    mask = masks.read_mask(file)
    if mask.shape[:2] == FRAME and size != FRAME:
        x, y, width, height = PICTURE
        mask = mask[y : y + height, x : x + width]
    if mask.shape[:2] != size:
        raise FrameError(
            f"{file}: the mask is {mask.shape[1]}x{mask.shape[0]}, the image {size[1]}x{size[0]}"
        )
    if mask.dtype != np.uint8 or np.count_nonzero(np.bincount(mask.ravel())) > _MOST_VALUES:
        raise FrameError(f"{file}: is no mask: it has more than {_MOST_VALUES} values")
    return mask
