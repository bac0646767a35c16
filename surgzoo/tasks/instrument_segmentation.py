"""Instrument segmentation: one channel, the instrument white and the rest black, as in SurgΣ."""

from __future__ import annotations

from surgzoo.tasks import templates
from surgzoo.tasks.segmentation import Segmentation


class InstrumentSegmentation(Segmentation):
    """The questions of `Segmentation` about instruments. SurgΣ states no number."""

    name = "instrument_segmentation"
    reads = "instrument_mask"
    kind = "instrument"
    of_one = templates.INSTRUMENT_SEGMENTATION
    of_all = templates.ALL_INSTRUMENTS_SEGMENTATION
    templates = of_one + of_all
