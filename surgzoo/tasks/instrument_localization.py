"""Instrument localization: boxes of the instruments in view, as integers 0-1000 (SurgΣ-DB).

one class   "Where is the hook?"           -> "(643,0),(920,298)"
all         "Locate all the instruments."  -> "hook (643,0),(920,298); grasper (12,30),(250,410)"
"""

from __future__ import annotations

from collections.abc import Sequence

from surgzoo.db import boxes
from surgzoo.db.schema import Box, FrameAnnotations, Instrument
from surgzoo.tasks import answers
from surgzoo.tasks.label_boxes import LabelBoxes
from surgzoo.tasks.templates import ALL_INSTRUMENTS_LOCALIZATION, INSTRUMENT_LOCALIZATION


class InstrumentLocalization(LabelBoxes):
    """SurgΣ states no number; the released JSON has the task code 1, which is another count."""

    name = "instrument_localization"
    reads = "instruments"
    kind = "instrument"
    templates = INSTRUMENT_LOCALIZATION + ALL_INSTRUMENTS_LOCALIZATION
    box_pattern = answers.thousandths("(", ",", "),(", ")")
    all_templates = ALL_INSTRUMENTS_LOCALIZATION
    leads = ("procedure", "phase")

    def items(self, annotations: FrameAnnotations) -> Sequence[Instrument] | None:
        return annotations.instruments

    def ask(self, name: str, found: Sequence[Box]) -> tuple[Sequence[str], dict[str, str]]:
        return INSTRUMENT_LOCALIZATION, {"instrument": name}

    def box_text(self, box: Box) -> str:
        return boxes.to_text(box)
