"""The database for people: `surgzoo.load("phase_recognition", split="train")`."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from surgzoo.data.media import MediaReader, Stores
from surgzoo.db.conversation_store import ConversationStore, Selection
from surgzoo.db.schema import Conversation, Turn


@dataclasses.dataclass(frozen=True)
class Item:
    """A conversation with its pictures, which are decoded when they are first asked for.

    `conversation` has everything else: media pointers, options, choices, canonical video, split.
    """

    conversation: Conversation
    _read: MediaReader = dataclasses.field(repr=False, compare=False)

    @property
    def id(self) -> str:
        return self.conversation.id

    @property
    def task(self) -> str:
        return self.conversation.task

    @property
    def turns(self) -> tuple[Turn, ...]:
        return self.conversation.turns

    @property
    def answer(self) -> Any:
        """The structured answer; its form is the task's (`surgzoo/tasks/base.py`)."""
        return self.conversation.answer

    @property
    def thinking(self) -> str | None:
        return self.conversation.thinking

    @functools.cached_property
    def images(self) -> list[np.ndarray]:
        """One uint8 RGB array a medium: (H, W, 3), of a clip (T, H, W, 3).

        Raises NotPreparedError when the source of the pictures is not there (any more), MediaError
        for one that cannot be decoded.
        """
        return self._read(self.conversation.media)[0]


class Items(Sequence[Item]):
    """The conversations of a task on a split, by number; nothing is read before it is asked for."""

    def __init__(self, conversations: Selection, read: MediaReader):
        self.conversations = conversations
        self._read = read

    def __len__(self) -> int:
        return len(self.conversations)

    def __getitem__(self, index: int) -> Item:
        return Item(self.conversations[index], self._read)

    def __iter__(self) -> Iterator[Item]:
        for conversation in self.conversations:
            yield Item(conversation, self._read)

    def __repr__(self) -> str:
        return f"<{len(self)} conversations of {self.conversations.store.task}>"


def load(
    task: str,
    split: str = "all",
    data_dir: str | Path = "data",
    *,
    source: str | Sequence[str] | None = None,
    video: str | None = None,
) -> Items:
    """The built conversations of a task with their pictures.

    Args:
      split: train, val, test or all. source: only those of "NAME" or "NAME.CONFIG", or of several.
      video: only those of one video id.

    Raises NotPreparedError when the task is not built in `data_dir`, ValueError for a split, source
    or video without a conversation.
    """
    store = ConversationStore.open(data_dir, task)
    return Items(store.select(split, source=source, video=video), MediaReader(Stores(data_dir)))
