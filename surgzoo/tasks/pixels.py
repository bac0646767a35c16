"""What the tasks share whose answer is a picture or a clip.

`Conversation.answer` points at the true pixels in a prepared source: {"media": <schema.Media as
JSON>, ...}. A prediction names a file (its text is a path) or points at stored pixels itself (its
`answer` has the form of the truth). Evaluation loads both (`evaluate/pixels.py`), calls `compare`,
and hands `metrics` the numbers in the place of a parsed answer, so nothing but numbers is kept.

What one says in text is a token, `<image>` or `<video>`: it carries no pixels, so a text never
parses back to the answer, and the reward is `quality` of a comparison.
"""

from __future__ import annotations

import abc
import re
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal

import cv2
import numpy as np

from surgzoo.db.schema import Conversation, Media, from_jsonable, to_jsonable
from surgzoo.tasks import reading
from surgzoo.tasks.base import Parsed, Scored, Tally, Task

Comparison = Mapping[str, float]

_TOKENS = re.compile(r"^<(?:image|video)>$")
_LINK = re.compile(r"^!?\[[^\]]*\]\(([^)]*)\)$")


def pointer(media: Media, **more: Any) -> dict[str, Any]:
    """The answer that points at `media`."""
    return {"media": to_jsonable(media), **more}


def media_of(answer: Any) -> Media:
    """The pointer of an answer. Raises ValueError for anything else."""
    if not isinstance(answer, dict) or not isinstance(answer.get("media"), dict):
        raise ValueError('needs {"media": {"source": .., "config": .., "video": .., "first": ..}}')
    try:
        return from_jsonable(Media, answer["media"])
    except TypeError as error:
        raise ValueError(f"'media' is no pointer ({error})") from None


class PixelTask(Task):
    """A task whose answer is an image, a map or a clip."""

    answer_form = "pixels"
    answers: ClassVar[Literal["image", "video"]] = "image"
    # A missing or unreadable answer counts as these numbers; also the names of the metrics.
    worst: ClassVar[Comparison]

    @abc.abstractmethod
    def compare(self, truth: np.ndarray, said: np.ndarray, answer: Any) -> dict[str, float]:
        """The numbers of one answer, with the keys of `worst`.

        Args:
          truth, said: what `pixels` makes of stored pixels, or the pixels of a file. A grey or RGB
            image, uint8, uint16 or float32, (H, W) or (H, W, 3); of a clip (T, H, W, 3).
          answer: the conversation's answer.
        """

    def pixels(self, stored: np.ndarray, answer: Any) -> np.ndarray:
        """Stored pixels as an answer shows them; most tasks take them as they are."""
        return stored

    def quality(self, comparison: Comparison) -> float:
        """One answer in [0, 1], as a reward and to call it right or wrong; 0 where undefined."""
        return float(np.clip(np.nan_to_num(comparison[self.headline]), 0.0, 1.0))

    def render(self, answer: Any) -> str:
        """ "<image>" or "<video>". Raises ValueError when the answer points at no media."""
        media_of(answer)
        return f"<{self.answers}>"

    def parse(self, text: str, conversation: Conversation) -> Parsed:
        """{"path": ..}: the file or folder that the text names; it is not looked up here."""
        if _TOKENS.match(text.strip()):
            return Parsed(None, "names no file")
        text, error = reading.spoken(text)
        if error:
            return Parsed(None, error)
        path = text.strip().strip("`'\"").strip()
        if found := _LINK.match(path):
            path = found[1].strip()
        if not path or "\n" in path or "\0" in path:
            return Parsed(None, f"names no file: {reading.quote(text)}")
        return Parsed({"path": path})

    def metrics(self, scored: Sequence[Scored]) -> dict[str, float]:
        """Means over all answers of the numbers of `compare`, and the share that could be read.

        `Scored.answer` is a comparison; None, a missing or unreadable answer, counts as `worst`. A
        number that is undefined for an answer (NaN) is left out of its mean.
        """
        if not scored:
            raise ValueError("no scored answers")
        found = [self.worst if item.answer is None else item.answer for item in scored]
        return {
            **{name: _mean([item[name] for item in found]) for name in self.worst},
            "parsed": sum(item.answer is not None for item in scored) / len(scored),
        }

    def tally(self, scored: Sequence[Scored]) -> Tally:
        """Sum and number of the headline over answers for which it is defined."""
        found = [(self.worst if i.answer is None else i.answer)[self.headline] for i in scored]
        known = [value for value in found if not np.isnan(value)]
        return {"": (sum(known), len(known))}

    def reward(self, conversation: Conversation, text: str) -> float:
        """Raises TypeError: a text holds no pixels."""
        raise TypeError(f"{self.name} is answered in pixels; use `quality` of a comparison")


def fit(said: np.ndarray, truth: np.ndarray, *, nearest: bool = False) -> np.ndarray:
    """A predicted image in the size (H, W) of the true one, so that they can be compared.

    Scaled to that size whatever its aspect: by area means when shrinking, bilinear when growing,
    and by nearest neighbours where values must not mix. uint8 stays uint8.
    """
    height, width = truth.shape[:2]
    if said.shape[:2] == (height, width):
        return said
    how = cv2.INTER_AREA if height * width < said.shape[0] * said.shape[1] else cv2.INTER_LINEAR
    return cv2.resize(
        said, (width, height), interpolation=cv2.INTER_NEAREST_EXACT if nearest else how
    )


def grey(image: np.ndarray) -> np.ndarray:
    """One channel: the mean of the three of an RGB image, (H, W) float32."""
    image = image.astype(np.float32)
    return image.mean(axis=-1) if image.ndim == 3 else image


def still(said: np.ndarray) -> np.ndarray:
    """One image, also of a clip (its first frame)."""
    return said[0] if said.ndim == 4 else said


def rgb(image: np.ndarray) -> np.ndarray:
    """(H, W, 3) uint8 of a grey or RGB image; 16 bits are shortened, floats are fractions of 1."""
    if image.dtype == np.uint16:
        image = (image >> 8).astype(np.uint8)
    elif image.dtype != np.uint8:
        image = (np.clip(np.nan_to_num(image), 0, 1) * 255).astype(np.uint8)
    return np.repeat(image[..., None], 3, axis=-1) if image.ndim == 2 else image


def _mean(values: Sequence[float]) -> float:
    values = [value for value in values if not np.isnan(value)]
    return float(np.mean(values)) if values else float("nan")
