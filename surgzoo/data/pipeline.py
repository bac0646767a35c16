"""The input pipeline: index shuffle -> weighted mixture -> join media -> processor -> batches.

Everything is index-addressed: example number n of a run is a pure function of (config, n). So exact
resume is a start at n, the number of processes may change between runs, and any example can be
looked at again. Threads, not processes, do the work: decoding and resizing release the GIL.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from typing import Any, Literal

import grain
import numpy as np

from surgzoo.core.contract import Bucket, Example, GroupSize, Message, Processor
from surgzoo.data.conversations import address, conversations
from surgzoo.data.jpeg import Decode
from surgzoo.data.media import MediaReader, Stores
from surgzoo.data.model_reader import ModelReader
from surgzoo.data.packed import PackedRows, Piece, Place
from surgzoo.data.packing import join
from surgzoo.data.pair_config import PairConfig
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

    Of models that read no turns (`data/rows`), to which bucket, group, pack, decode and video say
    nothing:
      labels: names of the classes in the order of the model's outputs; () = those that the
        questions of the mixture admit, as they come.
      longest: frames of a video, or actions of a history, that a row has room for.
      features: name of the stored features that are read (`surgzoo extract_features`).
      augment: change pictures a little, and doubt histories, anew at every visit, as the kind of
        row allows.
      pairs: what a pair of a picture and a text is made of (`data/pair_config.py`).
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
    labels: tuple[str, ...] = ()
    longest: int = 1024
    features: str = ""
    augment: bool = False
    pairs: PairConfig = dataclasses.field(default_factory=PairConfig)


ENDLESS = 1 << 48  # examples of a pool

By = Literal["conversation", "media", "video"]  # what forms a unit of the stream


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


class Pools:
    """The units of a mixture: one pool for each place that its parts draw from.

    Attributes:
      sizes: the conversations of each part.

    Raises ValueError when the mixture, or a part of it, is empty.
    """

    def __init__(self, config: DataConfig, stores: Stores, by: By):
        if not config.mixture:
            raise ValueError(
                "the data config has an empty mixture: name at least one (source, task)"
            )
        self.sizes: dict[str, int] = {}
        self._seed, self._by = config.seed, by
        self._units: dict[Any, Units] = {}
        self._weights: dict[Any, float] = {}
        for part in config.mixture:
            items, keys = _items(part, config, stores, by)
            if not len(items):
                raise ValueError(
                    f"{part.name} (scheme {part.scheme}) has no conversation: the source has no "
                    "label for this task or no video in this split"
                )
            self.sizes[part.name] = len(items)
            # A frame's questions of all tasks form one unit; alone, the tasks are weighed.
            place = (part.source, part.config, part.split, part.scheme, part.sources)
            pool = (*place, part.task) if by == "conversation" else place
            self._weights[pool] = self._weights.get(pool, 0.0) + part.weight
            self._units.setdefault(pool, Units()).add(items, keys, part.weight)

    def __iter__(self) -> Iterator[Conversation]:
        """Every conversation once."""
        for units in self._units.values():
            for number in range(len(units)):
                for item, _ in units[number]:
                    yield item

    def stream(self) -> grain.MapDataset:
        """The endless, shuffled, weighted stream of units, each a list of conversations.

        Those about the same media stand in an order drawn anew at every visit by the weights of
        their parts, those about one video in stored order.
        """

        def ask(unit: list[tuple[Conversation, float]], rng: np.random.Generator):
            if self._by == "video":
                return [item for item, _ in unit]
            # Weighted order without replacement: sort by u ** (1 / weight) (Efraimidis, Spirakis).
            keys = [rng.random() ** (1 / weight) for _, weight in unit]
            return [unit[i][0] for i in sorted(range(len(unit)), key=lambda i: -keys[i])]

        datasets = [
            # A seed of its own, so that two pools over one source do not walk in step.
            grain.MapDataset.source(units)
            .seed(self._seed + number)
            .shuffle()
            .repeat(-(-ENDLESS // len(units)))  # without a number, mixing counts beyond 64 bits
            .random_map(ask)
            for number, units in enumerate(self._units.values())
        ]
        total = sum(self._weights.values())
        return grain.MapDataset.mix(datasets, [w / total for w in self._weights.values()])


def mixture(config: DataConfig, stores: Stores) -> tuple[grain.MapDataset, dict[str, int]]:
    """The stream of a language model's rows-to-be and the conversations of each part.

    An element is a list of conversations about the same media: all that one visit asks, in an order
    drawn anew at every visit by the parts' weights; ungrouped, a list of one.

    Raises ValueError when a part is empty.
    """
    pools = Pools(config, stores, "media" if config.group else "conversation")
    return pools.stream(), pools.sizes


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
    part: Part, config: DataConfig, stores: Stores, by: By
) -> tuple[Sequence[Conversation], np.ndarray | None]:
    """A part's conversations, and where they are to be grouped the key of each one's unit.

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
        if by == "video":
            return chosen, _video_keys(chosen)
        return chosen, store.media_keys[chosen.rows()] if by == "media" else None
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
    if by == "video":
        return items, _video_keys(items)
    keys = [media_key(item.media, item.id) for item in items] if by == "media" else None
    return items, None if keys is None else np.array(keys, np.uint64)


def _video_keys(items: Sequence[Conversation]) -> np.ndarray:
    """A number for each stored video, from the conversations' ids; the same in every part."""
    numbers: dict[tuple[str, str, str], int] = {}

    def number(video: tuple[str, str, str]) -> int:
        if video not in numbers:
            numbers[video] = media_key((), "/".join(video))
        return numbers[video]

    return np.array([number(address(item.id)[:3]) for item in items], np.uint64)


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
