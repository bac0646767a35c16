"""What the tasks share whose answer is one name: phase, step, action, next action."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from surgzoo.core.pattern import Pattern, either
from surgzoo.db.schema import Conversation
from surgzoo.metrics import classification, phases
from surgzoo.tasks import reading
from surgzoo.tasks.base import Parsed, Scored, Tally, Task


class OneLabel(Task):
    """The text, the measure and the reward of one name out of the options."""

    answer_form = "label"
    headline = "accuracy"
    kind: ClassVar[str]  # of the names in the ontology, and what a message calls them

    def render(self, answer: str) -> str:
        """The name as it is. Raises TypeError for anything that is not one name."""
        if not isinstance(answer, str):
            article = "an" if self.kind[0] in "aeiou" else "a"
            raise TypeError(f"{article} {self.kind} is one name, not {answer!r}")
        return answer

    def parse(self, text: str, conversation: Conversation) -> Parsed:
        """The one name that the text holds.

        A first line that is a name and nothing else wins over what follows it. A name that is not
        among the options is an error: no other one of the procedure was named.
        """
        text, error = reading.spoken(text, conversation.choices)
        if error:
            return Parsed(None, error)
        words = reading.vocabulary(conversation.options)
        alone = words.exact(text.splitlines()[0])
        if alone is not None:
            return Parsed(alone)
        named = dict.fromkeys(item.text for item in words.scan(text) if item.kind == "name")
        if not named:
            return Parsed(None, f"names no known {self.kind}: {reading.quote(text)}")
        if len(named) > 1:
            count = "two" if len(named) == 2 else "several"
            return Parsed(None, f"{count} {self.kind}s: {reading.quotes(named)}")
        return Parsed(next(iter(named)))

    def pattern(self, conversation: Conversation) -> Pattern:
        """One of the options."""
        return either(*self.said(conversation))

    def metrics(self, scored: Sequence[Scored]) -> dict[str, float]:
        """Fractions in [0, 1]; an unparsed answer is wrong. Nothing is relaxed at boundaries.

        accuracy              over all frames (or clips)
        video_accuracy, video_accuracy_std  mean and sample deviation over videos
        precision, recall, jaccard, f1      all frames pooled, mean over the labels in the truth
        video_precision, ...  mean over videos, then over labels (the Cholec80 convention)
        video_macro_f1        of each video's labels in truth or answer, then mean over videos
                              (scikit-learn's macro F1 of each: what zero-shot papers print)
        video_precision_std, ...  deviation over labels of the same, as papers print it
        f1/NAME               of one label, pooled
        parsed                share of answers that could be read
        """
        if not scored:
            raise ValueError("no scored answers")
        truth = [item.conversation.answer for item in scored]
        prediction = [item.answer for item in scored]
        videos = [item.conversation.video for item in scored]
        classes = tuple(dict.fromkeys(truth))
        matrices = classification.by_video(truth, prediction, videos, classes)
        pooled = matrices.sum(axis=0)
        single = classification.per_class(pooled).f1
        return {
            "accuracy": classification.accuracy(pooled),
            **classification.macro(pooled)._asdict(),
            **{
                f"video_{name}": value
                for name, value in phases.summary(list(map(phases.of_matrix, matrices))).items()
            },
            "video_macro_f1": phases.f1_of_videos(truth, prediction, videos),
            "parsed": sum(answer is not None for answer in prediction) / len(prediction),
            **{f"f1/{name}": float(value) for name, value in zip(classes, single, strict=True)},
        }

    def tally(self, scored: Sequence[Scored]) -> Tally:
        """Right answers of all."""
        right = sum(item.answer == item.conversation.answer for item in scored)
        return {"": (right, len(scored))}

    def reward(self, conversation: Conversation, text: str) -> float:
        """1 for the right name, else 0."""
        return float(self.parse(text, conversation).answer == conversation.answer)
