"""What the tasks share whose answer lists the names of what is in view: instruments, tissues."""

from __future__ import annotations

import abc
from collections.abc import Iterable, Sequence
from typing import ClassVar

import numpy as np

from surgzoo.core.pattern import Pattern
from surgzoo.db import ontology
from surgzoo.db.footage import Shot
from surgzoo.db.schema import Conversation, FrameAnnotations, Label
from surgzoo.metrics import multilabel, ranking
from surgzoo.metrics.classification import nanmean
from surgzoo.tasks import answers, reading
from surgzoo.tasks.base import Context, ImageTask, Parsed, Scored, Tally, have_scores


class LabelSet(ImageTask):
    """Which classes of one kind are in view. Level 1 of the reasoning hierarchy (Surg-R1)."""

    answer_form = "labels"
    headline = "f1"
    reasoning = 1
    kind: ClassVar[str]  # of the names in the ontology, and what a message calls them

    @abc.abstractmethod
    def labels(self, annotations: FrameAnnotations) -> Iterable[Label] | None:
        """The labels of what is in view; None where that is not annotated."""

    def encode(self, shot: Shot, context: Context) -> list[Conversation]:
        """One conversation, or none where the frame is not annotated.

        Classes, not instances: two graspers are one "grasper". Order: that of the source.
        """
        labels = self.labels(shot.annotations)
        if labels is None:
            return []
        options = ontology.names(context.source, self.kind)
        answer = reading.in_order((ontology.name(self.kind, n.concept) for n in labels), options)
        return [self.conversation(shot, context, answer, options=options)]

    def render(self, answer: Sequence[str]) -> str:
        """ "grasper, hook", or "none"."""
        return ", ".join(answer) or answers.NONE

    def parse(self, text: str, conversation: Conversation) -> Parsed:
        """The names in a text, in the order of the options.

        In a bare list with at least one known name the unknown ones ("grasper, scalpel") are kept,
        after the known: they were clearly said, and are false positives. In prose they are not.
        """
        text, error = reading.spoken(text, conversation.choices)
        if error:
            return Parsed(None, error)
        items = reading.vocabulary(conversation.options).scan(text)
        named = {item.text for item in items if item.kind == "name"}
        if not named:
            if reading.says_none(text):
                return Parsed([])
            return Parsed(None, f"names no known {self.kind}: {reading.quote(text)}")
        if not reading.prose(items):
            named.update(reading.extras(items))
        return Parsed(reading.in_order(named, conversation.options))

    def pattern(self, conversation: Conversation) -> Pattern:
        """Some of the options in their order, or "none"."""
        return answers.some_of(self.said(conversation))

    def metrics(self, scored: Sequence[Scored]) -> dict[str, float]:
        """Fractions in [0, 1].

        f1, precision, recall  over all label instances (micro); an unparsed answer is one false
                               positive and misses all that is true
        macro_f1, ...          mean over the classes in the truth
        exact_match            share of frames with exactly the right set
        parsed                 share of answers that could be read
        f1/NAME                of one class in the truth
        ap, ap/NAME            only where all answers have scores: average precision of each class
                               in the truth over all frames that ask for it, and the mean over
                               classes (mAP of Cholec80's and m2cai16's tool presence)
        """
        if not scored:
            raise ValueError("no scored answers")
        truth = [item.conversation.answer for item in scored]
        prediction = [item.answer for item in scored]
        counted = multilabel.counts(truth, prediction)
        micro, macro = multilabel.micro(counted), multilabel.macro(counted)
        return {
            "f1": micro.f1,
            "precision": micro.precision,
            "recall": micro.recall,
            **{f"macro_{name}": value for name, value in macro._asdict().items()},
            "exact_match": multilabel.exact_match(truth, prediction),
            "parsed": sum(answer is not None for answer in prediction) / len(prediction),
            **{f"f1/{name}": rate.f1 for name, rate in multilabel.per_class(counted).items()},
            **(_average_precisions(scored, counted.present) if have_scores(scored) else {}),
        }

    def tally(self, scored: Sequence[Scored]) -> Tally:
        """F1 over all instances, 2 tp / (2 tp + fp + fn)."""
        pairs = [(item.conversation.answer, item.answer) for item in scored]
        return {"": multilabel.f1_parts(multilabel.counts(*zip(*pairs, strict=True)))}

    def reward(self, conversation: Conversation, text: str) -> float:
        """F1 of the set; 1 for a rightly said "none"."""
        return multilabel.set_f1(conversation.answer, self.parse(text, conversation).answer)


def _average_precisions(scored: Sequence[Scored], labels: Sequence[str]) -> dict[str, float]:
    """Of each label over the frames whose source has it, and the mean."""
    found = {}
    for label in labels:
        asked = [item for item in scored if label in item.conversation.options]
        found[f"ap/{label}"] = ranking.average_precision(
            np.array([label in item.conversation.answer for item in asked]),
            np.array([item.scores.get(label, 0.0) for item in asked]),
        )
    return {"ap": nanmean(list(found.values())), **found}
