"""The input pipeline: index shuffle -> weighted mixture -> join media -> processor -> batches.

Everything is index-addressed: example number n of a run is a pure function of (config, n). So exact
resume is a start at n, the number of processes may change between runs, and any example can be
looked at again. Threads, not processes, do the work: decoding and resizing release the GIL.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from typing import Any

import grain
import numpy as np

from surgzoo.core.contract import Bucket, Example, GroupSize, Message, Processor
from surgzoo.data.conversations import conversations
from surgzoo.data.jpeg import Decode
from surgzoo.data.media import MediaReader, Stores
from surgzoo.data.model_reader import ModelReader
from surgzoo.data.packed import PackedRows, Piece, Place
from surgzoo.data.packing import join
from surgzoo.data.sampling import VideoConfig
from surgzoo.data.units import Units
from surgzoo.db import schema
from surgzoo.db.conversation_store import DATABASE, ConversationStore, Selection, media_key
from surgzoo.db.schema import Conversation
from surgzoo.db.store import DEFAULT_CONFIG
from surgzoo.tasks.wording import Wording


@dataclasses.dataclass(frozen=True)
class Part:
    """One (source, task) of a mixture. Weights are relative.

    The source "surg_sigma_db" is the built database: its conversations of the task, of all the
    sources that it was built from or of those that `sources` names ("cholec80" or "cholec80.fps1").
    Split schemes and wording were chosen at its building.
    """

    source: str
    task: str
    weight: float = 1.0
    config: str = ""  # of the source; "" is the usual one, or the only one that is prepared
    split: str = "train"
    scheme: str = "default"
    sources: tuple[str, ...] = ()  # of "surg_sigma_db" alone

    @property
    def name(self) -> str:
        """How messages call the part."""
        if self.source != DATABASE:
            config = f".{self.config}" if self.config else ""
            return f"{self.source}{config}/{self.task}/{self.split}"
        chosen = f"[{','.join(self.sources)}]" if self.sources else ""
        return f"{self.source}{chosen}/{self.task}/{self.split}"


@dataclasses.dataclass(frozen=True)
class DataConfig:
    """What a run is fed with.

    Attributes:
      bucket: static shape of a row, (tokens, vision patches).
      batch_size: rows a step over all devices.
      group: put the questions about one frame into one row, as many as fit (in an order drawn by
        the weights); the frame is then encoded once for all of them.
      pack: fill rows with the questions of several frames, clips and texts, which do not see each
        other; `batch_size` counts packed rows. With `group`, questions that find no room in their
        frame's row are then asked in another one instead of at another visit.
      pack_window: frames, clips and texts that are packed together. More fill the rows better and
        are planned longer before the first step.
      threads: decoding threads a process.
      decode: pixels as the reference processor has them (exact), or cheaper ones (`data/jpeg.py`).
      video: which frames of a clip are shown, and how large (`data/sampling.py`).
      seed: draws the order of everything. wording: how the questions are put.
    """

    mixture: tuple[Part, ...] = ()
    data_dir: str = "data"
    batch_size: int = 32
    bucket: tuple[int, int] = (96, 64)
    group: bool = True
    pack: bool = False
    pack_window: int = 1024
    threads: int = 2
    prefetch: int = 64
    decode: Decode = "exact"
    video: VideoConfig = dataclasses.field(default_factory=VideoConfig)
    seed: int = 0
    wording: Wording = dataclasses.field(default_factory=Wording)


def messages(conversation: Conversation) -> list[Message]:
    """Turns for a processor; the media stand at the start of the first user turn.

    With a reasoning trace the last answer takes the form of arXiv 2603.12430: the trace in <think>,
    the answer in <answer>.
    """
    turns = list(conversation.turns)
    if conversation.thinking:
        said = f"<think>{conversation.thinking}</think><answer>{turns[-1].text}</answer>"
        turns[-1] = dataclasses.replace(turns[-1], text=said)
    return [
        Message(turn.role, turn.text, images=len(conversation.media) if i == 0 else 0)
        for i, turn in enumerate(turns)
    ]


def mixture(config: DataConfig, stores: Stores) -> tuple[grain.MapDataset, dict[str, int]]:
    """The endless, shuffled, weighted stream of rows-to-be and the conversations of each part.

    An element is a list of conversations about the same media: all that one visit asks, in an order
    drawn anew at every visit by the parts' weights; ungrouped, a list of one.

    Raises ValueError when a part is empty.
    """
    if not config.mixture:
        raise ValueError("the data config has an empty mixture: name at least one (source, task)")
    pools: dict[Any, Units] = {}
    weights: dict[Any, float] = {}
    sizes: dict[str, int] = {}
    for part in config.mixture:
        items, keys = _items(part, config, stores)
        if not len(items):
            raise ValueError(
                f"{part.name} (scheme {part.scheme}) has no conversation: the source has no label "
                f"for this task or no video in this split"
            )
        sizes[part.name] = len(items)
        # Grouped, a frame's questions of all tasks form one unit; else each question is its own.
        place = (part.source, part.config, part.split, part.scheme, part.sources)
        pool = place if config.group else (*place, part.task)
        weights[pool] = weights.get(pool, 0.0) + part.weight
        pools.setdefault(pool, Units()).add(items, keys, part.weight)

    def ask(unit: list[tuple[Conversation, float]], rng: np.random.Generator):
        # Weighted order without replacement: sort by u ** (1 / weight) (Efraimidis and Spirakis).
        keys = [rng.random() ** (1 / weight) for _, weight in unit]
        return [unit[i][0] for i in sorted(range(len(unit)), key=lambda i: -keys[i])]

    datasets = [
        # A seed of its own, so that two pools over one source do not walk in step.
        grain.MapDataset.source(units).seed(config.seed + number).shuffle().repeat().random_map(ask)
        for number, units in enumerate(pools.values())
    ]
    total = sum(weights.values())
    return grain.MapDataset.mix(datasets, [w / total for w in weights.values()]), sizes


def videos(part: Part, stores: Stores) -> list[schema.Video]:
    """The videos that a part draws from."""
    if part.source == DATABASE:
        places = _chosen(part, ConversationStore.open(stores.data_dir, part.task)).videos()
        return [stores(source, config).video(name).video for source, config, name in places]
    store = stores(part.source, part.config)
    return [stored.video for stored in store.select(part.split, part.scheme)]


def _chosen(part: Part, store: ConversationStore) -> Selection:
    """A part's rows of the built database."""
    return store.select(part.split, source=part.sources or None)


