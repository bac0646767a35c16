"""Counting: one pass over all annotations, memory flat in the number of conversations."""

from __future__ import annotations

import collections
import dataclasses
import functools
import hashlib
import heapq
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from surgzoo.db import ontology, records
from surgzoo.db.conversation_store import ConversationStore
from surgzoo.db.schema import Conversation
from surgzoo.db.store import Store
from surgzoo.tasks import tasks as registry
from surgzoo.tasks.base import Context, Task
from surgzoo.tasks.wording import Wording

SPLITS = ("train", "val", "test", "")
GRID = 24  # cells a side of the heat maps of boxes
SIZES = 12  # bins of the square root of a box's area, from 0 to 1
LENGTHS = (5, 10, 20, 40, 80, 160, 320)  # words; upper ends of the bins, the last one open


class Cell(NamedTuple):
    """What conversations are counted by."""

    task: str
    source: str
    specialty: str
    split: str


@dataclasses.dataclass
class Boxes:
    """Where boxes are and how large.

    Attributes:
      cover: (GRID, GRID) share of the boxes that cover a cell's centre, times their number.
      sizes: (SIZES,) boxes by the square root of their area.
      count: boxes in all.
    """

    cover: np.ndarray = dataclasses.field(default_factory=lambda: np.zeros((GRID, GRID)))
    sizes: np.ndarray = dataclasses.field(default_factory=lambda: np.zeros(SIZES, np.int64))
    count: int = 0

    def add(self, box: Sequence[float]) -> None:
        x1, y1, x2, y2 = box
        centres = (np.arange(GRID) + 0.5) / GRID
        rows = (centres >= y1) & (centres < y2)
        columns = (centres >= x1) & (centres < x2)
        self.cover += rows[:, None] & columns[None, :]
        size = ((x2 - x1) * (y2 - y1)) ** 0.5
        self.sizes[min(int(size * SIZES), SIZES - 1)] += 1
        self.count += 1


@dataclasses.dataclass
class SourceFacts:
    """One prepared source ("source.config").

    `absent` videos have labels and no media; `reasons` are theirs and those of what is broken.
    """

    name: str
    version: str
    videos: int = 0
    frames: int = 0
    seconds: float = 0.0
    quarantined: int = 0
    absent: int = 0
    reasons: collections.Counter = dataclasses.field(default_factory=collections.Counter)
    licences: collections.Counter = dataclasses.field(default_factory=collections.Counter)
    procedures: collections.Counter = dataclasses.field(default_factory=collections.Counter)
    specialties: collections.Counter = dataclasses.field(default_factory=collections.Counter)
    splits: collections.Counter = dataclasses.field(default_factory=collections.Counter)


@dataclasses.dataclass
class Collection:
    """Everything that the card shows.

    Attributes:
      cells: Cell -> conversations. sources: the prepared sources. operations: canonical videos.
      labels: task -> label -> how often it is (part of) an answer.
      boxes: task -> Boxes. derived: task -> how an answer was derived -> conversations.
      put: task -> "listed choices", "first exchange", "reasoning" -> conversations.
      words: (task, "question" | "answer") -> counts over the bins of LENGTHS.
      samples: task -> a few conversations, the same ones every time.
      held: task -> quality gate -> conversations that it held back; of a built database alone.
    """

    scheme: str
    cells: collections.Counter
    sources: list[SourceFacts]
    operations: int
    labels: dict[str, collections.Counter]
    boxes: dict[str, Boxes]
    derived: dict[str, collections.Counter]
    put: dict[str, collections.Counter]
    words: dict[tuple[str, str], np.ndarray]
    samples: dict[str, list[Conversation]]
    held: dict[str, collections.Counter]

    @classmethod
    def empty(cls, scheme: str) -> Collection:
        def counters() -> dict[str, collections.Counter]:
            return collections.defaultdict(collections.Counter)

        return cls(
            scheme=scheme,
            cells=collections.Counter(),
            sources=[],
            operations=0,
            labels=counters(),
            boxes=collections.defaultdict(Boxes),
            derived=counters(),
            put=counters(),
            words=collections.defaultdict(lambda: np.zeros(len(LENGTHS) + 1, np.int64)),
            samples={},
            held=counters(),
        )

    @property
    def tasks(self) -> list[str]:
        """Tasks with at least one conversation, in the registry's order."""
        present = {cell.task for cell in self.cells}
        return [name for name in registry.names() if name in present]

    def total(self, **wanted: str) -> int:
        """Conversations whose cell has these values: total(task="...", split="test")."""
        return sum(
            count
            for cell, count in self.cells.items()
            if all(getattr(cell, key) == value for key, value in wanted.items())
        )

    def values(self, field: str) -> list[str]:
        """The values that a field of the cells takes: splits in their order, others sorted."""
        found = {getattr(cell, field) for cell in self.cells}
        return [s for s in SPLITS if s in found] if field == "split" else sorted(found)


