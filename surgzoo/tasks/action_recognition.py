"""Action recognition: which surgical action a clip shows. The answer is its name."""

from __future__ import annotations

import collections
from collections.abc import Iterator

from surgzoo.db import ontology
from surgzoo.db.footage import Footage
from surgzoo.db.reasoning import Labels
from surgzoo.db.schema import Conversation
from surgzoo.tasks import templates
from surgzoo.tasks.base import ClipTask, Context
from surgzoo.tasks.one_label import OneLabel


class ActionRecognition(OneLabel, ClipTask):
    """Task 8 of the annotation guideline (surgsigma.github.io); the ten classes of BSA-10 (arXiv
    2603.12787) where the source has no others. Level 2 of the reasoning hierarchy (Surg-R1)."""

    name = "action_recognition"
    number = 8
    kind = "action"
    templates = templates.ACTION_RECOGNITION
    reasoning = 2
    # Not the phase: "clipping and cutting" is one.
    leads = ("procedure", "instruments")

    def encode_video(self, footage: Footage, context: Context) -> Iterator[Conversation]:
        """One conversation for each annotated action; the clip is all its stored frames.

        An action between two stored frames has nothing to show and makes none. Actions that begin
        in the same frame are told apart by their part.
        """
        options = None
        begun: collections.Counter[int] = collections.Counter()
        for segment in footage.segments("action"):
            options = options or ontology.names(context.source, "action")
            clip = footage.clip(segment.start, segment.end)
            if clip is None:
                continue
            part, begun[clip.first] = begun[clip.first], begun[clip.first] + 1
            yield self.conversation(
                footage.shots[clip.first],
                context,
                ontology.name("action", segment.label.concept),
                media=(self.clip(clip, context),),
                part=part,
                options=options,
                seen=Labels.of_clip(footage, clip.first, clip.count),
            )
