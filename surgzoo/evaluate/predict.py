"""Asking a local model: conversations -> batched decoding -> predictions.jsonl.

The questions about one frame stand in one row, so that the frame is decoded, encoded and read once
for all of them. Questions that the file already answers are not asked again. Rows are encoded on
threads while the device decodes, and batched by length, so that each static shape compiles once.
"""

from __future__ import annotations

import collections
import concurrent.futures
import dataclasses
import itertools
import time
from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np
import tqdm
from absl import logging

from surgzoo.core import parallel
from surgzoo.core.contract import Processor
from surgzoo.core.pattern import Pattern
from surgzoo.data import pipeline, prompts, turns
from surgzoo.data.config import DataConfig
from surgzoo.data.media import MediaReader, Stores
from surgzoo.data.prompts import Encoded
from surgzoo.db.schema import Conversation
from surgzoo.decode.constrained import Rules
from surgzoo.decode.sampling import keys_of
from surgzoo.decode.settings import Decoding
from surgzoo.evaluate.predictions import PredictionWriter
from surgzoo.tasks import tasks


@dataclasses.dataclass
class Throughput:
    """What was asked now and how long it took. Seconds of compilation count with the device's.

    Attributes:
      prompt_tokens: tokens that the model read, what questions share once, padding not.
      waited: seconds in which the device had nothing to do, because no batch was encoded yet.
    """

    questions: int = 0
    prompt_tokens: int = 0
    new_tokens: int = 0
    seconds: float = 0.0
    waited: float = 0.0
    device: float = 0.0

    def __str__(self) -> str:
        seconds = max(self.seconds, 1e-9)
        return (
            f"{self.questions} questions in {self.seconds:.1f} s: "
            f"{self.questions / seconds:.1f} questions/s, "
            f"{self.prompt_tokens / seconds:.0f} prompt tokens/s, "
            f"{self.new_tokens / seconds:.0f} new tokens/s; "
            f"{self.device / seconds:.0%} of the time on the device, "
            f"{self.waited / seconds:.0%} waiting for rows"
        )


