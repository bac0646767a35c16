"""Examples for the gallery: chosen evenly and always alike, with thumbnails and boxes to draw."""

from __future__ import annotations

import base64
import collections
import contextlib
import dataclasses
import hashlib
import itertools
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Literal, get_args

import cv2
import numpy as np

from surgzoo.data.conversations import address
from surgzoo.data.media import MediaReader
from surgzoo.db.schema import Conversation, Media
from surgzoo.evaluate.pixels import AnswerError, Judge
from surgzoo.evaluate.report.words import clock, figure, title
from surgzoo.evaluate.score import Graded
from surgzoo.evaluate.truth import Truth, place
from surgzoo.tasks.pixels import PixelTask, fit, rgb, still

Verdict = Literal["right", "partly", "wrong", "unparsed"]
VERDICTS: tuple[Verdict, ...] = get_args(Verdict)

WIDTH = 400  # pixels of a thumbnail: sharp on a phone, about 20 kB
QUALITY = 76  # JPEG
IMAGE_BUDGET = 3_600_000  # base64 characters in one page, which keeps it under 5 MB
# Reward from which an answer is right. Boxes are never exact: the field's hit is an IoU of a half.
# Pixels are not either; that a Dice, SSIM or delta1 of 0.9 is right is our choice.
RIGHT = {"boxes": 0.5, "pixels": 0.9}


@dataclasses.dataclass(frozen=True)
class Drawn:
    """A box with its label, in units of the drawing: WIDTH of them are the width of the frame."""

    label: str
    x: float
    y: float
    width: float
    height: float


@dataclasses.dataclass(frozen=True)
class Example:
    """One card of the gallery. `quality` is the task's reward in [0, 1].

    `panels` says what stands side by side in the picture; () for one frame.
    """

    id: str
    task: str
    video: str
    time: str
    verdict: Verdict
    quality: float
    question: str
    truth: str
    said: str
    error: str | None
    image: str  # data URI
    width: int  # of the drawing, in units as `Drawn`
    height: int
    frames: int  # that the question shows; the picture is the first
    true_boxes: list[Drawn]
    said_boxes: list[Drawn]
    panels: tuple[str, ...] = ()

    @property
    def alt(self) -> str:
        """The picture in words."""
        what = "Frame" if self.frames == 1 else f"First of {self.frames} frames"
        if self.panels:
            what = f"{', '.join(self.panels)} side by side"
        text = f"{what} of video {self.video} at {self.time}."
        for name, boxes in (("True", self.true_boxes), ("Predicted", self.said_boxes)):
            if boxes:
                text += f" {name} boxes: {', '.join(box.label for box in boxes)}."
        return text


def verdict(truth: Truth, item: Graded) -> tuple[Verdict, float]:
    """How good an answer is, in a word and as the task's reward."""
    if item.answer is None:
        return "unparsed", 0.0
    task = truth.tasks[item.conversation.task]
    if isinstance(task, PixelTask):
        reward = task.quality(item.answer)
    else:
        text = item.prediction.text
        text = task.render(item.answer) if text is None else text
        reward = task.reward(item.conversation, text)
    if reward >= RIGHT.get(task.answer_form, 0.999):
        return "right", reward
    return ("partly" if reward > 0 else "wrong"), reward


def examples(
    truth: Truth, graded: Mapping[str, Graded], limit: int, folder: Path | None = None
) -> list[Example]:
    """At most `limit` cards, the tasks in turn; fewer when the pictures would grow too large.

    `folder` is that of the predictions file, for predicted images and videos.
    """
    judged: dict[str, list[tuple[Graded, Verdict, float]]] = {name: [] for name in truth.tasks}
    for item in graded.values():
        judged[item.conversation.task].append((item, *verdict(truth, item)))
    queues = [spread(items) for items in judged.values()]
    cards: list[Example] = []
    size = 0
    for item, word, quality in itertools.islice(_in_turn(queues), limit):
        card = _card(truth, item, word, quality, folder)
        size += len(card.image)
        if size > IMAGE_BUDGET:
            break
        cards.append(card)
    return cards


def spread(items: Sequence[tuple[Graded, Verdict, float]]) -> Iterator:
    """All items in an order that takes verdicts in turn and, inside a verdict, videos in turn.

    Inside a video the order is that of a hash of the id: spread over time and the same every day.
    """
    shelves: dict[str, dict[str, list]] = {}
    for entry in sorted(items, key=lambda entry: _hash(entry[0].conversation.id)):
        videos = shelves.setdefault(entry[1], collections.defaultdict(list))
        videos[place(entry[0].conversation.id)].append(entry)
    words = [word for word in ("wrong", "right", "partly", "unparsed") if word in shelves]
    return _in_turn([_in_turn([iter(v) for v in shelves[word].values()]) for word in words])