def collect(
    stores: Iterable[Store],
    names: Sequence[str] | None = None,
    *,
    scheme: str = "default",
    wording: Wording | None = None,
    samples: int = 6,
    progress: Callable[[str], None] | None = None,
) -> Collection:
    """Counts all conversations of the tasks (default: all registered ones) on all splits.

    `progress` is called with the name of every video. Raises UnknownNameError for a task, and
    ValueError for a split scheme that a source does not have and for a source given twice.
    """
    encoders = {name: registry.get(name)() for name in (names or registry.names())}
    found = Collection.empty(scheme)
    kept = {name: _Kept(samples) for name in encoders}
    operations: set[str] = set()
    for store in stores:
        store.check_scheme(scheme)
        facts = _facts(store)
        if any(facts.name == other.name for other in found.sources):
            raise ValueError(f"the source {facts.name} is given twice")
        for stored in store.videos:
            if progress:
                progress(stored.video.id)
            _video(facts, stored, store.split_of(stored, scheme) or "")
            operations.add(stored.video.canonical)
            for conversation in _conversations(store, stored, encoders, scheme, wording):
                _count(found, encoders[conversation.task], conversation, stored)
                kept[conversation.task].offer(conversation)
        found.sources.append(facts)
    found.operations = len(operations)
    found.samples = {name: k.items() for name, k in kept.items() if k.items()}
    return found


def collect_built(
    built: Sequence[ConversationStore],
    stores: Callable[[str, str], Store],
    *,
    samples: int = 6,
    progress: Callable[[str], None] | None = None,
) -> Collection:
    """Counts what a built database holds: its tasks with the splits and wording of its building.

    `progress` is called with the name of every video of every task. Raises NotPreparedError where a
    source of the database is gone.
    """
    schemes = {f"{s['source']}={s['scheme']}": None for b in built for s in b.meta["sources"]}
    found = Collection.empty(", ".join(schemes))
    facts: dict[str, SourceFacts] = {}
    seen: dict[tuple[str, str], str] = {}  # (source, video) -> operation
    for table in built:
        encoder, kept = registry.get(table.task)(), _Kept(samples)
        found.held[table.task].update(table.meta["quarantined"])
        for number, video in enumerate(table.videos.tolist()):
            if progress:
                progress(video)
            name = table.sources[table.source_of[number]]
            store = stores(*name.split(".", 1))
            stored = store.video(video)
            if name not in facts:
                facts[name] = _facts(store)
            if (name, video) not in seen:
                _video(facts[name], stored, str(table.splits[number]))
                seen[name, video] = str(table.canonical[number])
            first = int(table.first[number])
            for row in range(first, first + int(table.count[number])):
                conversation = table[row]
                _count(found, encoder, conversation, stored)
                kept.offer(conversation)
        if kept.items():
            found.samples[table.task] = kept.items()
    found.sources = [facts[name] for name in sorted(facts)]
    found.operations = len(set(seen.values()))
    return found


