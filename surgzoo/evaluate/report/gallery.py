"""Examples for the gallery: chosen evenly and always alike, with thumbnails and boxes to draw."""

from __future__ import annotations

import base64
import collections
import contextlib
import dataclasses
import hashlib
import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Literal, NamedTuple, get_args

import cv2
import numpy as np

from surgzoo.data.conversations import address
from surgzoo.data.media import MediaReader
from surgzoo.db.schema import Conversation, Media
from surgzoo.evaluate.grade import Graded
from surgzoo.evaluate.pixels import AnswerError, Judge
from surgzoo.evaluate.report.words import clock, figure, title
from surgzoo.evaluate.truth import Truth, place
from surgzoo.tasks.base import Task
from surgzoo.tasks.pixels import PixelTask, fit, rgb, still

Verdict = Literal["right", "partly", "wrong", "unparsed"]
VERDICTS: tuple[Verdict, ...] = get_args(Verdict)

WIDTH = 400  # units in which a picture is drawn on, whatever its pixels
PIXELS = 560  # at most, of the width of a frame: enough for an opened case, about 28 kB
PANEL = 320  # the same of a picture that stands beside others
QUALITY = 72  # JPEG
IMAGE_BUDGET = 3_300_000  # base64 characters in one page, which keeps it under 5 MB
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
class BoxSet:
    """The boxes of the truth or of one answer. `mark` is how they are drawn: 0 the truth, 1.. the
    answers in their order."""

    name: str
    mark: int
    boxes: list[Drawn]


@dataclasses.dataclass(frozen=True)
class Panel:
    """One picture of a case: a frame, or what stands beside it. Sizes are in units as `Drawn`."""

    name: str  # "" for a single frame
    image: str  # data URI
    width: int
    height: int
    alt: str
    sets: list[BoxSet]


@dataclasses.dataclass(frozen=True)
class Reply:
    """What one model answered. `quality` is the task's reward in [0, 1]."""

    model: str  # "" where there is one alone
    letter: str
    verdict: Verdict
    quality: float
    said: str
    error: str | None


@dataclasses.dataclass(frozen=True)
class Example:
    """One card of the gallery: a question with the answers of one or more models."""

    id: str
    task: str
    source: str
    procedure: str
    video: str
    time: str
    question: str
    truth: str
    panels: list[Panel]
    replies: list[Reply]

    @property
    def verdict(self) -> Verdict:
        """Of the first model."""
        return self.replies[0].verdict

    @property
    def size(self) -> int:
        """Characters of its pictures."""
        return sum(len(panel.image) for panel in self.panels)


class Judged(NamedTuple):
    """An answer with its verdict and reward."""

    item: Graded
    verdict: Verdict
    quality: float


class Given(NamedTuple):
    """An answer to show; `folder` is that of its predictions file. Where several stand together
    `model` names the one that answered, and `letter` where there is little room."""

    judged: Judged
    folder: Path | None = None
    model: str = ""
    letter: str = ""


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


def judge_all(truth: Truth, graded: Mapping[str, Graded]) -> dict[str, Judged]:
    """id -> answer with its verdict."""
    return {id: Judged(item, *verdict(truth, item)) for id, item in graded.items()}


