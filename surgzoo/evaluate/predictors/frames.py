"""Asking a model that maps a frame to pixels: each frame once, one PNG an answer.

The pictures lie beside the predictions file and are named in it by relative paths, as pictures of
any other program would be; `evaluate/pixels.py` loads and `tasks/pixels.py` compares them.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import cv2
import grain
import jax
import numpy as np
import tqdm
from absl import logging
from jaxtyping import Float, Int

from surgzoo.core import parallel
from surgzoo.data import pipeline
from surgzoo.data.conversations import address
from surgzoo.data.media import MediaReader, Stores
from surgzoo.db.derive.depth import encoded, stretched
from surgzoo.db.schema import Conversation
from surgzoo.evaluate.predict import Throughput
from surgzoo.evaluate.predictions import PredictionWriter
from surgzoo.evaluate.predictors.labels import check_task
from surgzoo.train.experiment import EvalConfig

if TYPE_CHECKING:
    from surgzoo.evaluate.predictors.local import Restored

FOLDER = "images"  # of the answers, beside the predictions file
WHITE = 255


class Shown(NamedTuple):
    """Questions about one frame, its stored size and its pixels for the model; or why none."""

    items: list[Conversation]
    height: int = 0
    width: int = 0
    pixels: np.ndarray | None = None
    error: str = ""


def answer(
    found: Restored,
    conversations: Sequence[Conversation],
    stores: Stores,
    path: str | Path,
    settings: EvalConfig,
) -> Throughput:
    """Appends an answer to every question that `path` does not answer yet.

    Every answer has the size of the frame that the question shows:
      labels   white where the class is that the question names, or any of all, see `_classes`; a
               model with one mask has that for an answer to every question
      depth    16 bit, the nearest 0 and the farthest 65535
      targets  RGB

    A frame that cannot be read gets a line with its error and no text for each of its questions,
    and so does a question about a class that the model does not have.

    Raises ValueError for tasks that the model was not trained for, PredictionsError when the file
    holds the answers of another model.
    """
    check_task(found.name, conversations, found.meta["rows"]["task"])
    path = Path(path)
    draw = Pictures(found, path.parent)
    read = MediaReader(stores).read
    run = jax.jit(found.model.image_to_image)
    size = parallel.whole_batch(max(1, settings.batch_size), found.mesh)

    def show(unit: list[Conversation]) -> Shown:
        try:
            frame = read(unit[0].media[0])
            pixels = found.processor.encode(frame)
        except ValueError as error:
            return Shown(unit, error=str(error))
        return Shown(unit, *frame.shape[:2], pixels)

    did, begun = Throughput(), time.perf_counter()
    with PredictionWriter(path, found.name) as writer:
        units: dict[Any, list[Conversation]] = defaultdict(list)
        for item in conversations:
            if item.id not in writer.done:
                units[item.media].append(item)
        bar = tqdm.tqdm(
            total=sum(map(len, units.values())), desc="predict", unit="question", disable=None
        )
        shown = grain.MapDataset.source(list(units.values())).map(show)
        shown = shown.to_iter_dataset(pipeline.read_options(found.data)) if units else ()
        batches = _batches(shown, size, writer)
        while True:
            clock = time.perf_counter()
            batch = next(batches, None)
            did.waited += time.perf_counter() - clock
            if batch is None:
                break
            clock = time.perf_counter()
            pixels = [one.pixels for one in batch]
            pixels += [pixels[-1]] * (size - len(batch))  # a short batch keeps the shape
            images = parallel.shard_batch({"images": np.stack(pixels)}, found.mesh)["images"]
            maps = jax.device_get(run(found.params, images))
            took = time.perf_counter() - clock
            asked = sum(len(one.items) for one in batch)
            for one, values in zip(batch, maps, strict=False):
                draw(one, values, writer, took / asked)
            did.device += took
            did.questions += asked
            bar.update(asked)
        bar.close()
    did.seconds = time.perf_counter() - begun
    logging.info("predict: %s", did)
    return did


def _batches(shown: Iterable[Shown], size: int, writer: PredictionWriter) -> Iterator[list[Shown]]:
    """Frames of one shape, `size` of them as they fill, the rests at the end."""
    waiting: dict[tuple[int, ...], list[Shown]] = defaultdict(list)
    for one in shown:
        if one.pixels is None:
            for item in one.items:
                writer.write(item.id, None, error=one.error)
            continue
        batch = waiting[one.pixels.shape]
        batch.append(one)
        if len(batch) == size:
            yield waiting.pop(one.pixels.shape)
    yield from waiting.values()


class Pictures:
    """Draws a model's maps as the answers to questions, and writes them below `folder`."""

    def __init__(self, found: Restored, folder: Path):
        self.folder, self.processor = folder, found.processor
        self.makes = found.model.config.makes
        self.classes = getattr(found.model.config, "classes", 0)
        self.labels = list(found.meta["rows"]["labels"])

    def __call__(
        self, shown: Shown, maps: np.ndarray, writer: PredictionWriter, latency: float
    ) -> None:
        """Answers the questions about one frame; `maps` [H W C] are the model's."""
        maps = self.processor.decode(maps, shown.height, shown.width)
        if self.makes == "labels" and self.classes > 1:
            maps = _classes(maps)  # h w
        for item in shown.items:
            try:
                data = self._drawn(maps, item)
            except ValueError as error:
                writer.write(item.id, None, error=str(error), latency=latency)
                continue
            source, config, video, frame, task, part = address(item.id)
            name = f"{FOLDER}/{source}.{config}/{video}/{frame:06d}-{task}-{part}.png"
            file = self.folder / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(data)  # before the line that names it: a kill leaves no line without
            writer.write(item.id, name, latency=round(latency, 6))

    def _drawn(self, maps: np.ndarray, item: Conversation) -> bytes:
        """The PNG of one answer. Raises ValueError for what the model cannot answer."""
        if not np.isfinite(maps).all():
            raise ValueError("the model's map holds values that are not finite")
        if self.makes == "depth":
            return encoded(stretched(-maps[..., 0]))
        if self.makes == "labels":
            return _png(np.where(self._inside(maps, item), WHITE, 0).astype(np.uint8))
        rgb = np.round(np.clip(maps, 0.0, 1.0) * 255).astype(np.uint8)
        return _png(cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR))

    def _inside(self, maps: np.ndarray, item: Conversation) -> np.ndarray:
        if self.classes == 1:
            return maps[..., 0] > 0
        if len(item.options) != 1:
            return maps > 0
        (name,) = item.options
        if name not in self.labels:
            raise ValueError(f"the model knows {', '.join(self.labels)}, not '{name}'")
        return maps == self.labels.index(name) + 1


def _classes(logits: Float[np.ndarray, "h w C"]) -> Int[np.ndarray, "h w"]:
    """The number of each pixel's class: the likeliest one, where all classes together are likelier
    than none of them (number 0).

    The largest logit alone would make nothing of a pixel that is surely an instrument, but of which
    kind is open; and what is inside any class would depend on how finely classes are told apart.
    """
    some = np.logaddexp.reduce(logits[..., 1:], axis=-1) > logits[..., 0]
    return np.where(some, logits[..., 1:].argmax(-1) + 1, 0)


def _png(image: np.ndarray) -> bytes:
    done, data = cv2.imencode(".png", image, (cv2.IMWRITE_PNG_COMPRESSION, 1))
    if not done:
        raise ValueError(f"OpenCV could not encode a picture of {image.shape} as PNG")
    return data.tobytes()