def _in_turn(queues: Sequence[Iterator]) -> Iterator:
    """Round robin until all are empty."""
    waiting = collections.deque(iter(queue) for queue in queues)
    while waiting:
        queue = waiting.popleft()
        for item in queue:
            yield item
            waiting.append(queue)
            break


def _hash(text: str) -> bytes:
    return hashlib.blake2b(text.encode(), digest_size=8).digest()


def _card(
    truth: Truth, item: Graded, word: Verdict, quality: float, folder: Path | None
) -> Example:
    conversation = item.conversation
    task = truth.tasks[conversation.task]
    boxes = task.answer_form == "boxes"
    media = _shown(conversation)
    panels: tuple[str, ...] = ()
    if isinstance(task, PixelTask):
        panels, picture = _panels(truth, task, item, folder)
        data, height = jpeg(picture)
        said = _numbers(task, item)
    else:
        source = f"{media.source}.{media.config}"
        data, height = thumbnail(truth.stores[source].frame(media.video, media.first).image)
        said = item.prediction.text
        if said is None and item.answer is not None:
            said = task.render(item.answer)
    return Example(
        id=conversation.id,
        task=conversation.task,
        video=place(conversation.id).split("/", 1)[1],
        time=clock(truth.times[conversation.id], truth.video(conversation.id).duration),
        verdict=word,
        quality=quality,
        question=conversation.prompt,
        truth=conversation.target,
        said=said or "",
        error=item.error,
        image="data:image/jpeg;base64," + base64.b64encode(data).decode(),
        width=WIDTH,
        height=height,
        frames=media.count,
        true_boxes=_drawn(conversation.answer, height) if boxes else [],
        said_boxes=_drawn(item.answer or [], height) if boxes else [],
        panels=panels,
    )


def _panels(
    truth: Truth, task: PixelTask, item: Graded, folder: Path | None
) -> tuple[tuple[str, ...], np.ndarray]:
    """Input, truth and prediction side by side, as far as there are, at the size of the truth.

    Of a clip the last frame: the first one is often given.
    """
    judge = Judge(truth.stores, folder)
    wanted = _one(judge.truth(task, item.conversation))
    shown = {"Input": None, "Truth": wanted, "Prediction": None}
    if item.conversation.media:
        read = MediaReader(lambda source, config: truth.stores[f"{source}.{config}"])
        shown["Input"] = still(read.read(item.conversation.media[-1]))
    if item.answer is not None:
        with contextlib.suppress(AnswerError):  # a file that went away since it was graded
            shown["Prediction"] = _one(judge.said(task, item.conversation, item.prediction))
    found = {name: fit(rgb(image), wanted) for name, image in shown.items() if image is not None}
    return tuple(found), np.concatenate(list(found.values()), axis=1)


def _one(pixels: np.ndarray) -> np.ndarray:
    return pixels[-1] if pixels.ndim == 4 else pixels


def _numbers(task: PixelTask, item: Graded) -> str:
    """The comparison in words: "PSNR 24.31 dB, SSIM 81.2 %"."""
    if item.answer is None:
        return item.prediction.text or ""
    return ", ".join(
        f"{title(name)} {figure(value, unit)}" + (" %" if unit is None else "")
        for name, value in item.answer.items()
        for unit in [task.scales.get(name)]
    )


def _shown(conversation: Conversation) -> Media:
    """What the question shows first; for a question in words the frame that it is about."""
    if conversation.media:
        return conversation.media[0]
    source, config, video, frame, _, _ = address(conversation.id)
    return Media(source, config, video, frame)


def thumbnail(encoded: bytes) -> tuple[bytes, int]:
    """Encoded image -> (JPEG of at most WIDTH pixels, height that it has when WIDTH wide).

    Raises ValueError when it cannot be decoded.
    """
    image = cv2.imdecode(np.frombuffer(encoded, np.uint8), cv2.IMREAD_COLOR)
    if image is None:
        raise ValueError("a stored frame is not an image")
    return _encoded(image)


def jpeg(image: np.ndarray) -> tuple[bytes, int]:
    """As `thumbnail`, for an RGB image (H, W, 3) uint8."""
    return _encoded(cv2.cvtColor(image, cv2.COLOR_RGB2BGR))


def _encoded(image: np.ndarray) -> tuple[bytes, int]:
    height = max(1, round(image.shape[0] * WIDTH / image.shape[1]))
    if image.shape[1] > WIDTH:
        image = cv2.resize(image, (WIDTH, height), interpolation=cv2.INTER_AREA)
    _, data = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, QUALITY])
    return data.tobytes(), height


def _drawn(boxes: Sequence, height: int) -> list[Drawn]:
    return [
        Drawn(name, x1 * WIDTH, y1 * height, (x2 - x1) * WIDTH, (y2 - y1) * height)
        for name, (x1, y1, x2, y2) in boxes
    ]
