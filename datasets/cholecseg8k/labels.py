"""CholecSeg8k's masks: values of the watershed mask, colours of the colour mask.

  frame_N_endo_watershed_mask.png  the value of a class in three equal channels; what is read
  frame_N_endo_color_mask.png      its colour; read where there is no watershed mask
  frame_N_endo_mask.png            sparse strokes of the annotation tool; never read

Values that stand for no class: 255 is the line between classes, 0 the frame's border; 35 and 36 are
met in a few masks and explained nowhere. Stored masks hold the ids of the paper's table.
"""

from __future__ import annotations

import functools

import numpy as np

from surgzoo.datasets import masks
from surgzoo.datasets.layout import File
from surgzoo.db import ontology, schema

SOURCE = "cholecseg8k"
BACKGROUND = "Black Background"
NO_CLASS = (0, 35, 36, 255)
NO_CLASS_COLORS = ((0, 0, 0), (255, 255, 255))

# Class -> value in the watershed mask, colour in the colour mask; the place is the class's id in
# the table of arXiv 2012.12453. Values and colours: github.com/constantinpape/torch-em,
# cholecseg8k.py, and github.com/dataset-ninja/cholec-seg8k.
CLASSES = {
    BACKGROUND: (50, (127, 127, 127)),
    "Abdominal Wall": (11, (210, 140, 140)),
    "Liver": (21, (255, 114, 114)),
    "Gastrointestinal Tract": (13, (231, 70, 156)),
    "Fat": (12, (186, 183, 75)),
    "Grasper": (31, (170, 255, 0)),
    "Connective Tissue": (23, (255, 85, 0)),
    "Blood": (24, (255, 0, 0)),
    "Cystic Duct": (25, (255, 255, 0)),
    "L-hook Electrocautery": (32, (169, 255, 184)),
    "Gallbladder": (22, (255, 160, 165)),
    "Hepatic Vein": (33, (0, 50, 128)),
    "Liver Ligament": (5, (111, 74, 0)),
}


def annotate(
    watershed: File | None, color: File | None, size: tuple[int, int]
) -> tuple[schema.FrameAnnotations, dict[str, bytes]]:
    """Tissues with the box around their mask, and instruments; both maps. Raises FrameError.

    One value of the mask is all instruments of a class, so these have no box.
    """
    if watershed is None and color is None:
        return schema.FrameAnnotations(), {}
    if watershed is not None:
        ids = _from_values(watershed, size)
    else:
        ids = _from_colors(color, size)
    tissue, instrument = _labels("tissue"), _labels("instrument")
    tissue_mask = np.where(np.isin(ids, list(tissue)), ids, 0)
    instrument_mask = np.where(np.isin(ids, list(instrument)), ids, 0)
    return (
        schema.FrameAnnotations(
            instruments=masks.instruments(instrument_mask, instrument, instances=False),
            tissues=masks.tissues(tissue_mask, tissue),
            derived={"tissues.box": masks.BOX_OF_MASK},
        ),
        {
            "tissue_mask": masks.encode(tissue_mask),
            "instrument_mask": masks.encode(instrument_mask),
        },
    )


def _from_values(file: File, size: tuple[int, int]) -> np.ndarray:
    mask = masks.one_channel(masks.read_mask(file, size), file)
    values = [value for value, _ in CLASSES.values()]
    masks.check_values(mask, [*values, *NO_CLASS], file)
    table = np.zeros(256, np.uint8)
    table[values] = np.arange(len(values))
    return table[mask]


def _from_colors(file: File, size: tuple[int, int]) -> np.ndarray:
    mask = masks.read_mask(file, size)
    if mask.ndim == 2:  # one channel: every colour in it is grey
        mask = np.repeat(mask[..., None], 3, axis=2)
    table = {color: number for number, (_, color) in enumerate(CLASSES.values())}
    return masks.by_color(mask, table | dict.fromkeys(NO_CLASS_COLORS, 0), file)


@functools.cache
def _labels(kind: str) -> dict[int, schema.Label]:
    return {
        number: ontology.label(SOURCE, kind, native)
        for number, native in enumerate(CLASSES)
        if (kind, native) in ontology.table(SOURCE)
    }
