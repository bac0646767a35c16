"""Asking a planner: which action comes next, from those that were recognised so far.

The history of a question is what `action_recognition` asks of the video up to the end of the clip
that the question shows last. Its answers are the true ones, or those of a predictions file, whose
probabilities are taken where it has them. Every line says which, as `decoding`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import jax
import numpy as np
from absl import logging
from jaxtyping import Float

from surgzoo.core import parallel
from surgzoo.data.conversations import address, of_video
from surgzoo.data.media import Stores
from surgzoo.data.rows.histories import seen
from surgzoo.db.schema import Conversation
from surgzoo.evaluate.grade import read_answer
from surgzoo.evaluate.predict import Throughput
from surgzoo.evaluate.predictions import Prediction, PredictionWriter, read_predictions
from surgzoo.evaluate.predictors.labels import check_task, choose, labels_of
from surgzoo.tasks import tasks
from surgzoo.train.experiment import EvalConfig

if TYPE_CHECKING:
    from surgzoo.evaluate.predictors.local import Restored

TASK, HISTORY = "next_action", "action_recognition"
TRUE = "from the true actions so far"

Believed = Callable[[Conversation], Float[np.ndarray, " A"]]  # probabilities of what was done


def answer(
    found: Restored,
    conversations: Sequence[Conversation],
    stores: Stores,
    path: str | Path,
    settings: EvalConfig,
) -> Throughput:
    """As `local.answer`. Raises ValueError when `settings.history` lacks an action of a history."""
    check_task(found, conversations, TASK)
    labels = labels_of(found)
    believed, way = _believed(settings.history, labels)
    plan = jax.jit(lambda params, history: jax.nn.softmax(found.model.plan(params, history)))
    longest = found.model.config.longest
    size = parallel.whole_batch(settings.batch_size, found.mesh)
    did, begun = Throughput(), time.perf_counter()
    with PredictionWriter(path, found.name, {way}) as writer:
        todo = [item for item in conversations if item.id not in writer.done]
        past = _histories(todo, stores)
        for start in range(0, len(todo), size):
            items = todo[start : start + size]
            clock = time.perf_counter()
            rows = np.zeros((size, longest, len(labels)), np.float32)
            lengths = []
            for row, item in zip(rows, items, strict=False):
                history = past[item.id][-longest:]
                for number, one in enumerate(history):
                    row[number] = believed(one)
                lengths.append(len(history))
            did.waited += time.perf_counter() - clock
            clock = time.perf_counter()
            given = parallel.shard_batch({"history": rows}, found.mesh)
            said = jax.device_get(plan(found.params, given["history"]))
            took = time.perf_counter() - clock
            for row, item, length in zip(said, items, lengths, strict=False):
                text, scores = choose(item, labels, row[length])
                latency = round(took / len(items), 6)
                writer.write(item.id, text, scores=scores, latency=latency, decoding=way)
            did.device += took
            did.questions += len(items)
    did.seconds = time.perf_counter() - begun
    logging.info("predict: %s", did)
    return did


def _histories(questions: Sequence[Conversation], stores: Stores) -> dict[str, list[Conversation]]:
    """Id of a question -> what was asked about actions so far, the first first."""
    videos: dict[tuple[str, str, str], list[Conversation]] = {}
    for item in questions:
        videos.setdefault(address(item.id)[:3], []).append(item)
    out = {}
    for (source, config, video), items in videos.items():
        store = stores(source, config)
        actions = list(of_video(store, HISTORY, store.video(video), items[0].split))
        out |= {item.id: seen(item, actions) for item in items}
    return out


def _believed(path: str, labels: Sequence[str]) -> tuple[Believed, str]:
    """What is believed of an action of a history, and in words where that comes from."""
    place = {name: number for number, name in enumerate(labels)}
    certain = np.eye(len(labels), dtype=np.float32)
    nothing = np.full(len(labels), 1 / len(labels), np.float32)

    def named(name: str, of: Conversation) -> Float[np.ndarray, " A"]:
        if name not in place:
            raise ValueError(
                f"{of.id} is '{name}', which the planner does not know ({', '.join(labels)})"
            )
        return certain[place[name]]

    if not path:
        return lambda item: named(item.answer, item), TRUE
    given = {found.id: found for found in read_predictions(path)}
    models = sorted({found.model or "?" for found in given.values()})
    rule = tasks.get(HISTORY)()

    def recognised(item: Conversation) -> Float[np.ndarray, " A"]:
        found: Prediction | None = given.get(item.id)
        if found is None:
            raise ValueError(
                f"{path} has no answer to {item.id}, which a history needs: let the model that "
                f"wrote it answer {HISTORY} of the same split first, all of it"
            )
        if not found.scores:
            said = read_answer(found, item, rule).answer
            return nothing if said is None else named(said, item)
        row = np.zeros(len(labels), np.float32)
        for name, score in found.scores.items():
            if name in place:
                row[place[name]] = score
        if not row.any():
            raise ValueError(
                f"{path}: the scores of {item.id} name none of the planner's actions "
                f"({', '.join(labels)})"
            )
        return row / row.sum()

    return recognised, f"from the actions so far as {', '.join(models)} recognised them"