def _items(
    part: Part, config: DataConfig, stores: Stores
) -> tuple[Sequence[Conversation], np.ndarray | None]:
    """A part's conversations, and the media key of each when they are to be grouped.

    Those of a prepared source are made now and held in memory; those of the database stay on disk.
    """
    if part.source == DATABASE:
        if part.scheme != "default" or part.config not in ("", DEFAULT_CONFIG):
            raise ValueError(
                f"{DATABASE}/{part.task}: scheme and config were chosen when the database was "
                "built; leave them out of the part"
            )
        if config.wording != Wording():
            raise ValueError(
                f"{DATABASE}/{part.task}: the wording was chosen when the database was built; "
                "leave `wording` out of the data config, or build with another one"
            )
        store = ConversationStore.open(config.data_dir, part.task)
        chosen = _chosen(part, store)
        return chosen, store.media_keys[chosen.rows()] if config.group else None
    if part.sources:
        raise ValueError(
            f"{part.name}: `sources` chooses among those of {DATABASE}; leave it out of this part"
        )
    items = list(
        conversations(
            stores(part.source, part.config),
            part.task,
            part.split,
            scheme=part.scheme,
            wording=config.wording,
        )
    )
    keys = [media_key(item.media, item.id) for item in items]
    return items, np.array(keys, np.uint64) if config.group else None


