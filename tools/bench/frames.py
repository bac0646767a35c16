"""Frames with several questions each, for the programs that compare ways to ask them."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from surgzoo.configs.synthsurg import TASKS
from surgzoo.data.conversations import conversations
from surgzoo.data.media import Stores
from surgzoo.data.prompts import static_length
from surgzoo.datasets.source_builder import prepare
from surgzoo.db.schema import Conversation
from surgzoo.db.sources import sources
from surgzoo.db.store import NotPreparedError, Store
from surgzoo.evaluate.predictors.questions import take
from surgzoo.tasks.wording import Wording
from surgzoo.tools.bench.synthetic import small

SOURCE = "synthsurg"


def small_source(data_dir: Path) -> Stores:
    """The small config of the rendered source; rendered in seconds where it is not yet."""
    try:
        Store.open(data_dir, SOURCE, "small")
    except NotPreparedError:
        prepare(sources.get(SOURCE), data_dir, config="small")
    return Stores(data_dir)


def questions(
    stores: Stores,
    split: str,
    frames: int,
    each: int,
    tasks: Sequence[str] = tuple(TASKS),
    source: str = SOURCE,
    wording: Wording | None = None,
) -> list[Conversation]:
    """`each` questions about each of `frames` frames, evenly spaced over the split.

    Asked are the tasks in as many wordings as it takes. The questions stand task by task, as an
    evaluation has them. Raises ValueError when the split has too few frames or questions.
    """
    found: dict[Any, list[tuple[int, Conversation]]] = {}
    fewest = 0
    for seed in range(each):  # another wording of every question
        worded = dataclasses.replace(wording or Wording(), seed=seed)
        for number, task in enumerate(tasks):
            for item in conversations(stores(source), task, split, wording=worded):
                head, part = item.id.rsplit("/", 1)
                item = dataclasses.replace(item, id=f"{head}/{int(part) + 1000 * seed}")
                found.setdefault(item.media, []).append((number, item))
        fewest = min(len(items) for items in found.values())
        if fewest >= each:
            break
    if fewest < each:
        raise ValueError(f"a frame has only {fewest} questions; ask for fewer with --questions")
    if frames > len(found):
        raise ValueError(f"{source}/{split} has {len(found)} frames; ask for fewer with --frames")
    chosen = [pair for items in take(list(found.values()), frames) for pair in items[:each]]
    return [item for _, item in sorted(chosen, key=lambda pair: pair[0])]


def small_model(longest: int = 1024) -> Any:
    """The model of the other rows on a CPU, at 224 x 224 pixels: 256 patches, 64 image tokens.

    Its rows come in every static length up to `longest`, so that neither way of asking computes
    much padding.
    """
    lengths, length = [], 0
    while length < longest:
        length = static_length(length + 1)
        lengths.append(length)
    return small(image_size=224, buckets=tuple((length, 256) for length in lengths))
