"""Tissue and organ localization: boxes as three-decimal fractions (SurgVLM-DB, arXiv 2506.02555).

one class   "Which box holds the liver?"            -> "[0.282, 0.452, 0.447, 0.752]"
            "Box the liver in the top-left area."      the same; where the class has one box, the
                                                       question may name the area of its centre
all         "Box every tissue and organ in view."   -> "liver [..]; gallbladder [..]"
"""

from __future__ import annotations

from collections.abc import Sequence

from surgzoo.db import boxes
from surgzoo.db.schema import Box, FrameAnnotations, Tissue
from surgzoo.tasks import answers
from surgzoo.tasks.label_boxes import LabelBoxes
from surgzoo.tasks.templates import (
    ALL_TISSUES_LOCALIZATION,
    TISSUE_AREA_LOCALIZATION,
    TISSUE_LOCALIZATION,
)

_ONE_BOX = TISSUE_LOCALIZATION + TISSUE_AREA_LOCALIZATION


class TissueLocalization(LabelBoxes):
    """SurgΣ states no number."""

    name = "tissue_localization"
    reads = "tissues"
    kind = "tissue"
    templates = _ONE_BOX + ALL_TISSUES_LOCALIZATION
    box_pattern = answers.fractions("[", ", ", "]")
    all_templates = ALL_TISSUES_LOCALIZATION
    leads = ("procedure", "phase", "instruments")

    def items(self, annotations: FrameAnnotations) -> Sequence[Tissue] | None:
        return annotations.tissues

    def ask(self, name: str, found: Sequence[Box]) -> tuple[Sequence[str], dict[str, str]]:
        """With several boxes a class has no one area, and is asked for without."""
        if len(found) > 1:
            return TISSUE_LOCALIZATION, {"tissue": name}
        area = boxes.cell(found[0]).replace(" ", "-")
        return _ONE_BOX, {"tissue": name, "area": area}

    def box_text(self, box: Box) -> str:
        return boxes.to_float_text(box)
