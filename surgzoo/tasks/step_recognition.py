"""Step recognition: which step, inside a phase, the frame shows. The answer is its name."""

from __future__ import annotations

from surgzoo.db import ontology
from surgzoo.db.footage import Shot
from surgzoo.db.schema import Conversation
from surgzoo.tasks import templates
from surgzoo.tasks.base import Context, ImageTask
from surgzoo.tasks.one_label import OneLabel


class StepRecognition(OneLabel, ImageTask):
    """SurgΣ states no number. Its level is ours: that of phases, as steps are workflow too."""

    name = "step_recognition"
    reads = "step"
    kind = "step"
    templates = templates.STEP_RECOGNITION
    reasoning = 3
    # Not the phase: some have a single step.
    leads = ("procedure", "instruments")

    def encode(self, shot: Shot, context: Context) -> list[Conversation]:
        """One conversation, or none where the step is not annotated."""
        if shot.annotations.step is None:
            return []
        answer = ontology.name("step", shot.annotations.step.concept)
        options = ontology.names(context.source, "step")
        return [self.conversation(shot, context, answer, options=options)]
