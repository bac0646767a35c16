"""What a task is: from annotations to conversations, from text back to an answer, and its measure.

The same object renders training text, prompts the model, parses the answer, scores and rewards it,
so that the five can never disagree. A task works on names ("cystic duct"), not ids;
`Conversation.options` carries the names that the question admits, so parsing needs no look-up.

Answer forms (`Conversation.answer`, JSON-like):
  labels    list of names, in the source's order; [] = none
  label     one name
  boxes     list of [name, [x1, y1, x2, y2]], floats in [0, 1]
  triplets  list of [instrument, verb, target] names; [] = none
  criteria  list of [name, met], in the source's order
  seconds   a number
  text      free text
  vqa       {"text": free text, "box": [x1, y1, x2, y2] or None}
  pixels    where the true pixels are: {"media": <schema.Media as JSON>, ...}; see `tasks/pixels.py`
"""

from __future__ import annotations

import abc
import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar, Literal, NamedTuple

from surgzoo.core.pattern import Pattern
from surgzoo.db import schema
from surgzoo.db.footage import Footage, Shot
from surgzoo.db.reasoning import Labels, compose
from surgzoo.db.schema import Conversation, Media, Turn
from surgzoo.tasks import grammar, wording
from surgzoo.tasks.wording import Wording

AnswerForm = Literal[
    "labels", "label", "boxes", "triplets", "criteria", "seconds", "text", "vqa", "pixels"
]


@dataclasses.dataclass(frozen=True)
class Context:
    """Where a record comes from and how questions are put: what a task needs beside annotations."""

    config: str  # builder config of the source, e.g. fps1
    video: schema.Video
    split: str
    wording: Wording = dataclasses.field(default_factory=Wording)

    @property
    def source(self) -> str:
        return self.video.source


class Parsed(NamedTuple):
    """A parsed answer, or None and the reason why the text could not be read."""

    answer: Any | None
    error: str | None = None


class Scored(NamedTuple):
    """A conversation and the parsed answer to it (None = unparsed: wrong, never dropped).

    `scores` are confidences in [0, 1] by label, spelled as in the options; None where the model
    gives none, as a text does.
    """

    conversation: Conversation
    answer: Any | None
    scores: Mapping[str, float] | None = None


def have_scores(scored: Sequence[Scored]) -> bool:
    """Whether every answer has scores: average precision of some of them would flatter."""
    return all(item.scores is not None for item in scored)


# Part -> (numerator, denominator). Most tasks have one part, "".
Tally = dict[str, tuple[float, float]]


