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
from surgzoo.metrics import classification
from surgzoo.tasks import clips, reading, templates
from surgzoo.tasks.base import ClipTask, Context, Parsed, Scored

CONTEXT = 3


class NextAction(ClipTask):
    name = "next_action"
    number = 15
    answer_form = "label"
    headline = "accuracy"
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

    def render(self, answer: str) -> str:
        """The name as it is. Raises TypeError for anything that is not one name."""
        if not isinstance(answer, str):
            raise TypeError(f"an action is one name, not {answer!r}")
        return answer

    def parse(self, text: str, conversation: Conversation) -> Parsed:
        """The one action that the text names, also in "The next action is dissection."."""
        text, error = reading.spoken(text, conversation.choices)
        if error:
            return Parsed(None, error)
        words = reading.vocabulary(conversation.options)
        alone = words.exact(text.splitlines()[0])
        if alone is not None:
            return Parsed(alone)
        named = dict.fromkeys(item.text for item in words.scan(text) if item.kind == "name")
        if not named:
            return Parsed(None, f"names no known action: {reading.quote(text)}")
        if len(named) > 1:
            count = "two" if len(named) == 2 else "several"
            return Parsed(None, f"{count} actions: {reading.quotes(named)}")
        return Parsed(next(iter(named)))

    def metrics(self, scored: Sequence[Scored]) -> dict[str, float]:
        """Fractions in [0, 1]; an unparsed answer is wrong.

        accuracy               strict: the label of the clip that follows (top 1)
        video_accuracy, video_accuracy_std  mean and sample deviation over videos
        precision, recall, jaccard, f1      mean over the actions in the truth
        parsed                 share of answers that could be read
        """
        if not scored:
            raise ValueError("no scored answers")
        truth = [item.conversation.answer for item in scored]
        said = [item.answer for item in scored]
        videos = [item.conversation.video for item in scored]
        matrices = classification.by_video(truth, said, videos, tuple(dict.fromkeys(truth)))
        pooled = matrices.sum(axis=0)
        mean, deviation = classification.video_accuracy(matrices)
        return {
            "accuracy": classification.accuracy(pooled),
            "video_accuracy": mean,
            "video_accuracy_std": deviation,
            **classification.macro(pooled)._asdict(),
            "parsed": sum(answer is not None for answer in said) / len(said),
        }

    def reward(self, conversation: Conversation, text: str) -> float:
        """1 for the right action, else 0."""
        return float(self.parse(text, conversation).answer == conversation.answer)


def following(segments: Sequence[Segment], number: int) -> Segment | None:
    """The first segment that starts when this one is over, so that no frame shown gives it away."""
    end = segments[number].end - 1e-6
    return next((s for s in segments[number + 1 :] if s.start >= end), None)
