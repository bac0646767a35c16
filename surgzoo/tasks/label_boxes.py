"""What the tasks share whose answer is boxes of labels, as text: instruments, tissues.

Two forms of question, told apart by the options of the conversation:
  one class   "Where is the hook?"           -> its boxes; options: the class alone
  all         "Locate all the instruments."  -> names and boxes; options: all classes of the source
`Conversation.answer` keeps the annotated floats, so a model is scored against the annotation and
not against the rounding of the text.
"""

from __future__ import annotations

import abc
from collections.abc import Iterable, Sequence
from typing import ClassVar

from surgzoo.core.pattern import Pattern
from surgzoo.db import boxes, ontology
from surgzoo.db.footage import Shot
from surgzoo.db.schema import Box, Conversation, FrameAnnotations, Instrument, Tissue
from surgzoo.metrics import detection
from surgzoo.tasks import answers, reading, reading_boxes
from surgzoo.tasks.base import Context, ImageTask, Parsed, Scored, Tally


class LabelBoxes(ImageTask):
    """Where things of one kind are. Level 1 of the reasoning hierarchy (Surg-R1)."""

    answer_form = "boxes"
    headline = "miou"
    reasoning = 1
    kind: ClassVar[str]  # of the names in the ontology, and what a message calls them
    box_pattern: ClassVar[Pattern]  # of what `box_text` writes
    all_templates: ClassVar[tuple[str, ...]]  # phrasings of the question about all

    @abc.abstractmethod
    def items(self, annotations: FrameAnnotations) -> Sequence[Instrument | Tissue] | None:
        """What is in view; None where that is not annotated."""

    @abc.abstractmethod
    def ask(self, name: str, found: Sequence[Box]) -> tuple[Sequence[str], dict[str, str]]:
        """The phrasings of the question about one class, and the words for their fields."""

    @abc.abstractmethod
    def box_text(self, box: Box) -> str:
        """A box as this task writes it."""

    def encode(self, shot: Shot, context: Context) -> list[Conversation]:
        """A question for each class in view (parts 0, 1, ... in the source's order), one for all.

        A thing without a box makes no question about its class, and none about all: the answer
        would be incomplete. A frame annotated as free of such things has the question about all,
        with the answer "none".
        """
        items = self.items(shot.annotations)
        if items is None:
            return []
        options = ontology.names(context.source, self.kind)
        classes: dict[str, list[Box | None]] = {}
        for item in items:
            classes.setdefault(ontology.name(self.kind, item.label.concept), []).append(item.box)
        boxed = {name: found for name, found in classes.items() if None not in found}
        derived = shot.annotations.derived.get(f"{self.reads}.box")  # drawn around masks, say
        conversations = []
        for part, name in enumerate(reading.in_order(boxed, options)):
            phrasings, words = self.ask(name, boxed[name])
            answer = in_order(((name, box) for box in boxed[name]), options)
            conversations.append(
                self.conversation(
                    shot,
                    context,
                    answer,
                    part=part,
                    options=(name,),
                    derived=derived,
                    templates=phrasings,
                    text="; ".join(self.box_text(Box(*box)) for _, box in answer),
                    **words,
                )
            )
        # With one class in all, the question about all would be the one above once more.
        if len(boxed) == len(classes) and not (len(options) == 1 and boxed):
            answer = in_order(((n, box) for n, found in boxed.items() for box in found), options)
            conversations.append(
                self.conversation(
                    shot,
                    context,
                    answer,
                    part=len(boxed),
                    options=options,
                    derived=derived,
                    templates=self.all_templates,
                )
            )
        return conversations

    def render(self, answer: Sequence) -> str:
        """The form with names, joined by semicolons, or "none"."""
        said = (f"{name} {self.box_text(Box(*box))}" for name, box in answer)
        return "; ".join(said) or answers.NONE

    def parse(self, text: str, conversation: Conversation) -> Parsed:
        """The boxes in a text, each with the name before it, sorted as the answer is.

        A box without a name takes the one before it. To a question about one class every box is an
        answer, unless the text names that class for some box and another word for this one. A name
        outside the options is kept (a false positive). One box that cannot be meant as it stands
        makes the whole answer an error, as its place in the score is unknown.
        """
        text, error = reading.spoken(text, conversation.choices)
        if error:
            return Parsed(None, error)
        try:
            found = reading_boxes.find(text)
        except reading_boxes.BoxError as broken:
            return Parsed(None, str(broken))
        if not found:
            if _denies(text, conversation.options):
                return Parsed([])
            return Parsed(None, f"gives no box: {reading.quote(text)}")
        options = conversation.options
        words = reading.vocabulary(options)
        leads = [_lead(item.lead, words) for item in found]
        if len(options) == 1 and options[0] not in leads:
            leads = [options[0]] * len(leads)
        named, name = [], options[0] if len(options) == 1 else None
        for lead, item in zip(leads, found, strict=True):
            name = lead or name
            if name is None:
                article = "an" if self.kind[0] in "aeiou" else "a"
                return Parsed(None, f"a box without {article} {self.kind}: {reading.quote(text)}")
            named.append((name, item.box))
        return Parsed(in_order(named, options))

    def pattern(self, conversation: Conversation) -> Pattern:
        """Boxes of the one class, or names with boxes, or "none"; see `answers.boxes_of`."""
        return answers.boxes_of(conversation.options, self.box_pattern)

    def metrics(self, scored: Sequence[Scored]) -> dict[str, float]:
        """Fractions in [0, 1]; NaN where no conversation has a true box (miou, ap).

        miou             questions about one class: mean over true boxes of the IoU with the matched
                         box, an unmatched true box counts 0; false positives cost nothing
        miou_strict      as miou, every false positive counts a further 0
        ap50, ap75, ap   COCO average precision with unit scores, at IoU 0.5, 0.75 and 0.5:0.95
        miou_all, ...    the same over the questions about all
        parsed           share of answers that could be read
        An unparsed answer misses every true box, and is one false positive in miou_strict.
        """
        if not scored:
            raise ValueError("no scored answers")
        one = [item for item in scored if len(item.conversation.options) == 1]
        rest = [item for item in scored if len(item.conversation.options) != 1]
        return {
            **_measure(one),
            **{f"{name}_all": value for name, value in _measure(rest).items()},
            "parsed": sum(item.answer is not None for item in scored) / len(scored),
        }

    def tally(self, scored: Sequence[Scored]) -> Tally:
        """Sum of IoU over true boxes, of the questions about one class."""
        images = [
            detection.overlap(item.conversation.answer, item.answer)
            for item in scored
            if len(item.conversation.options) == 1
        ]
        return {"": (sum(i.total for i in images), sum(i.truth for i in images))}

    def reward(self, conversation: Conversation, text: str) -> float:
        """Mean IoU that charges false positives; 1 for a rightly said "none"."""
        answer = self.parse(text, conversation).answer
        return detection.mean_iou_strict([detection.overlap(conversation.answer, answer)])


