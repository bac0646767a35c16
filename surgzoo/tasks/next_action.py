"""Next-action planning (No. 15): which action follows the one that is shown. One name.

The clips of a video are its action segments in order; the model sees the current one and up to
CONTEXT clips before it, oldest first, and answers the label of the following clip (SurgΣ's
guideline page of task 15; how many clips come before is this project's choice).

Papers report a relaxed accuracy beside the strict one (BSA, arXiv 2603.12787) but publish no
definition. Ours: an answer also counts when it is the next action but one, that is the first one
after the next that has another name. `Conversation.also` holds it.
"""

from __future__ import annotations

import collections
import itertools
from collections.abc import Iterator, Sequence

from surgzoo.db import ontology
from surgzoo.db.footage import Footage
from surgzoo.db.schema import Conversation, Segment
from surgzoo.tasks import clips, templates
from surgzoo.tasks.base import ClipTask, Context, Scored, have_scores
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
            if now is None or not after:
                continue
            before = [footage.clip(s.start, s.end) for s in segments[:number] if s.end <= now.end]
            shown = [clip for clip in before if clip is not None][-CONTEXT:]
            yield self.conversation(
                footage.shots[now.first],
                context,
                ontology.name("action", after[0].label.concept),
                media=[self.clip(clip, context) for clip in (*shown, now)],
                part=parts[now.first],
                options=options,
                derived=derived,
                also=[ontology.name("action", s.label.concept) for s in after[1:]],
            )
            parts[now.first] += 1

    def metrics(self, scored: Sequence[Scored]) -> dict[str, float]:
        """Those of `OneLabel` (`accuracy` is top-1), `relaxed_accuracy`, and perhaps top-3.

        relaxed_accuracy  share of answers that are the next action or the next but one
        top3_accuracy     only where all answers have scores: share of questions whose answer is
                          among the three options of the highest scores, the earlier of equal ones
        """
        found = super().metrics(scored)
        right = [c.answer == said or said in c.also for c, said, _ in scored]
        found["relaxed_accuracy"] = sum(right) / len(right)
        if have_scores(scored):
            found["top3_accuracy"] = sum(_among(item, 3) for item in scored) / len(scored)
        return found


def _among(item: Scored, most: int) -> bool:
    ranked = sorted(item.conversation.options, key=lambda name: -item.scores.get(name, 0.0))
    return item.conversation.answer in ranked[:most]


def following(segments: Sequence[Segment], number: int) -> list[Segment]:
    """The next segment and the first after it with another label, as far as there are any.

    The next one starts when this one is over, so that no frame shown gives it away.
    """
    end = segments[number].end - 1e-6
    later = [s for s in segments[number + 1 :] if s.start >= end]
    others = (s for s in later if s.label.concept != later[0].label.concept)
    return [*later[:1], *itertools.islice(others, 1)]
