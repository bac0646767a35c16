"""Action recognition: which surgical action a clip shows. The answer is its name.

Where two actions go on at the same time, the question is about one actor: "What is the hook doing?"
"""

from __future__ import annotations

import collections
from collections.abc import Iterator

from surgzoo.db import ontology
from surgzoo.db.footage import Footage
from surgzoo.db.reasoning import Labels
from surgzoo.db.schema import Conversation
from surgzoo.tasks import clips, templates
from surgzoo.tasks.base import ClipTask, Context
from surgzoo.tasks.one_label import OneLabel


class ActionRecognition(OneLabel, ClipTask):
    """Task 8 of the annotation guideline (surgsigma.github.io); the ten classes of BSA-10 (arXiv
    2603.12787) where the source has no others. Level 2 of the reasoning hierarchy (Surg-R1)."""

    name = "action_recognition"
    number = 8
    kind = "action"
    templates = templates.ACTION_RECOGNITION + templates.ACTOR_ACTION_RECOGNITION
    reasoning = 2
    # Not the phase: "clipping and cutting" is one.
    leads = ("procedure", "instruments")

    def encode_video(self, footage: Footage, context: Context) -> Iterator[Conversation]:
        """One conversation for each action; the clip is all its stored frames.

        An action between two stored frames has nothing to show and makes none. Actions that begin
        in the same frame are told apart by their part. An action with another one in one of its
        frames is asked for by its actor, and left out where that does not tell the two apart
        (`clips.told_apart`); the rule is ours.
        """
        segments, derived = clips.actions(footage)
        options = ontology.names(context.source, "action") if segments else ()
        begun: collections.Counter[int] = collections.Counter()
        for segment in segments:
            clip = footage.clip(segment.start, segment.end)
            if clip is None:
                continue
            part, begun[clip.first] = begun[clip.first], begun[clip.first] + 1
            others = clips.beside(footage, segments, segment)
            actor = clips.told_apart(
                segment, [s for s in others if s.label.concept != segment.label.concept]
            )
            if actor is None:
                continue
            yield self.conversation(
                footage.shots[clip.first],
                context,
                ontology.name("action", segment.label.concept),
                media=(self.clip(clip, context),),
                part=part,
                options=options,
                derived=derived,
                seen=Labels.of_clip(footage, clip.first, clip.count),
                **_asked(actor),
            )


def _asked(actor: str) -> dict:
    if not actor:
        return {"templates": templates.ACTION_RECOGNITION}
    return {"templates": templates.ACTOR_ACTION_RECOGNITION, "actor": actor}