def predict(
    model: Any,
    params: Any,
    processor: Processor,
    conversations: Sequence[Conversation],
    stores: Stores,
    path: str | Path,
    *,
    name: str,
    mesh: Any,
    batch_size: int = 64,
    max_new_tokens: int = 64,
    threads: int = 2,
    group: int = 8,
    data: DataConfig | None = None,
    decoding: Decoding | None = None,
) -> Throughput:
    """Appends one line a conversation to `path`; returns what was asked now.

    Args:
      batch_size: questions that are decoded at a time.
      group: as many questions about one frame may share a row. 0: none do, and rows have the
        lengths of the processor's buckets; what grouping is measured against.
      data: of the run, for how media were shown to the model; None = as a `DataConfig()` does.
      decoding: default greedy. Every line says how its answer was decoded.

    A conversation that cannot be encoded (a frame that is corrupt, a row that no bucket holds) gets
    a line with its error and no text: it counts as wrong and is listed in the report.
    """
    decoding = decoding or Decoding()
    generate = decoding.make(model, max_new_tokens, processor.eos_id)
    rules = None
    if decoding.constrained:
        rules = Rules(processor.vocabulary(), processor.eos_id, max_new_tokens)
    read = turns.reader(data or DataConfig(), processor, stores)
    did, begun = Throughput(), time.perf_counter()

    def encode(unit: list[Conversation]) -> list[Encoded]:
        return (
            prompts.encode_unit(unit, processor, read) if group else _alone(unit, processor, read)
        )

    ways = {decoding.words(bound) for bound in (False, decoding.constrained)}
    with PredictionWriter(path, name, ways) as writer:
        todo = [item for item in conversations if item.id not in writer.done]
        units = prompts.units(todo, max(group, 1)) if group else [[item] for item in todo]
        bar = tqdm.tqdm(total=len(todo), desc="predict", unit="question", disable=None)
        ahead = -(-2 * batch_size // max(group, 1))
        encoded = itertools.chain.from_iterable(_on_threads(encode, units, threads, ahead))
        batches = _batches(encoded, batch_size, mesh, writer)
        while True:
            clock = time.perf_counter()
            batch = next(batches, None)
            did.waited += time.perf_counter() - clock
            if batch is None:
                break
            items, rows = batch
            clock = time.perf_counter()
            patterns = [_pattern(item) if rules else None for item in items]
            batch, tables = _with_choice(pipeline.stack(rows), items, patterns, decoding, rules)
            out = generate(params, parallel.shard_batch(batch, mesh), *tables)
            tokens, lengths = jax.device_get((out.tokens, out.lengths))
            took = time.perf_counter() - clock
            asked = [n for n, item in enumerate(items) if item is not None]
            for n in asked:
                text = processor.decode(tokens[n, : lengths[n]].tolist())
                way = decoding.words(patterns[n] is not None)
                writer.write(items[n].id, text, latency=round(took / len(asked), 6), decoding=way)
            did.device += took
            did.questions += len(asked)
            did.new_tokens += int(lengths[asked].sum())
            did.prompt_tokens += sum(int((row["segments"] > 0).sum()) for row in rows)
            did.seconds = time.perf_counter() - begun
            bar.set_postfix_str(f"{did.questions / did.seconds:.1f} questions/s", refresh=False)
            bar.update(len(asked))
        bar.close()
    did.seconds = time.perf_counter() - begun
    logging.info("predict: %s", did)
    return did


def _pattern(item: Conversation | None) -> Pattern | None:
    """What the answer to a question may look like; None where nothing is asked or all goes."""
    return None if item is None else tasks.get(item.task)().pattern(item)


def _with_choice(
    batch: dict[str, Any],
    items: Sequence[Conversation | None],
    patterns: Sequence[Pattern | None],
    decoding: Decoding,
    rules: Rules | None,
) -> tuple[dict[str, Any], tuple[Any, ...]]:
    """The batch with what its answers are chosen by, and the tables of its rules, if any."""
    shape, tables = (len(batch["tokens"]), -1), ()
    if decoding.temperature:
        keys = keys_of(("" if item is None else item.id for item in items), decoding.seed)
        batch = batch | {"keys": keys.reshape(*shape, 2)}
    if rules is not None:
        starts, found = rules.of(patterns)
        tables = (found,)
        batch = batch | {"rules": starts.reshape(shape)}
    return batch, tables


def _alone(unit: Sequence[Conversation], processor: Processor, read: MediaReader) -> list[Encoded]:
    """Each conversation in a row of its own, in the smallest of the processor's buckets."""
    out = []
    for item in unit:
        try:
            out.append(Encoded([item], prompts.encode_rows([item], processor, read)[0]))
        except ValueError as error:
            out.append(Encoded([item], None, str(error)))
    return out


def _on_threads(
    encode: Callable[[list[Conversation]], list[Encoded]],
    units: Iterable[list[Conversation]],
    threads: int,
    ahead: int,
) -> Iterator[list[Encoded]]:
    """The units encoded, in their order; at most `ahead` wait for the device."""
    with concurrent.futures.ThreadPoolExecutor(threads) as pool:
        futures: collections.deque = collections.deque()
        for unit in units:
            futures.append(pool.submit(encode, unit))
            if len(futures) > ahead:
                yield futures.popleft().result()
        while futures:
            yield futures.popleft().result()


def _batches(
    encoded: Iterable[Encoded], batch_size: int, mesh: Any, writer: PredictionWriter
) -> Iterator[tuple[list[Conversation | None], list[dict[str, np.ndarray]]]]:
    """Full batches of one static shape as they fill; the rests at the end.

    The conversations stand as their answers will: G to a row, None where a row has fewer.
    """

    def full(slots: int) -> int:
        return parallel.whole_batch(max(1, batch_size // slots), mesh)

    waiting: dict[tuple[int, int, int], list[Encoded]] = defaultdict(list)
    used: set[tuple[int, int, int]] = set()
    for one in encoded:
        if one.row is None:
            for item in one.items:
                writer.write(item.id, None, error=one.error)
            continue
        shape = _shape(one.row)
        waiting[shape].append(one)
        if len(waiting[shape]) == full(shape[2]):
            used.add(shape)
            yield _fill(waiting.pop(shape), shape[2], full(shape[2]))

    # The rests of all lengths go together where they can, in a shape that was used before if one
    # is large enough: none compiles for a few rows.
    rests: dict[Hashable, list[Encoded]] = defaultdict(list)
    for shape, rest in waiting.items():
        rests[shape[1] if "ends" in rest[0].row else shape] += rest
    for rest in rests.values():
        shapes = [_shape(one.row) for one in rest]
        tokens, slots = max(s[0] for s in shapes), max(s[2] for s in shapes)
        known = [s for s in used if s[0] >= tokens and s[1] == shapes[0][1] and s[2] >= slots]
        tokens, _, slots = min(known, default=(tokens, 0, slots))
        rest = [one._replace(row=prompts.resize(one.row, tokens, slots)) for one in rest]
        for start in range(0, len(rest), full(slots)):
            yield _fill(rest[start : start + full(slots)], slots, full(slots))


def _shape(row: dict[str, np.ndarray]) -> tuple[int, int, int]:
    """Tokens, patches and questions."""
    return len(row["tokens"]), len(row["patches"]), len(row.get("ends", (0,)))


def _fill(
    batch: list[Encoded], slots: int, size: int
) -> tuple[list[Conversation | None], list[dict[str, np.ndarray]]]:
    """A short batch is filled up with copies: the shape stays, nothing compiles anew."""
    items = [[*one.items, *[None] * (slots - len(one.items))] for one in batch]
    rows = [one.row for one in batch]
    copy = dict(rows[-1])
    if "ends" in copy:
        copy["ends"] = np.full_like(copy["ends"], -1)  # asks nothing
    short = size - len(rows)
    return [item for row in items for item in row] + [None] * (slots * short), rows + [copy] * short
