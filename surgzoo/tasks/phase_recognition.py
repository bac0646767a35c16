"""Phase recognition: which phase of the procedure the frame shows. The answer is its name."""

from __future__ import annotations

from surgzoo.db import ontology
from surgzoo.db.footage import Shot
from surgzoo.db.schema import Conversation
from surgzoo.tasks import templates
from surgzoo.tasks.base import Context, ImageTask
from surgzoo.tasks.one_label import OneLabel


class PhaseRecognition(OneLabel, ImageTask):
    """Level 3 of the reasoning hierarchy (Surg-R1, arXiv 2603.12430). SurgΣ states no number."""

    name = "phase_recognition"
    reads = "phase"
    kind = "phase"
    templates = templates.PHASE_RECOGNITION
    reasoning = 3
    leads = ("procedure", "instruments")

    def encode(self, shot: Shot, context: Context) -> list[Conversation]:
        """One conversation, or none where the phase is not annotated."""
        if shot.annotations.phase is None:
            return []
        answer = ontology.name("phase", shot.annotations.phase.concept)
        options = ontology.names(context.source, "phase")
        return [self.conversation(shot, context, answer, options=options)]
