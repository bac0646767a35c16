"""Asking a planner: which action comes next, from those that were recognised so far.

`past.py` says what a history is. Every line says where it comes from, as `decoding`.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import jax
import numpy as np
from absl import logging

from surgzoo.core import parallel
from surgzoo.data.media import Stores
from surgzoo.db.schema import Conversation
from surgzoo.evaluate.predict import Throughput
from surgzoo.evaluate.predictions import PredictionWriter
from surgzoo.evaluate.predictors.labels import check_task, labels_of, write_choice
from surgzoo.evaluate.predictors.past import TASK, Past
from surgzoo.train.experiment import EvalConfig

if TYPE_CHECKING:
    from surgzoo.evaluate.predictors.local import Restored


def answer(
    found: Restored,
    conversations: Sequence[Conversation],
    stores: Stores,
    path: str | Path,
    settings: EvalConfig,
) -> Throughput:
    """As `local.answer`; a question that admits none of the planner's actions gets a line with its
    error. Raises ValueError when `settings.history` lacks an action of a history."""
    check_task(found.name, conversations, TASK)
    labels, past = labels_of(found), Past(settings.history, stores)
    plan = jax.jit(lambda params, history: jax.nn.softmax(found.model.plan(params, history)))
    longest = found.model.config.longest
    size = parallel.whole_batch(settings.batch_size, found.mesh)
    did, begun = Throughput(), time.perf_counter()
    with PredictionWriter(path, found.name, {past.way}) as writer:
        todo = [item for item in conversations if item.id not in writer.done]
        histories = past.of(todo)
        for start in range(0, len(todo), size):
            items = todo[start : start + size]
            clock = time.perf_counter()
            rows = np.zeros((size, longest, len(labels)), np.float32)
            lengths = []
            for row, item in zip(rows, items, strict=False):
                history = histories[item.id][-longest:]
                for number, one in enumerate(history):
                    row[number] = past.believed(one, labels)
                lengths.append(len(history))
            did.waited += time.perf_counter() - clock
            clock = time.perf_counter()
            given = parallel.shard_batch({"history": rows}, found.mesh)
            said = jax.device_get(plan(found.params, given["history"]))
            took = time.perf_counter() - clock
            for row, item, length in zip(said, items, lengths, strict=False):
                latency = round(took / len(items), 6)
                write_choice(writer, item, labels, row[length], latency=latency, decoding=past.way)
            did.device += took
            did.questions += len(items)
    did.seconds = time.perf_counter() - begun
    logging.info("predict: %s", did)
    return did
