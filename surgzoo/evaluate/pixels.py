"""Answers in pixels: loads the truth and the prediction, compares them, keeps the numbers alone.

A prediction is one of
  text    the path of an image file, of a video file, or of a folder with the frames of a clip as
          image files (in the order of their names); relative to the folder of the predictions
  answer  {"path": ..}, the same, or {"media": {..}}: a pointer to stored pixels of a scored source,
          which is how the truth itself is written
An image of another size is scaled to the true one (`tasks/pixels.py:fit`). A clip is expected at
the stored frame rate; no frame is made up or moved in time.
"""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np

from surgzoo.data.media import MediaReader
from surgzoo.db.schema import Conversation
from surgzoo.db.store import Store
from surgzoo.evaluate.predictions import Prediction
from surgzoo.metrics import distribution
from surgzoo.tasks.base import Parsed
from surgzoo.tasks.pixels import PixelTask, media_of
from surgzoo.tasks.reading import quote
from surgzoo.tasks.video_generation import fitted

IMAGES = (".png", ".jpg", ".jpeg", ".webp", ".tif", ".tiff", ".bmp")


class AnswerError(ValueError):
    """A prediction whose pixels cannot be had; the message is the reason in the report."""


class Judge:
    """Compares predictions with the pixels of some prepared sources."""

    def __init__(self, stores: Mapping[str, Store], folder: str | Path | None):
        """`stores` by "source.config"; `folder` is what paths are relative to, None = here."""
        self._stores, self._folder = stores, Path(folder or ".")
        self._read = MediaReader(self._store)

    def _store(self, source: str, config: str) -> Store:
        name = f"{source}.{config}"
        if name not in self._stores:
            raise AnswerError(f"points at '{name}', which is not scored here")
        return self._stores[name]

    def truth(self, task: PixelTask, conversation: Conversation) -> np.ndarray:
        """The true pixels as an answer shows them. Raises MediaError where the data is damaged."""
        stored = self._read.read(media_of(conversation.answer))
        return task.pixels(stored, conversation.answer)

    def said(
        self, task: PixelTask, conversation: Conversation, prediction: Prediction
    ) -> np.ndarray:
        """The predicted pixels. Raises AnswerError with the reason when there are none."""
        answer = prediction.answer
        if prediction.text is not None:
            parsed = task.parse(prediction.text, conversation)
            if parsed.answer is None:
                raise AnswerError(parsed.error or "names no file")
            answer = parsed.answer
        elif answer is None:
            raise AnswerError(prediction.error or "no text")
        if isinstance(answer, dict) and isinstance(answer.get("path"), str):
            frames = media_of(conversation.answer).count
            return load(self._folder / answer["path"], frames, video=task.answers == "video")
        return self._pointed(task, answer)

    def _pointed(self, task: PixelTask, answer: Any) -> np.ndarray:
        try:
            return task.pixels(self._read.read(media_of(answer)), answer)
        except (KeyError, IndexError) as error:  # no such video, frame or map
            raise AnswerError(f"points at nothing: {error.args[0]}") from None
        except (ValueError, TypeError) as error:
            raise AnswerError(str(error)) from None

    def grade(self, task: PixelTask, conversation: Conversation, prediction: Prediction) -> Parsed:
        """The numbers of `task.compare` in the place of an answer, or why there are none."""
        truth = self.truth(task, conversation)
        try:
            said = self.said(task, conversation, prediction)
        except AnswerError as error:
            return Parsed(None, str(error))
        return Parsed(task.compare(truth, said, conversation.answer))


def frechet_video_distance(
    judge: Judge,
    task: PixelTask,
    asked: Sequence[tuple[Conversation, Prediction | None]],
    extractor: str = "grey16",
    weights: str | None = None,
) -> dict[str, float]:
    """{"fvd_<extractor>": ..}: the distance of the predicted clips from the true ones, as sets.

    No metric of the task, since it takes all clips at once and a network that nobody ships; see
    `metrics/distribution.py` for how to register one. A clip has its true size and, up to the
    frames that it lacks, length; a missing or unreadable one is black, so that leaving out the
    hard ones does not help. Raises ValueError for fewer than two clips.
    """

    def truths() -> Iterator[np.ndarray]:
        for conversation, _ in asked:
            yield judge.truth(task, conversation)[None]

    def predicted() -> Iterator[np.ndarray]:
        for conversation, prediction in asked:
            truth = judge.truth(task, conversation)
            clip = truth[:0]
            if prediction is not None:
                with contextlib.suppress(AnswerError):
                    clip = fitted(truth, judge.said(task, conversation, prediction))
            yield (clip if len(clip) else np.zeros_like(truth))[None]

    return distribution.frechet_distance(truths(), predicted(), extractor, weights)


def load(path: Path, frames: int, *, video: bool) -> np.ndarray:
    """Pixels of a file or folder: an image as stored, grey or RGB; at most `frames` of a clip.

    Raises AnswerError that says what is wrong with it.
    """
    try:
        path.stat()
    except FileNotFoundError:
        raise AnswerError(f"there is no file '{path.name}'") from None
    except OSError as error:  # a name that is too long (a sentence), a folder that may not be read
        raise AnswerError(f"names no file ({error.strerror}): {quote(path.name)}") from None
    except ValueError as error:  # a null byte
        raise AnswerError(f"names no file ({error}): {quote(path.name)}") from None
    if path.is_file() and path.suffix.lower() in IMAGES:
        return _image(path)
    if not video:
        raise AnswerError(f"is not an image file ({', '.join(IMAGES)}): '{path.name}'")
    if path.is_dir():
        files = sorted(p for p in path.iterdir() if p.suffix.lower() in IMAGES)
        found = [_rgb(_image(file)) for file in files[:frames]]
    else:
        found = list(itertools.islice(_frames(path), frames))
    if not found:
        raise AnswerError(f"holds no frame: '{path.name}'")
    if len({frame.shape for frame in found}) > 1:
        raise AnswerError(f"has frames of several sizes: '{path.name}'")
    return np.stack(found)


def _image(path: Path) -> np.ndarray:
    try:
        image = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    except cv2.error:  # more pixels than OpenCV reads
        image = None
    if image is None:
        raise AnswerError(f"cannot be decoded: '{path.name}'")
    if image.dtype not in (np.uint8, np.uint16, np.float32):
        raise AnswerError(f"holds {image.dtype} values, not 8 or 16 bit or float32: '{path.name}'")
    if not np.isfinite(image).all():
        raise AnswerError(f"holds values that are not finite: '{path.name}'")
    return image if image.ndim == 2 else cv2.cvtColor(image[..., :3], cv2.COLOR_BGR2RGB)


def _rgb(image: np.ndarray) -> np.ndarray:
    return image if image.ndim == 3 else cv2.cvtColor(image, cv2.COLOR_GRAY2RGB)


def _frames(path: Path) -> Iterator[np.ndarray]:
    try:
        with av.open(str(path)) as container:
            for frame in container.decode(video=0):
                yield frame.to_ndarray(format="rgb24")
    except (av.error.FFmpegError, IndexError) as error:
        raise AnswerError(f"cannot be decoded as a video ({error}): '{path.name}'") from None