def _conversations(
    store: Store,
    stored: records.StoredVideo,
    encoders: dict[str, Task],
    scheme: str,
    wording: Wording | None,
) -> Iterator[Conversation]:
    split = store.split_of(stored, scheme) or ""
    context = Context(store.config, stored.video, split, wording or Wording())
    footage = store.footage(stored)
    for encoder in encoders.values():
        yield from encoder.encode_video(footage, context)


def _video(facts: SourceFacts, stored: records.StoredVideo, split: str) -> None:
    video = stored.video
    facts.videos += 1
    facts.frames += stored.count
    facts.seconds += video.duration or stored.count / video.fps
    facts.licences[video.licence] += 1
    facts.procedures[video.procedure] += 1
    facts.specialties[video.specialty] += 1
    facts.splits[split] += 1


def _facts(store: Store) -> SourceFacts:
    """Names, and what was held back when the source was prepared; videos are counted in later."""
    facts = SourceFacts(f"{store.source}.{store.config}", store.path.name)
    for item in store.quarantined():
        facts.quarantined += not item.absent
        facts.absent += item.absent
        facts.reasons[item.reason] += 1
    return facts


def _count(
    found: Collection, task: Task, conversation: Conversation, stored: records.StoredVideo
) -> None:
    name, video = task.name, stored.video
    found.cells[Cell(name, video.source, video.specialty, conversation.split)] += 1
    for label in labels(task, conversation.answer):
        found.labels[name][label] += 1
    for _, box in boxes_of(task, conversation.answer):
        found.boxes[name].add(box)
    if conversation.derived:
        found.derived[name][conversation.derived] += 1
    found.put[name]["listed choices"] += bool(conversation.choices)
    found.put[name]["first exchange"] += len(conversation.turns) > 2
    found.put[name]["reasoning"] += conversation.thinking is not None
    for what, text in (("question", conversation.prompt), ("answer", conversation.target)):
        found.words[name, what][np.searchsorted(LENGTHS, len(text.split()))] += 1


def labels(task: Task, answer: Any) -> list[str]:
    """The labels that an answer is made of; [] for forms without labels (text, seconds, pixels)."""
    match task.answer_form:
        case "label":
            return [answer]
        case "labels":
            return list(answer) or ["none"]
        case "boxes":
            return [name for name, _ in answer] or ["none"]
        case "triplets":
            return [" ".join(filter(None, parts)) for parts in answer] or ["none"]
        case "criteria":
            return [f"{name}: {'yes' if met else 'no'}" for name, met in answer]
    return []


def boxes_of(task: Task, answer: Any) -> list[tuple[str, Sequence[float]]]:
    """(label, box) of an answer; the box of a free answer has the label ""."""
    if task.answer_form == "boxes":
        return [(name, box) for name, box in answer]
    if task.answer_form == "vqa" and answer["box"] is not None:
        return [("", answer["box"])]
    return []


class _Kept:
    """The few conversations with the smallest hash of their id: a sample that never changes."""

    def __init__(self, size: int):
        self.size = size
        self._heap: list[tuple[int, str, Conversation]] = []

    def offer(self, conversation: Conversation) -> None:
        digest = hashlib.blake2b(conversation.id.encode(), digest_size=8).digest()
        entry = (-int.from_bytes(digest, "little"), conversation.id, conversation)
        if len(self._heap) < self.size:
            heapq.heappush(self._heap, entry)
        elif self._heap and entry > self._heap[0]:
            heapq.heapreplace(self._heap, entry)

    def items(self) -> list[Conversation]:
        return [conversation for *_, conversation in sorted(self._heap, reverse=True)]


@functools.cache
def shown(kind: str, concept: str) -> str:
    """A concept's name; one that the ontology lacks (a plug-in's) as it is."""
    known = ontology.concepts().get((kind, concept))
    return known.name if known else concept