class Task(abc.ABC):
    """One of SurgΣ-DB's tasks. Stateless; one instance is registered."""

    name: ClassVar[str]
    number: ClassVar[int | None] = None  # official number where a source states it
    level: ClassVar[schema.Level] = "image"
    answer_form: ClassVar[AnswerForm]
    headline: ClassVar[str]  # the metric that stands for the task in a table
    templates: ClassVar[tuple[str, ...]]  # phrasings of the question, the shortest first
    reasoning: ClassVar[Literal[0, 1, 2, 3]] = 0  # level that a trace climbs to; 0 = no trace
    leads: ClassVar[tuple[str, ...]] = ("procedure",)  # what may be asked first; wording.lead
    # The field of FrameAnnotations that holds the answer; a derived one makes a derived record.
    reads: ClassVar[str | None] = None
    # Unit of each metric that is not a fraction in [0, 1], as it is shown: {"mae": "s"}.
    scales: ClassVar[Mapping[str, str]] = {}

    @abc.abstractmethod
    def encode_video(self, footage: Footage, context: Context) -> Iterator[Conversation]:
        """The conversations of one video, in order; none where it is not annotated for this task.

        The wording is drawn by a hash of the conversation's id; the answer does not depend on it.
        """

    @abc.abstractmethod
    def render(self, answer: Any) -> str:
        """The answer as the text that a model is trained to say."""

    @abc.abstractmethod
    def parse(self, text: str, conversation: Conversation) -> Parsed:
        """The answer in a model's text: tolerant, and with a reason when it fails.

        Of the conversation it may depend on task, options and choices alone: scoring reads equal
        texts once, and shares what came out.
        """

    @abc.abstractmethod
    def metrics(self, scored: Sequence[Scored]) -> dict[str, float]:
        """Numbers over many answers, `headline` among them. Raises ValueError on an empty list."""

    @abc.abstractmethod
    def tally(self, scored: Sequence[Scored]) -> Tally:
        """The headline metric as sums over answers, which add up over videos.

        The headline is the mean over parts of numerator / denominator; parts of 0 / 0 are left out.
        With nothing but 0 / 0 the headline is what `metrics` says by convention.
        """

    @abc.abstractmethod
    def reward(self, conversation: Conversation, text: str) -> float:
        """Correctness of one text in [0, 1]; an unparsable text gets 0."""

    def pattern(self, conversation: Conversation) -> Pattern | None:
        """What an answer to this question may look like, for constrained decoding; None for free
        text. All that it admits can be parsed. It may depend on options and choices alone."""
        return None

    def units(self, answer: Any) -> list[str] | None:
        """The answer as the choices that are right in a multiple-choice question, spelled as the
        options are shown; None for a task whose answers cannot be listed."""
        if self.answer_form == "label":
            return [answer]
        return list(answer) if self.answer_form == "labels" else None

    def shown(self, option: str) -> str:
        """An option of `Conversation.options` as a list of choices shows it."""
        return option

    def said(self, conversation: Conversation) -> list[str]:
        """The options as an answer names them: those that the question lists with their letters."""
        names = map(self.shown, conversation.options)
        if not conversation.choices:
            return list(names)
        listed = conversation.choices
        return [wording.lettered(name, listed) for name in names if name in listed]

    def conversation(
        self,
        shot: Shot,
        context: Context,
        answer: Any,
        *,
        media: Sequence[Media] | None = None,
        part: int = 0,
        options: Sequence[str] = (),
        derived: str | None = None,
        also: Sequence[str] = (),
        seen: Labels | None = None,
        templates: Sequence[str] | None = None,
        text: str | None = None,
        **words: str,
    ) -> Conversation:
        """Builds one conversation.

        Args:
          shot: the frame that it is about; the first one of a clip.
          media: what the question shows; default the frame of `shot`.
          part: tells conversations of one task and frame apart.
          derived: how the answer was made, where nobody annotated it; default what the frame says
            of the field that the task reads.
          also: what a relaxed measure takes beside the answer.
          seen: what a reasoning trace may speak of; default `shot`. A question about a clip gets no
            trace without it.
          templates: the phrasings of this form of the question; default all of the task's.
          text: the answer in words, where this form needs others than `render` gives.
          words: fill the fields of the question template.
        """
        frame, put = shot.frame, context.wording
        identity = (
            f"{context.source}.{context.config}/{frame.video}/{frame.index:06d}/{self.name}/{part}"
        )
        phrasings = grammar.first(templates or self.templates, put.phrasings)
        question = phrasings[wording.draw(identity, put.seed, len(phrasings))].format(**words)
        text, listed = self.render(answer) if text is None else text, ()
        turns: tuple[Turn, ...] = ()
        protocol = wording.protocol(identity, put)
        if protocol == "choice" and (right := self.units(answer)) is not None:
            known = [self.shown(option) for option in options]
            listed = wording.choices(identity, put.seed, right, known)
            if listed:
                question = f"{question}\n{wording.listed(listed)}"
                text = ", ".join(wording.lettered(name, listed) for name in right) or text
        elif protocol == "dialogue":
            turns = wording.lead(self.leads, identity, put.seed, context.video, shot) or ()
        if media is None:
            media = (Media(context.source, context.config, frame.video, frame.index),)
        if seen is None and all(item.kind != "clip" for item in media):
            seen = Labels(context.video, (shot,))
        thinking = None
        if put.thinking and self.reasoning and seen is not None:
            thinking = compose(seen, context.video, self.reasoning, identity, put.seed)
        return Conversation(
            id=identity,
            task=self.name,
            media=tuple(media),
            turns=(*turns, Turn("user", question), Turn("assistant", text)),
            answer=answer,
            options=tuple(options),
            choices=listed,
            thinking=thinking,
            video=context.video.canonical,
            split=context.split,
            derived=derived or shot.annotations.derived.get(self.reads),
            also=tuple(also),
        )


class ImageTask(Task):
    """A task whose questions are about one frame."""

    @abc.abstractmethod
    def encode(self, shot: Shot, context: Context) -> list[Conversation]:
        """The conversations of one frame; [] when it is not annotated for this task."""

    def encode_video(self, footage: Footage, context: Context) -> Iterator[Conversation]:
        for shot in footage.shots:
            yield from self.encode(shot, context)


class ClipTask(Task):
    """A task whose questions are about a stretch of video."""

    level = "clip"

    def clip(self, clip: schema.Clip, context: Context) -> Media:
        """The pointer to a clip's frames."""
        return Media(context.source, context.config, clip.video, clip.first, clip.count, "clip")