def in_order(named: Iterable[tuple[str, Box]], options: Sequence[str]) -> list:
    """[name, [x1, y1, x2, y2]] by class in the order of the options, then from left to right.

    Sorted by the thousandths of the text, so that a parsed answer comes out in the order of the
    true one.
    """
    rank = {name: index for index, name in enumerate(options)}
    ordered = sorted(
        named, key=lambda pair: (rank.get(pair[0], len(rank)), pair[0], boxes.to_thousand(pair[1]))
    )
    return [[name, [box.x1, box.y1, box.x2, box.y2]] for name, box in ordered]


def _denies(text: str, options: Sequence[str]) -> bool:
    """Whether the text says that what was asked for is not there ("There is no hook.")."""
    if len(options) == 1:
        text = text.lower().replace(options[0].lower(), "instrument")
    return reading.says_none(text)


def _lead(text: str, words: reading.Vocabulary) -> str | None:
    """The name in the text before a box: the last known one, else a bare unknown one, else None."""
    items = words.scan(text)
    names = [item.text for item in items if item.kind == "name"]
    if names or reading.prose(items):
        return names[-1] if names else None
    unknown = reading.extras(items)
    return unknown[-1] if unknown else None


def _measure(scored: Sequence[Scored]) -> dict[str, float]:
    truth = [item.conversation.answer for item in scored]
    prediction = [item.answer for item in scored]
    images = [detection.overlap(t, p) for t, p in zip(truth, prediction, strict=True)]
    precision = detection.average_precision(truth, prediction)
    return {
        "miou": detection.mean_iou(images),
        "miou_strict": detection.mean_iou_strict(images) if images else float("nan"),
        "ap50": float(precision[0]),
        "ap75": float(precision[5]),
        "ap": float(precision.mean()),
    }
