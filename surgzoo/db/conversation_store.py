"""Reading the built database: conversations by row number, picked by split, source and video.

A task of SurgΣ-DB is one TFDS folder, `<data_dir>/surg_sigma_db/<task>/<version>/`, written by
`surgzoo build_db`: array_record shards with one conversation a record, sorted by source, video,
frame and part, and beside them

  index.jsonl       one line a video: where it comes from, its split, its rows (first, count)
  media.u64         one number a row, a hash of its media: rows about one frame share it
  database.json     how it was built: sources with versions, split schemes, wording, gates, counts
  quarantine.jsonl  conversations that a quality gate held back, each with the reason

As all rows of a video stand together, a split is a few ranges of rows and not a list of them: what
is held in memory grows with the videos, not with the conversations. Reading needs neither the
builder nor TensorFlow.
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import json
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from surgzoo.db import schema
from surgzoo.db.schema import Conversation
from surgzoo.db.store import NotPreparedError, newest

DATABASE = "surg_sigma_db"
SPLIT = "conversations"  # of TFDS; train, val and test are data, as in a prepared source
INDEX_FILE = "index.jsonl"
MEDIA_FILE = "media.u64"
META_FILE = "database.json"
FEATURE = "conversation"


@dataclasses.dataclass(frozen=True)
class Place:
    """One video's rows in a task: first .. first + count - 1."""

    source: str
    config: str
    video: str
    canonical: str
    split: str
    first: int
    count: int


def media_key(media: tuple[schema.Media, ...], conversation_id: str = "") -> int:
    """64 bits that tell what a conversation looks at; equal for all questions about one frame.

    Conversations in words alone look at nothing, which is not one thing that they share: each has
    the key of its id.
    """
    text = schema.to_json(media) if media else conversation_id
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little")


class ConversationStore:
    """Random access to the conversations of one task.

    Attributes:
      path: the TFDS folder. task: its name. meta: database.json.
      sources: names as "source.config"; `source_of` indexes them.
      videos: ids, (P,) str; one entry a video that has conversations, as the arrays below.
      canonical: (P,) str. splits: (P,) str. source_of: (P,) int.
      first, count: (P,) int64, rows of the video.
    """

    def __init__(self, path: str | Path):
        self.path = Path(path)
        self.task = self.path.parts[-2]
        if not (self.path / META_FILE).exists():
            raise NotPreparedError(
                f"{self.path / META_FILE} is missing: the build of '{self.task}' did not end. Run "
                f"`surgzoo build_db --tasks={self.task} --overwrite` again."
            )
        self.meta = json.loads((self.path / META_FILE).read_text(encoding="utf-8"))
        with open(self.path / INDEX_FILE, encoding="utf-8") as file:
            rows = [json.loads(line) for line in file]
        names = [f"{row['source']}.{row['config']}" for row in rows]
        self.sources = tuple(dict.fromkeys(names))
        number = {name: i for i, name in enumerate(self.sources)}
        self.source_of = np.array([number[name] for name in names], np.int32)
        self.videos = np.array([row["video"] for row in rows], np.str_)
        self.canonical = np.array([row["canonical"] for row in rows], np.str_)
        self.splits = np.array([row["split"] for row in rows], np.str_)
        self.first = np.array([row["first"] for row in rows], np.int64)
        self.count = np.array([row["count"] for row in rows], np.int64)

    @classmethod
    def open(cls, data_dir: str | Path, task: str) -> ConversationStore:
        """The newest version of a built task. NotPreparedError says what to run."""
        root = Path(data_dir).expanduser() / DATABASE
        path = newest(root / task)
        if path is None:
            built = sorted(p.name for p in root.glob("*") if newest(p))
            extra = f" (built tasks: {', '.join(built)})" if built else ""
            raise NotPreparedError(
                f"the task '{task}' is not in a database in {data_dir}{extra}. Run `surgzoo "
                f"build_db --sources=NAME --tasks={task} --data_dir={data_dir}`."
            )
        return cls(path)

    @functools.cached_property
    def _reader(self):
        import tensorflow_datasets as tfds

        return tfds.builder_from_directory(self.path).as_data_source(split=SPLIT)

    def __getstate__(self):
        """Workers open their own reader."""
        hidden = ("_reader", "media_keys")
        return {key: value for key, value in self.__dict__.items() if key not in hidden}

    def __len__(self) -> int:
        return int(self.first[-1] + self.count[-1]) if len(self.first) else 0

    def __getitem__(self, row: int) -> Conversation:
        if not -len(self) <= row < len(self):
            raise IndexError(f"{self.task}: row {row} of {len(self)} in {self.path}")
        record = self._reader[int(row) % len(self)]
        return schema.from_json(Conversation, record[FEATURE].decode())

    def __iter__(self) -> Iterator[Conversation]:
        return iter(self.select())

    @functools.cached_property
    def media_keys(self) -> np.ndarray:
        """(rows,) uint64, mapped from disk: `media_key` of every row."""
        return np.memmap(self.path / MEDIA_FILE, np.dtype("<u8"), mode="r", shape=(len(self),))

    def select(
        self,
        split: str = "all",
        *,
        source: str | Sequence[str] | None = None,
        video: str | None = None,
    ) -> Selection:
        """The rows of a split, of sources and of a video, in order.

        Args:
          source: "source" or "source.config", or several of them.

        Raises ValueError for a split, a source or a video that the task does not have.
        """
        mask = np.ones(len(self.first), bool)
        if split != "all":
            mask &= self._matching("split", split, self.splits, sorted(set(self.splits.tolist())))
        if source is not None:
            full = np.array(self.sources)[self.source_of]
            short = np.array([name.partition(".")[0] for name in full])
            chosen = np.zeros(len(mask), bool)
            for name in (source,) if isinstance(source, str) else source:
                column = full if "." in name else short
                chosen |= self._matching("source", name, column, self.sources)
            mask &= chosen
        if video is not None:
            mask &= self._matching("video", video, self.videos, self.videos[:5].tolist())
        return Selection(self, np.flatnonzero(mask))

    def _matching(self, what: str, name: str, column: np.ndarray, known: Sequence[str]):
        mask = column == name
        if not mask.any():
            raise ValueError(
                f"{self.task} has no conversation of the {what} '{name}'; it has those of "
                f"{', '.join(known) or 'nothing'}{' ...' if what == 'video' else ''}"
            )
        return mask

    def counts(self) -> dict[str, int]:
        """Split -> number of conversations."""
        names = dict.fromkeys(self.splits.tolist())
        return {name: int(self.count[self.splits == name].sum()) for name in names}


