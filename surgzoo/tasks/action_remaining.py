"""Action remaining prediction (No. 14): how long the running action will go on, in whole seconds.

Of an action segment [s, e) the model sees the frames from s to a cut t, and answers e - t (SurgΣ's
guideline page of task 14). Where the cut lies is this project's choice: a stored frame that is 20
to 80 % into the segment, drawn by a hash of the segment; the last frame seen is the one at t.
Nobody annotated the remaining time, and the record says so.
"""

from __future__ import annotations

import collections
import math
from collections.abc import Iterator, Sequence

from surgzoo.core.pattern import Pattern
from surgzoo.db import captions, ontology
from surgzoo.db.footage import Footage
from surgzoo.db.schema import Clip, Conversation, Segment
from surgzoo.metrics import duration
from surgzoo.tasks import answers, clips, reading, reading_seconds, templates, wording
from surgzoo.tasks.base import ClipTask, Context, Parsed, Scored, Tally

DERIVED = "remaining time from the end of the action"  # what a record says
SHOWN = (0.2, 0.8)  # share of a segment that may be shown
RELATIVE = 0.2  # of the true time; the headline, as a fixed tolerance is easy for short actions
TOLERANCES = (2, 5, 10)  # seconds


class ActionRemaining(ClipTask):
    name = "action_remaining"
    number = 14
    answer_form = "seconds"
    headline = "within_20_percent"
    templates = templates.ACTION_REMAINING
    scales = {"mae": "s"}

    def encode_video(self, footage: Footage, context: Context) -> Iterator[Conversation]:
        """A conversation for each action segment, none for one that is too short for a cut.

        Of two actions with one name at the same time each is named with its actor, and left out
        where that does not tell the two apart (`clips.told_apart`).
        """
        segments, joined = clips.actions(footage)
        parts: collections.Counter[int] = collections.Counter()  # segments may begin together
        for segment in segments:
            seen = cut(footage, segment, f"{context.source}.{context.config}")
            if seen is None:
                continue
            part, parts[seen.first] = parts[seen.first], parts[seen.first] + 1
            others = clips.beside(footage, segments, segment)
            actor = clips.told_apart(
                segment, [s for s in others if s.label.concept == segment.label.concept]
            )
            if actor is None:
                continue
            action = ontology.name("action", segment.label.concept)
            yield self.conversation(
                footage.shots[seen.first],
                context,
                whole(segment.end - seen.end),
                media=[self.clip(seen, context)],
                part=part,
                options=(action,),
                derived=f"{DERIVED}; {joined}" if joined else DERIVED,
                action=captions.act_with(action, actor),
            )

    def render(self, answer: float) -> str:
        """ "10 seconds". Raises TypeError for anything that is not a number."""
        if isinstance(answer, bool) or not isinstance(answer, (int, float)):
            raise TypeError(f"a remaining time is a number of seconds, not {answer!r}")
        return reading_seconds.render(answer)

    def parse(self, text: str, conversation: Conversation) -> Parsed:
        """The one duration in the text, in seconds; see `reading_seconds`."""
        text, error = reading.spoken(text, conversation.choices)
        return Parsed(None, error) if error else Parsed(*reading_seconds.parse(text))

    def pattern(self, conversation: Conversation) -> Pattern:
        """Whole seconds."""
        return answers.seconds()

    def metrics(self, scored: Sequence[Scored]) -> dict[str, float]:
        """Shares of all answers (an unparsed one is outside), and one mean error.

        within_20_percent  off by a fifth of the true time or less, half a second always allowed
        within_2s, within_5s, within_10s  off by so many seconds or less
        mae     mean absolute error in seconds over the parsed answers; NaN when there is none
        parsed  share of answers that could be read
        """
        if not scored:
            raise ValueError("no scored answers")
        said = [item.answer for item in scored]
        truth = [item.conversation.answer for item in scored]
        found = duration.errors(truth, said)
        return {
            self.headline: duration.within(found, _tolerances(truth)),
            **{f"within_{limit}s": duration.within(found, limit) for limit in TOLERANCES},
            "mae": duration.mean_error(found),
            "parsed": sum(answer is not None for answer in said) / len(said),
        }

    def tally(self, scored: Sequence[Scored]) -> Tally:
        """Answers within the relative tolerance, of all."""
        truth = [item.conversation.answer for item in scored]
        found = duration.errors(truth, [item.answer for item in scored])
        return {"": (len(truth) * duration.within(found, _tolerances(truth)), len(truth))}

    def reward(self, conversation: Conversation, text: str) -> float:
        """1 for the exact second, falling linearly to 0 at an error of 10 seconds."""
        said = self.parse(text, conversation).answer
        if said is None:
            return 0.0
        return max(0.0, 1 - abs(said - conversation.answer) / max(TOLERANCES))


def _tolerances(truth: Sequence[float]) -> list[float]:
    return [max(0.5, RELATIVE * seconds) for seconds in truth]


def whole(seconds: float) -> int:
    """To the nearest whole second, halves up."""
    return math.floor(seconds + 0.5)


def cut(footage: Footage, segment: Segment, source: str) -> Clip | None:
    """The frames from the segment's start to the drawn cut; `end` is the time of the last one."""
    whole_clip = footage.clip(segment.start, segment.end)
    if whole_clip is None:
        return None
    length = segment.end - segment.start
    low, high = (segment.start + share * length for share in SHOWN)
    first = whole_clip.first
    times = [s.frame.time for s in footage.shots[first : first + whole_clip.count]]
    allowed = [n for n, time in enumerate(times) if low <= time <= high]
    if not allowed:
        return None
    identity = f"{source}/{footage.video.id}/{segment.label.concept}/{segment.start!r}"
    last = allowed[wording.draw(identity, 0, len(allowed), "cut")]
    return Clip(footage.video.id, first, last + 1, segment.start, times[last])
