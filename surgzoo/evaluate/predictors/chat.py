"""A conversation as the messages of a chat API: the pictures, what was said before, the question.

The media stand before the text of the first user turn, as in training (`data/pipeline.py`). The
true answer is left out; an exchange that the question comes after is kept. Where a question has a
history in words (`past.py`), that stands before it in the place of the media.
"""

from __future__ import annotations

import dataclasses
import typing
from collections.abc import Mapping
from typing import Any, Literal

from surgzoo.data.media import MediaError, Stores
from surgzoo.data.sampling import Spread, pick
from surgzoo.db.records import PICTURES
from surgzoo.db.schema import Conversation, Media
from surgzoo.evaluate.predictors import pictures
from surgzoo.tasks import tasks as registry
from surgzoo.tasks.wording import Protocol

Message = dict[str, Any]

# What is asked of the form of an answer, for models that never saw one. The words are ours; the
# parsers read what they ask for (a test sends each task's own answers through).
_THOUSANDTHS = (
    "[x1, y1, x2, y2], the left top and the right bottom corner in integers from 0 to 1000, where "
    "1000 is the full width or height of the image"
)
_FRACTIONS = (
    "[x1, y1, x2, y2], the left top and the right bottom corner as fractions with three decimals, "
    "where 1.000 is the full width or height of the image"
)
_BOXES = (
    "Answer with one line for each box: the name, then its box as {box}. No other words; the word "
    "none where there is no box."
)
HINTS = {
    "label": "Answer with the name alone, nothing else.",
    "labels": "Answer with the names alone, separated by commas, or with the word none.",
    "boxes": _BOXES.format(box=_THOUSANDTHS),
    "tissue_localization": _BOXES.format(box=_FRACTIONS),
    "triplets": (
        "Answer with the triplets alone, each as instrument verb target, separated by commas, or "
        "with the word none."
    ),
    "criteria": (
        "Answer for every criterion in its order and with nothing else, in the form "
        "'Criterion 1: Yes. Criterion 2: No.'"
    ),
    "seconds": "Answer with the number of seconds alone, in the form '12 seconds'.",
    "vqa": (
        "Answer with a word, a number or a name alone. If what the answer is about can be seen in "
        f"the image, its box follows as {_THOUSANDTHS}."
    ),
}
_FROM_A_LIST = ("label", "labels", "boxes", "triplets")  # criteria stand in the question
_CHOSEN = "Answer with the letter of each right choice alone, separated by commas."
_CHOSEN_ONE = "Answer with the letter of the right choice alone."


@dataclasses.dataclass(frozen=True)
class ChatConfig:
    """How conversations are put to a chat model: all that its answers may depend on.

    Attributes:
      protocol: "choice" lists possible answers as A, B, C ... (`tasks/wording.py`). The questions
        come worded already; it stands here so that what asked them says how.
      max_tokens: of an answer, thinking included. tokens_field: what the request calls it;
        OpenAI's thinking models take "max_completion_tokens" alone.
      temperature, seed: of the drawing.
      extra: further fields of the request; None leaves one out, also one of those above, as in
        {"temperature": None, "reasoning_effort": "low"}.
      system: a system prompt. hint: "form" adds a sentence on the form of the answer, "names" also
        lists the names that the question admits, "none" leaves the question as it is.
      clips: a clip as a list of its "frames" with a line that says so, or as one `video_url`: the
        frames as vLLM takes them ("jpegs"), or an "mp4".
      frames: at most so many frames a clip, picked by `policy` (`data/sampling.py`: pick).
      largest: the longer side of a picture in pixels; None = as stored.
      detail: of `image_url`, where a server has it: low, high, auto.
    """

    protocol: Protocol = "open"
    max_tokens: int = 1024
    tokens_field: Literal["max_tokens", "max_completion_tokens"] = "max_tokens"
    temperature: float = 0.0
    seed: int | None = 0
    extra: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    system: str | None = None
    hint: Literal["form", "names", "none"] = "form"
    clips: Literal["frames", "jpegs", "mp4"] = "frames"
    frames: int = 16
    policy: Spread = "even"
    largest: int | None = None
    detail: str | None = None

    def __post_init__(self):
        for name, hint in typing.get_type_hints(type(self)).items():
            known = typing.get_args(hint)
            if typing.get_origin(hint) is Literal and getattr(self, name) not in known:
                raise ValueError(f"{name} is one of {', '.join(known)}, not {getattr(self, name)}")
        if self.frames < 1 or (self.largest is not None and self.largest < 16):
            raise ValueError("a clip needs 1 frame or more, and a picture 16 pixels or more")
        if self.max_tokens < 1:
            raise ValueError(f"an answer needs 1 token or more, not {self.max_tokens}")


