"""What a task is: from annotations to conversations, from text back to an answer, and its measure.

The same object renders training text, prompts the model, parses the answer, scores and rewards it,
so that the five can never disagree. A task works on names ("cystic duct"), not ids;
`Conversation.options` carries the names that the question admits, so parsing needs no look-up.

Answer forms (`Conversation.answer`, JSON-like):
  labels    list of names, in the source's order; [] = none
  label     one name
  boxes     list of [name, [x1, y1, x2, y2]], floats in [0, 1]
  triplets  list of [instrument, verb, target] names; [] = none
"""

from __future__ import annotations

import abc
import dataclasses
import hashlib
from collections.abc import Sequence
from typing import Any, ClassVar, Literal, NamedTuple

from surgzoo.db import schema
from surgzoo.db.schema import Conversation, Media, Turn

AnswerForm = Literal["labels", "label", "boxes", "triplets"]


@dataclasses.dataclass(frozen=True)
class Context:
    """Where a record comes from: what a task needs beside the annotations."""

    config: str  # builder config of the source, e.g. fps1
    video: schema.Video
    split: str

    @property
    def source(self) -> str:
        return self.video.source


class Parsed(NamedTuple):
    """A parsed answer, or None and the reason why the text could not be read."""

    answer: Any | None
    error: str | None = None


class Scored(NamedTuple):
    """A conversation and the parsed answer to it (None = unparsed: wrong, never dropped)."""

    conversation: Conversation
    answer: Any | None


class Task(abc.ABC):
    """One of SurgΣ-DB's tasks at image level. Stateless; one instance is registered."""

    name: ClassVar[str]
    number: ClassVar[int | None] = None  # official number where a source states it
    level: ClassVar[schema.Level] = "image"
    answer_form: ClassVar[AnswerForm]
    headline: ClassVar[str]  # the metric that stands for the task in a table
    templates: ClassVar[tuple[str, ...]]  # phrasings of the question

    @abc.abstractmethod
    def encode(
        self,
        frame: schema.Frame,
        annotations: schema.FrameAnnotations,
        context: Context,
        seed: int = 0,
    ) -> list[Conversation]:
        """The conversations of one frame; [] when it is not annotated for this task.

        The wording is drawn by a hash of the conversation's id and `seed`; the answer does not
        depend on it.
        """

    @abc.abstractmethod
    def render(self, answer: Any) -> str:
        """The answer as the text that a model is trained to say."""

    @abc.abstractmethod
    def parse(self, text: str, conversation: Conversation) -> Parsed:
        """The answer in a model's text: tolerant, and with a reason when it fails."""

    @abc.abstractmethod
    def metrics(self, scored: Sequence[Scored]) -> dict[str, float]:
        """Numbers over many answers, `headline` among them. Raises ValueError on an empty list."""

    @abc.abstractmethod
    def reward(self, conversation: Conversation, text: str) -> float:
        """Correctness of one text in [0, 1]; an unparsable text gets 0."""

    def conversation(
        self,
        frame: schema.Frame,
        context: Context,
        answer: Any,
        *,
        part: int = 0,
        options: Sequence[str] = (),
        seed: int = 0,
        **words: str,
    ) -> Conversation:
        """Builds one conversation; `words` fill the fields of the question template."""
        identity = (
            f"{context.source}.{context.config}/{frame.video}/{frame.index:06d}/{self.name}/{part}"
        )
        question = self.templates[_draw(identity, seed, len(self.templates))].format(**words)
        media = Media(context.source, context.config, frame.video, frame.index)
        return Conversation(
            id=identity,
            task=self.name,
            media=(media,),
            turns=(Turn("user", question), Turn("assistant", self.render(answer))),
            answer=answer,
            options=tuple(options),
            video=context.video.canonical,
            split=context.split,
        )


def _draw(identity: str, seed: int, n: int) -> int:
    """A stable pseudo-random number below n (Python's own hash changes between processes)."""
    digest = hashlib.blake2b(f"{seed}:{identity}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little") % n
