"""Next-action planning (No. 15): which action follows the one that is shown. One name.

The clips of a video are its action segments in order; the model sees the current one and up to
CONTEXT clips before it, oldest first, and answers the label of the following clip (SurgΣ's
guideline page of task 15; how many clips come before is this project's choice). The "relaxed"
accuracy that papers report beside the strict one has no published definition, so it is not here.
"""

from __future__ import annotations

import collections
from collections.abc import Iterator, Sequence

from surgzoo.db import ontology
from surgzoo.db.footage import Footage
from surgzoo.db.schema import Conversation, Segment
from surgzoo.tasks import clips, templates
from surgzoo.tasks.base import ClipTask, Context
from surgzoo.tasks.one_label import OneLabel

CONTEXT = 3


class NextAction(OneLabel, ClipTask):
    name = "next_action"
    number = 15
    kind = "action"
    templates = templates.NEXT_ACTION

    def encode_video(self, footage: Footage, context: Context) -> Iterator[Conversation]:
        """A conversation for each action segment with stored frames and a segment after it."""
        segments, derived = clips.actions(footage)
        options = ontology.names(context.source, "action")
        parts: collections.Counter[int] = collections.Counter()
        for number, segment in enumerate(segments):
            now = footage.clip(segment.start, segment.end)
            after = following(segments, number)
            if now is None or after is None:
                continue
            before = [footage.clip(s.start, s.end) for s in segments[:number] if s.end <= now.end]
            shown = [clip for clip in before if clip is not None][-CONTEXT:]
            yield self.conversation(
                footage.shots[now.first],
                context,
                ontology.name("action", after.label.concept),
                media=[self.clip(clip, context) for clip in (*shown, now)],
                part=parts[now.first],
                options=options,
                derived=derived,
            )
            parts[now.first] += 1


def following(segments: Sequence[Segment], number: int) -> Segment | None:
    """The first segment that starts when this one is over, so that no frame shown gives it away."""
    end = segments[number].end - 1e-6
    return next((s for s in segments[number + 1 :] if s.start >= end), None)
