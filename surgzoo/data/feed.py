"""The batches of a run, whatever its model reads."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from surgzoo.core.contract import Bucket, Message
from surgzoo.data import pipeline
from surgzoo.data.config import DataConfig
from surgzoo.data.media import Stores
from surgzoo.data.pipeline import Batches
from surgzoo.data.rows import rows_of
from surgzoo.db.schema import Conversation


def batches(
    config: DataConfig,
    architecture: Any,
    processor: Any,
    stores: Stores,
    *,
    start: int = 0,
    place: Sequence[int] | None = None,
    process_index: int = 0,
    process_count: int = 1,
) -> Batches:
    """This process's share of every batch from example number `start` on, without end.

    Example number n is a function of (config, n) for every kind of row. Raises ValueError when the
    data and the model do not fit, or a part of the mixture is empty.
    """
    if architecture.reads == "turns":
        return pipeline.training_batches(
            config,
            processor,
            stores,
            start=start,
            place=place,
            process_index=process_index,
            process_count=process_count,
        )
    share = pipeline.process_share(config, process_count)
    rows = rows_of(config, architecture, processor)
    pools = pipeline.Pools(config, stores, rows.by)
    rows.open(stores, pools)

    def make(unit: list[Conversation], rng: np.random.Generator) -> dict[str, np.ndarray]:
        try:
            return rows.row(unit, rng)
        except ValueError as error:
            raise ValueError(f"{unit[0].id}: {error}") from error

    # The seed of `stream` is taken: this one draws what a row changes, not which comes.
    stream = pools.stream().seed(config.seed + 1_000).random_map(make)
    dataset = stream[start + process_index :: process_count].batch(share)
    iterator = iter(dataset.to_iter_dataset(pipeline.read_options(config)))
    return Batches(iterator, meta=rows.meta())


def batch_shapes(
    config: DataConfig, architecture: Any
) -> dict[str, tuple[tuple[int, ...], np.dtype]]:
    """Shapes and dtypes of a batch over all processes; no data is read."""
    if architecture.reads == "turns":
        talk = [Message("user", "?"), Message("assistant", "!")]
        row = architecture.processor().encode(talk, [], bucket=Bucket(*config.bucket))
        batch = pipeline.stack([row])
        if not config.group:
            batch = pipeline.without_prefix(batch)
        spec = {name: (value.shape[1:], value.dtype) for name, value in batch.items()}
    else:
        spec = rows_of(config, architecture, architecture.processor()).spec()
    return {
        name: ((config.batch_size, *shape), np.dtype(dtype))
        for name, (shape, dtype) in spec.items()
    }
