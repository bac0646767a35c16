"""The mixture: conversations of several (source, task) parts as one endless, weighted stream.

Unit number n of the stream is a pure function of (config, n), whatever its model reads.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Literal

import grain
import numpy as np

from surgzoo.data.config import DataConfig, Part
from surgzoo.data.conversations import address, conversations
from surgzoo.data.media import Stores
from surgzoo.data.units import Units
from surgzoo.db import schema
from surgzoo.db.conversation_store import DATABASE, ConversationStore, Selection, media_key
from surgzoo.db.schema import Conversation
from surgzoo.db.store import DEFAULT_CONFIG
from surgzoo.tasks.wording import Wording

ENDLESS = 1 << 48  # examples of a pool

By = Literal["conversation", "media", "video"]  # what forms a unit of the stream


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