def every(data_dir: str | Path, tasks: Sequence[str] | None = None) -> list[ConversationStore]:
    """The built tasks, or those of the names. Raises NotPreparedError when one is not built."""
    root = Path(data_dir).expanduser() / DATABASE
    names = tasks or sorted(path.name for path in root.glob("*") if newest(path))
    if not names:
        raise NotPreparedError(
            f"there is no database in {data_dir}. Run `surgzoo build_db --sources=NAME "
            f"--data_dir={data_dir}`."
        )
    return [ConversationStore.open(data_dir, name) for name in names]


class Selection(Sequence[Conversation]):
    """The rows of some videos of a store, as one sequence."""

    def __init__(self, store: ConversationStore, videos: np.ndarray):
        self.store = store
        self._videos = videos  # numbers in the store's index
        self._first, self._ends = store.first[videos], np.cumsum(store.count[videos])

    def videos(self) -> list[tuple[str, str, str]]:
        """(source, config, video id) of every video that has a conversation here."""
        return [
            (*self.store.sources[self.store.source_of[number]].split(".", 1), name)
            for number, name in zip(
                self._videos, self.store.videos[self._videos].tolist(), strict=True
            )
        ]

    def __len__(self) -> int:
        return int(self._ends[-1]) if len(self._ends) else 0

    def row(self, index: int) -> int:
        """The row of the store that is number `index` here."""
        if not -len(self) <= index < len(self):
            raise IndexError(f"{self.store.task}: conversation {index} of {len(self)}")
        index = int(index) % len(self)
        part = int(np.searchsorted(self._ends, index, side="right"))
        before = int(self._ends[part - 1]) if part else 0
        return int(self._first[part]) + index - before

    def rows(self) -> np.ndarray:
        """(len,) int64, all rows."""
        counts = np.diff(self._ends, prepend=0)
        starts = np.repeat(self._first - (self._ends - counts), counts)
        return starts + np.arange(len(self), dtype=np.int64)

    def __getitem__(self, index: int) -> Conversation:
        return self.store[self.row(index)]

    def __iter__(self) -> Iterator[Conversation]:
        for row in self.rows():
            yield self.store[row]