class Chat:
    """Makes messages; safe to use from several threads.

    `told`: id of a question -> what it is told in the place of its media.
    """

    def __init__(self, config: ChatConfig, stores: Stores, told: Mapping[str, str] | None = None):
        self.config, self._stores, self._told = config, stores, told or {}
        if config.clips == "mp4" and not pictures.can_encode():
            raise ValueError("this PyAV cannot encode H.264: send clips as frames, or as jpegs")

    def __call__(self, conversation: Conversation) -> list[Message]:
        """The messages. Raises MediaError for a frame that cannot be decoded and for media that are
        no pictures."""
        parts = [part for media in self._media(conversation) for part in self._parts(media)]
        messages: list[Message] = []
        for role, text in self.texts(conversation):
            if role == "user" and parts:
                messages.append({"role": role, "content": [*parts, {"type": "text", "text": text}]})
                parts = []
            else:
                messages.append({"role": role, "content": text})
        return messages

    def texts(self, conversation: Conversation) -> list[tuple[str, str]]:
        """(role, words) of every message, without the pictures."""
        turns = list(conversation.turns)
        if turns[-1].role == "assistant":
            turns.pop()
        said = [(turn.role, turn.text) for turn in turns]
        if told := self._told.get(conversation.id):
            said[-1] = (said[-1][0], f"{told}\n{said[-1][1]}")
        if hint := self._hint(conversation):
            said[-1] = (said[-1][0], f"{said[-1][1]}\n{hint}")
        return [("system", self.config.system), *said] if self.config.system else said

    def sizes(self, conversation: Conversation) -> list[tuple[int, int]]:
        """(width, height) of every picture that is sent, as its video says; nothing is decoded."""
        found = []
        for media in self._media(conversation):
            video = self._stores(media.source, media.config).video(media.video).video
            size = pictures.scaled_size(video.width, video.height, self.config.largest)
            found += [size] * len(self._shown(media))
        return found

    def _media(self, conversation: Conversation) -> tuple[Media, ...]:
        return () if conversation.id in self._told else conversation.media

    def _hint(self, conversation: Conversation) -> str:
        if self.config.hint == "none":
            return ""
        task = registry.get(conversation.task)()
        if conversation.choices:
            return _CHOSEN_ONE if task.answer_form == "label" else _CHOSEN
        hint = HINTS.get(task.name) or HINTS.get(task.answer_form, "")
        # A question about one thing has that as its only option.
        listed = self.config.hint == "names" and task.answer_form in _FROM_A_LIST
        if listed and len(conversation.options) > 1:
            names = ", ".join(map(task.shown, conversation.options))
            hint = f"The names that may be used: {names}.\n{hint}"
        return hint

    def _shown(self, media: Media) -> list[int]:
        """Frame numbers that are shown."""
        if media.kind != "clip":
            return list(range(media.first, media.first + media.count))
        chosen = pick(media.count, self.config.frames, self.config.policy)
        return [media.first + k for k in chosen]

    def _parts(self, media: Media) -> list[dict[str, Any]]:
        if media.kind not in PICTURES:
            raise MediaError(f"a chat model cannot be shown the map '{media.kind}'")
        store = self._stores(media.source, media.config)
        shown, config = self._shown(media), self.config
        data = []
        for index in shown:
            where = f"{media.source}/{media.video}/{index}"
            data.append(pictures.jpeg(store.frame(media.video, index).image, config.largest, where))
        if media.kind != "clip" or config.clips == "frames":
            detail = {"detail": config.detail} if config.detail else {}
            images = [
                {"type": "image_url", "image_url": {"url": pictures.url(item), **detail}}
                for item in data
            ]
            if media.kind != "clip":
                return images
            fps = store.video(media.video).video.fps
            note = (
                f"{len(data)} frames of a video clip of {media.count / fps:.4g} seconds, in order:"
            )
            return [{"type": "text", "text": note}, *images]
        if config.clips == "jpegs":
            return [{"type": "video_url", "video_url": {"url": pictures.frames_url(data)}}]
        # Played at the rate that keeps the clip's length.
        fps = store.video(media.video).video.fps * len(data) / media.count
        where = f"{media.source}/{media.video}/{media.first}"
        video = pictures.video_url(data, fps, where)
        return [{"type": "video_url", "video_url": {"url": video}}]
