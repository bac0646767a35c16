"""The input pipeline: index shuffle -> weighted mixture -> join media -> processor -> batches.

Everything is index-addressed: example number n of a run is a pure function of (config, n). So exact
resume is a start at n, the number of processes may change between runs, and any example can be
looked at again. Threads, not processes, do the work: decoding and resizing release the GIL.

Here is the chain; `data/mixture.py` has what it draws from, `data/turns.py` the rows it makes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import grain
import numpy as np

from surgzoo.core.contract import Bucket, Processor
from surgzoo.data.config import DataConfig
from surgzoo.data.media import Stores
from surgzoo.data.mixture import Pools
from surgzoo.data.packed import PackedRows, Place
from surgzoo.data.turns import group_row, measure, packed_row, reader, unit_of, without_prefix


class Batches(Iterator[dict[str, np.ndarray]]):
    """This process's share of every batch, without end.

    Attributes:
      meta: what who uses the model must know of the rows, such as the names of its classes.
      unit: what `size` counts: "tok", or "row".
    """

    def __init__(
        self,
        batches: Iterator[dict[str, np.ndarray]],
        rows: PackedRows | None = None,
        meta: dict[str, Any] | None = None,
    ):
        self._batches, self._rows = batches, rows
        self.meta = meta or {}
        self.unit = "tok" if meta is None else "row"

    def __next__(self) -> dict[str, np.ndarray]:
        return next(self._batches)

    def size(self, rows: dict[str, np.ndarray]) -> int:
        """Tokens without padding, or rows, of this process's share."""
        if self.unit == "tok":
            return int((rows["segments"] > 0).sum())
        return len(next(iter(rows.values())))

    def place(self, example: int) -> list[int] | None:
        """Where to start for this example, for `training_batches`; None: its number is enough."""
        return None if self._rows is None else list(self._rows.place(example))


def training_batches(
    config: DataConfig,
    processor: Processor,
    stores: Stores,
    *,
    start: int = 0,
    place: Sequence[int] | None = None,
    process_index: int = 0,
    process_count: int = 1,
) -> Batches:
    """This process's share of every batch from example number `start` on, without end.

    An example is a row. `place` is what `Batches.place(start)` gave: packed rows then start at
    once; without it all rows before `start` are planned first, with the same result.
    """
    share = process_share(config, process_count)
    stream = Pools(config, stores, unit_of(config)).stream()
    read = reader(config, processor, stores)
    bucket = Bucket(*config.bucket)
    packed = None
    if config.pack:
        packed = PackedRows(
            stream,
            lambda unit: measure(unit, processor, read),
            bucket,
            window=config.pack_window,
            seed=config.seed,
            # Without prefixes a row may go to a kernel that is told of so many segments, padding
            # among them, and gives NaN for more.
            most=None if config.group else processor.most_segments - 1,
            in_flight=(config.threads + 1) * config.batch_size,
            place=Place(*place) if place else None,
        )
        packed.place(start)  # an error of the first window is raised here, not in a thread
        rows = grain.MapDataset.source(packed)
        rows = rows[start + process_index :: process_count]
        dataset = rows.map(lambda parts: packed_row(parts, processor, read, bucket))
    else:
        units = stream[start + process_index :: process_count]
        dataset = units.map(lambda unit: group_row(unit, processor, read, bucket))
    dataset = dataset.batch(share)
    if not config.group:
        dataset = dataset.map(without_prefix)
    return Batches(iter(dataset.to_iter_dataset(read_options(config))), packed)


def process_share(config: DataConfig, process_count: int) -> int:
    """Rows of a batch that one process makes. Raises ValueError when they do not divide."""
    if config.batch_size % process_count:
        raise ValueError(
            f"batch size {config.batch_size} is not a multiple of {process_count} processes"
        )
    return config.batch_size // process_count


def read_options(config: DataConfig) -> grain.ReadOptions:
    """Threads, and how far they may be ahead."""
    return grain.ReadOptions(
        num_threads=config.threads, prefetch_buffer_size=max(2, config.prefetch)
    )


def stack(rows: Sequence[dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
    """Rows of one bucket to one batch."""
    return {key: np.stack([row[key] for row in rows]) for key in rows[0]}
