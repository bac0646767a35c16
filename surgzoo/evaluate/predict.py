"""Asking a local model: conversations -> batched greedy decoding -> predictions.jsonl.

Questions that the file already answers are not asked again. Rows are encoded on threads while the
device decodes, and batched by bucket, so that each static shape compiles once.
"""

from __future__ import annotations

import concurrent.futures
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np
import tqdm

from surgzoo.core import parallel
from surgzoo.core.contract import Processor
from surgzoo.data import pipeline
from surgzoo.data.media import MediaReader
from surgzoo.db.schema import Conversation
from surgzoo.decode.greedy import make_greedy
from surgzoo.evaluate.predictions import PredictionWriter


def predict(
    model: Any,
    params: Any,
    processor: Processor,
    conversations: Sequence[Conversation],
    stores: pipeline.Stores,
    path: str | Path,
    *,
    name: str,
    mesh: Any,
    batch_size: int = 64,
    max_new_tokens: int = 64,
    threads: int = 2,
) -> int:
    """Appends one line a conversation to `path`; returns how many were asked now.

    A conversation that cannot be encoded (a frame that is corrupt, a row that no bucket holds) gets
    a line with its error and no text: it counts as wrong and is listed in the report.
    """
    generate = make_greedy(model, max_new_tokens, processor.eos_id)
    read = MediaReader(stores)
    with PredictionWriter(path, name) as writer:
        todo = [item for item in conversations if item.id not in writer.done]
        bar = tqdm.tqdm(total=len(todo), desc="predict", unit="question", disable=None)
        for items, rows in _batches(todo, processor, read, batch_size, threads, writer):
            started = time.perf_counter()
            # A short last batch is filled up with copies: the shape stays, nothing compiles anew.
            filled = rows + [rows[-1]] * (batch_size - len(rows))
            out = generate(params, parallel.shard_batch(pipeline.stack(filled), mesh))
            tokens, lengths = jax.device_get((out.tokens, out.lengths))
            latency = (time.perf_counter() - started) / len(items)
            for item, ids, length in zip(items, tokens, lengths, strict=False):
                text = processor.decode(np.asarray(ids[: int(length)]).tolist())
                writer.write(item.id, text, latency=round(latency, 6))
            bar.update(len(items))
        bar.close()
    return len(todo)


def _batches(
    todo: Sequence[Conversation],
    processor: Processor,
    read: MediaReader,
    batch_size: int,
    threads: int,
    writer: PredictionWriter,
) -> Iterator[tuple[list[Conversation], list[dict[str, np.ndarray]]]]:
    """Full batches of one bucket as they fill; the rests at the end."""

    def encode(item: Conversation):
        try:
            return item, pipeline.encode_rows([item], processor, read)[0], None
        except ValueError as error:
            return item, None, str(error)

    waiting: dict[tuple, list] = defaultdict(list)
    with concurrent.futures.ThreadPoolExecutor(threads) as pool:
        ahead = 2 * batch_size  # encoded rows that may wait for the device
        for start in range(0, len(todo), ahead):
            for item, row, error in pool.map(encode, todo[start : start + ahead]):
                if row is None:
                    writer.write(item.id, None, error=error)
                    continue
                bucket = (row["tokens"].shape, row["patches"].shape)
                waiting[bucket].append((item, row))
                if len(waiting[bucket]) == batch_size:
                    items, rows = zip(*waiting.pop(bucket), strict=True)
                    yield list(items), list(rows)
    for rest in waiting.values():
        items, rows = zip(*rest, strict=True)
        yield list(items), list(rows)