class Batches(Iterator[dict[str, np.ndarray]]):
    """This process's share of every batch, without end."""

    def __init__(self, batches: Iterator[dict[str, np.ndarray]], rows: PackedRows | None):
        self._batches, self._rows = batches, rows

    def __next__(self) -> dict[str, np.ndarray]:
        return next(self._batches)

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
    if config.batch_size % process_count:
        raise ValueError(
            f"batch size {config.batch_size} is not a multiple of {process_count} processes"
        )
    stream, _ = mixture(config, stores)
    read = reader(config, processor, stores)
    bucket = Bucket(*config.bucket)

    def row(unit: list[Conversation]) -> Example:
        visuals, fps = read(unit[0].media)
        try:
            talks = [messages(conversation) for conversation in unit]
            return processor.encode_group(
                talks, visuals, fps=fps, bucket=bucket, fitted=read.fitted
            )[0]
        except ValueError as error:
            clips = any(media.kind == "clip" for media in unit[0].media)
            hint = "; data.video.tokens is what a clip may take of a row" if clips else ""
            raise ValueError(f"{unit[0].id}: {error}{hint}") from error

    packed = None
    if config.pack:
        packed = PackedRows(
            stream,
            lambda unit: measure(unit, processor, read),
            bucket,
            window=config.pack_window,
            seed=config.seed,
            in_flight=(config.threads + 1) * config.batch_size,
            place=Place(*place) if place else None,
        )
        packed.place(start)  # an error of the first window is raised here, not in a thread
        rows = grain.MapDataset.source(packed)
        rows = rows[start + process_index :: process_count]
        dataset = rows.map(lambda parts: packed_row(parts, processor, read, bucket))
    else:
        dataset = stream[start + process_index :: process_count].map(row)
    dataset = dataset.batch(config.batch_size // process_count)
    if not config.group:
        dataset = dataset.map(without_prefix)
    options = grain.ReadOptions(
        num_threads=config.threads, prefetch_buffer_size=max(2, config.prefetch)
    )
    return Batches(iter(dataset.to_iter_dataset(options)), packed)


def measure(unit: Sequence[Conversation], processor: Processor, read: ModelReader) -> GroupSize:
    """What a unit would take of a row; no pixel is decoded. Raises ValueError that names it."""
    visuals, fps = read.outlines(unit[0].media)
    try:
        talks = [messages(conversation) for conversation in unit]
        return processor.measure_group(talks, visuals, fps=fps, fitted=read.fitted)
    except ValueError as error:
        raise ValueError(f"{unit[0].id}: {error}") from error


def packed_row(
    parts: Sequence[Piece], processor: Processor, read: ModelReader, bucket: Bucket
) -> Example:
    """A row of the pieces that were planned for it.

    Raises ValueError that names a piece which turns out to be of another size than was planned.
    """
    rows = []
    for items, size in parts:
        visuals, fps = read(items[0].media)
        talks = [messages(conversation) for conversation in items]
        try:
            row, count = processor.encode_group(
                talks, visuals, fps=fps, bucket=size, fitted=read.fitted
            )
        except ValueError as error:
            raise ValueError(f"{items[0].id}: {error}") from error
        if count < len(items) or not row["segments"].all():
            raise ValueError(
                f"{items[0].id}: {len(items)} conversations were planned to take {size.tokens} "
                f"tokens, and {count} of them took {int((row['segments'] > 0).sum())}: the "
                "processor's measure_group and encode_group disagree"
            )
        rows.append(row)
    return join(rows, bucket)


def reader(config: DataConfig, processor: Processor, stores: Stores) -> ModelReader:
    """Media as a run with this config shows them to its model, in training and in evaluation."""
    return ModelReader(stores, processor, decode=config.decode, video=config.video)


def without_prefix(rows: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Rows in which each prefix has one conversation: the two become one segment, and `prefix` is
    left out, which tells the model that plain segments are all there is. What a token sees stays
    the same."""
    rows = dict(rows)
    prefix = rows.pop("prefix")
    return rows | {"segments": np.where(prefix > 0, prefix, rows["segments"])}


def encode_rows(
    items: Sequence[Conversation], processor: Processor, read: MediaReader, **keywords
) -> list[Example]:
    """Rows for prompting: everything but the last answer."""
    rows = []
    for item in items:
        visuals, fps = read(item.media)
        turns = messages(item)
        if turns[-1].role == "assistant":
            turns = turns[:-1]
        row = processor.encode(
            turns, visuals, fps=fps, generate=True, fitted=read.fitted, **keywords
        )
        rows.append(row)
    return rows


def stack(rows: Sequence[dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
    """Rows of one bucket to one batch."""
    return {key: np.stack([row[key] for row in rows]) for key in rows[0]}
