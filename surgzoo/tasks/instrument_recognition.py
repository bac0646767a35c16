"""Instrument recognition: which classes of instruments are in view. The answer lists names."""

from __future__ import annotations

from collections.abc import Iterable

from surgzoo.db.schema import FrameAnnotations, Label
from surgzoo.tasks import templates
from surgzoo.tasks.label_set import LabelSet


class InstrumentRecognition(LabelSet):
    """SurgΣ states no number."""

    name = "instrument_recognition"
    reads = "instruments"
    kind = "instrument"
    templates = templates.INSTRUMENT_RECOGNITION
    leads = ("procedure", "phase")

    def labels(self, annotations: FrameAnnotations) -> Iterable[Label] | None:
        items = annotations.instruments
        return None if items is None else [item.label for item in items]
