"""Asking a model that reads clips: the action of each, with the probabilities of all options."""

from __future__ import annotations

import collections
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jax
import numpy as np
import tqdm
from absl import logging

from surgzoo.core import parallel
from surgzoo.data.media import Stores
from surgzoo.data.rows.clips import ClipFrames
from surgzoo.db.schema import Conversation
from surgzoo.evaluate.predict import Throughput
from surgzoo.evaluate.predictions import PredictionWriter
from surgzoo.evaluate.predictors.labels import check_task, labels_of, write_choice
from surgzoo.train.experiment import EvalConfig

if TYPE_CHECKING:
    from surgzoo.evaluate.predictors.local import Restored

TASK = "action_recognition"


def answer(
    found: Restored,
    conversations: Sequence[Conversation],
    stores: Stores,
    path: str | Path,
    settings: EvalConfig,
) -> Throughput:
    """As `local.answer`. A clip that cannot be read, and a question that admits none of the
    model's actions, gets a line with its error and no text."""
    check_task(found.name, conversations, TASK)
    labels, read = labels_of(found), ClipFrames(stores, found.processor)
    judge = jax.jit(_judge(found.model))
    size = parallel.whole_batch(settings.batch_size, found.mesh)
    did, begun = Throughput(), time.perf_counter()
    with PredictionWriter(path, found.name) as writer:
        todo = [item for item in conversations if item.id not in writer.done]
        bar = tqdm.tqdm(total=len(todo), desc="predict", unit="clip", disable=None)
        batches = _ahead(todo, size, read, found.data.threads)
        while True:
            clock = time.perf_counter()
            batch = next(batches, None)
            if batch is None:
                break
            items, rows = [], []
            for item, future in batch:
                try:
                    rows.append(future.result())
                    items.append(item)
                except ValueError as error:
                    writer.write(item.id, None, error=str(error))
            did.waited += time.perf_counter() - clock
            if items:
                clock = time.perf_counter()
                video = np.stack(rows + rows[-1:] * (size - len(rows)))  # one shape, one program
                given = parallel.shard_batch({"video": video}, found.mesh)
                said, doubt = jax.device_get(judge(found.params, given["video"]))
                took = time.perf_counter() - clock
                for number, item in enumerate(items):
                    write_choice(
                        writer,
                        item,
                        labels,
                        said[number],
                        uncertainty=None if doubt is None else round(float(doubt[number]), 6),
                        latency=round(took / len(items), 6),
                    )
                did.device += took
                did.questions += len(items)
            bar.update(len(batch))
        bar.close()
    did.seconds = time.perf_counter() - begun
    logging.info("predict: %s", did)
    return did


def _judge(model: Any) -> Any:
    """(params, video) -> probabilities of the classes, and uncertainty where the model tells it."""
    if hasattr(model.module, "opinion"):
        return model.opinion
    return lambda params, video: (jax.nn.softmax(model.classify(params, video)), None)


def _ahead(
    todo: Sequence[Conversation], size: int, read: ClipFrames, threads: int
) -> Iterator[list[tuple[Conversation, Future]]]:
    """Batches of questions whose clips are being read, those of the next one too."""
    waiting: collections.deque[list[tuple[Conversation, Future]]] = collections.deque()
    with ThreadPoolExecutor(threads) as pool:
        for start in range(0, len(todo), size):
            items = todo[start : start + size]
            waiting.append([(item, pool.submit(read, item.media)) for item in items])
            if len(waiting) > 1:
                yield waiting.popleft()
        yield from waiting