def examples(
    truth: Truth, judged: Mapping[str, Judged], limit: int, folder: Path | None = None
) -> list[Example]:
    """At most `limit` cards, the tasks in turn; fewer when the pictures would grow too large.

    The `worst` answers are among them. `folder` is that of the predictions file, for predicted
    images and videos.
    """
    order = list(in_turn([spread(items) for items in by_task(truth, judged).values()]))
    bad = {entry.item.conversation.id for entry in worst(truth, judged, limit // 3)}
    rest = (entry.item.conversation.id for entry in order)
    chosen = bad | set(itertools.islice((id for id in rest if id not in bad), limit - len(bad)))
    entries = (entry for entry in order if entry.item.conversation.id in chosen)
    return within_budget(card(truth, [Given(entry, folder)]) for entry in entries)


def within_budget(cards: Iterable[Example]) -> list[Example]:
    """The first cards whose pictures fit into one page."""
    kept: list[Example] = []
    size = 0
    for item in cards:
        size += item.size
        if size > IMAGE_BUDGET:
            break
        kept.append(item)
    return kept


def by_task(truth: Truth, judged: Mapping[str, Judged]) -> dict[str, list[Judged]]:
    tasks: dict[str, list[Judged]] = {name: [] for name in truth.tasks}
    for entry in judged.values():
        tasks[entry.item.conversation.task].append(entry)
    return tasks


def worst(truth: Truth, judged: Mapping[str, Judged], limit: int, each: int = 4) -> list[Judged]:
    """Answers with the lowest reward, at most `each` of a task, that could be read and are not
    right; among equals spread over videos."""
    queues = []
    for items in by_task(truth, judged).values():
        bad = [entry for entry in spread(items) if entry.verdict in ("wrong", "partly")]
        queues.append(iter(sorted(bad, key=lambda entry: entry.quality)[:each]))
    order = list(truth.tasks)
    found = list(itertools.islice(in_turn(queues), limit))
    return sorted(
        found, key=lambda entry: (order.index(entry.item.conversation.task), entry.quality)
    )


def spread(items: Sequence[Judged]) -> Iterator[Judged]:
    """All items in an order that takes verdicts in turn and, inside a verdict, videos in turn.

    Inside a video the order is that of a hash of the id: spread over time and the same every day.
    """
    shelves: dict[str, dict[str, list]] = {}
    for entry in sorted(items, key=lambda entry: hashed(entry.item.conversation.id)):
        videos = shelves.setdefault(entry.verdict, collections.defaultdict(list))
        videos[place(entry.item.conversation.id)].append(entry)
    words = [word for word in ("wrong", "right", "partly", "unparsed") if word in shelves]
    return in_turn([in_turn([iter(v) for v in shelves[word].values()]) for word in words])


def in_turn(queues: Sequence[Iterator]) -> Iterator:
    """One of each in turn until all are empty."""
    waiting = collections.deque(iter(queue) for queue in queues)
    while waiting:
        queue = waiting.popleft()
        for item in queue:
            yield item
            waiting.append(queue)
            break


def hashed(text: str) -> bytes:
    """Orders ids as if by chance, and alike every day."""
    return hashlib.blake2b(text.encode(), digest_size=8).digest()


def card(truth: Truth, given: Sequence[Given]) -> Example:
    """A question with its picture and the answers to it."""
    conversation = given[0].judged.item.conversation
    task = truth.tasks[conversation.task]
    video = place(conversation.id).split("/", 1)[1]
    time = clock(truth.times[conversation.id], truth.video(conversation.id).duration)
    at = f"video {video} at {time}"
    if isinstance(task, PixelTask):
        panels = _panels(truth, task, given, at)
    else:
        panels = [_frame(truth, conversation, given, at)]
    return Example(
        id=conversation.id,
        task=conversation.task,
        source=conversation.id.split("/", 1)[0],
        procedure=truth.video(conversation.id).procedure,
        video=video,
        time=time,
        question=conversation.prompt,
        truth=target(task, conversation),
        panels=panels,
        replies=[reply(task, one) for one in given],
    )


def target(task: Task, conversation: Conversation) -> str:
    """The true answer in words; of pixels that it is to be looked at."""
    return "(picture)" if isinstance(task, PixelTask) else conversation.target


def reply(task: Task, given: Given) -> Reply:
    """An answer in words."""
    item, word, quality = given.judged
    said = item.prediction.text
    if isinstance(task, PixelTask) and item.answer is not None:
        said = _numbers(task, item.answer)
    elif said is None and item.answer is not None:
        said = task.render(item.answer)
    return Reply(given.model, given.letter, word, quality, said or "", item.error)


def _frame(truth: Truth, conversation: Conversation, given: Sequence[Given], at: str) -> Panel:
    """The frame that a question shows first, with the true and the predicted boxes."""
    media = _shown(conversation)
    stored = truth.stores[f"{media.source}.{media.config}"].frame(media.video, media.first)
    data, height = thumbnail(stored.image)
    sets = []
    if truth.tasks[conversation.task].answer_form == "boxes":
        sets.append(BoxSet("True", 0, _drawn(conversation.answer, height)))
        for mark, one in enumerate(given, start=1):
            boxes = _drawn(one.judged.item.answer or [], height, one.letter)
            sets.append(BoxSet(one.model or "Predicted", mark, boxes))
    what = "Frame" if media.count == 1 else f"First of {media.count} frames"
    alt = f"{what} of {at}." + "".join(
        f" {group.name} boxes: {', '.join(box.label for box in group.boxes)}."
        for group in sets
        if group.boxes
    )
    return Panel("", _uri(data), WIDTH, height, alt, [group for group in sets if group.boxes])


def _panels(truth: Truth, task: PixelTask, given: Sequence[Given], at: str) -> list[Panel]:
    """Input, truth and predictions side by side, as far as there are, at the size of the truth.

    Of a clip the last frame: the first one is often given.
    """
    conversation = given[0].judged.item.conversation
    wanted = _one(Judge(truth.stores, None).truth(task, conversation))
    shown = {"Truth": wanted}
    if conversation.media:
        read = MediaReader(lambda source, config: truth.stores[f"{source}.{config}"])
        shown = {"Input": still(read.read(conversation.media[-1])), **shown}
    for judged, folder, model, _ in given:
        if judged.item.answer is not None:
            with contextlib.suppress(AnswerError):  # a file that went away since it was graded
                judge = Judge(truth.stores, folder)
                said = judge.said(task, conversation, judged.item.prediction)
                shown[model or "Prediction"] = _one(said)
    panels = []
    for name, image in shown.items():
        data, height = jpeg(fit(rgb(image), wanted), PANEL)
        panels.append(Panel(name, _uri(data), WIDTH, height, f"{name}, {at}.", []))
    return panels


def _uri(data: bytes) -> str:
    return "data:image/jpeg;base64," + base64.b64encode(data).decode()


def _one(pixels: np.ndarray) -> np.ndarray:
    return pixels[-1] if pixels.ndim == 4 else pixels


def _numbers(task: PixelTask, answer: Mapping[str, float]) -> str:
    """The comparison in words: "PSNR 24.31 dB, SSIM 81.2 %"."""
    return ", ".join(
        f"{title(name)} {figure(value, unit)}" + (" %" if unit is None else "")
        for name, value in answer.items()
        for unit in [task.scales.get(name)]
    )


def _shown(conversation: Conversation) -> Media:
    """What the question shows first; for a question in words the frame that it is about."""
    if conversation.media:
        return conversation.media[0]
    source, config, video, frame, _, _ = address(conversation.id)
    return Media(source, config, video, frame)


def thumbnail(encoded: bytes, pixels: int = PIXELS) -> tuple[bytes, int]:
    """Encoded image -> (JPEG at most `pixels` wide, height that it has when WIDTH wide).

    Raises ValueError when it cannot be decoded.
    """
    image = cv2.imdecode(np.frombuffer(encoded, np.uint8), cv2.IMREAD_COLOR)
    if image is None:
        raise ValueError("a stored frame is not an image")
    return _encoded(image, pixels)


def jpeg(image: np.ndarray, pixels: int = PIXELS) -> tuple[bytes, int]:
    """As `thumbnail`, for an RGB image (H, W, 3) uint8."""
    return _encoded(cv2.cvtColor(image, cv2.COLOR_RGB2BGR), pixels)


def _encoded(image: np.ndarray, pixels: int) -> tuple[bytes, int]:
    shape = image.shape[0] / image.shape[1]
    if image.shape[1] > pixels:
        size = (pixels, max(1, round(pixels * shape)))
        image = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    _, data = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, QUALITY])
    return data.tobytes(), max(1, round(WIDTH * shape))


def _drawn(boxes: Sequence, height: int, letter: str = "") -> list[Drawn]:
    return [
        Drawn(
            f"{letter} {name}".strip(),
            x1 * WIDTH,
            y1 * height,
            (x2 - x1) * WIDTH,
            (y2 - y1) * height,
        )
        for name, (x1, y1, x2, y2) in boxes
    ]
