"""Tissue and organ recognition: which tissues and organs are in view. The answer lists names."""

from __future__ import annotations

from collections.abc import Iterable

from surgzoo.db.schema import FrameAnnotations, Label
from surgzoo.tasks import templates
from surgzoo.tasks.label_set import LabelSet


class TissueRecognition(LabelSet):
    """SurgΣ states no number."""

    name = "tissue_recognition"
    reads = "tissues"
    kind = "tissue"
    templates = templates.TISSUE_RECOGNITION
    leads = ("procedure", "phase", "instruments")

    def labels(self, annotations: FrameAnnotations) -> Iterable[Label] | None:
        items = annotations.tissues
        return None if items is None else [item.label for item in items]
