"""Conversations of prepared sources: the index that training shuffles and scoring looks up."""

from __future__ import annotations

import functools
from collections.abc import Iterator

from surgzoo.db.records import StoredVideo
from surgzoo.db.schema import Conversation
from surgzoo.db.store import Store
from surgzoo.tasks import tasks
from surgzoo.tasks.base import Context
from surgzoo.tasks.wording import Wording


def conversations(
    store: Store,
    task: str,
    split: str,
    *,
    scheme: str = "default",
    wording: Wording | None = None,
) -> Iterator[Conversation]:
    """Conversations of one task on one split of a prepared source, in stored order.

    Pixels are not decoded. Ids and answers do not depend on the `wording` of the questions
    (default: open ones, all phrasings).
    """
    for stored in store.select(split, scheme):
        yield from of_video(store, task, stored, split, wording)


def of_video(
    store: Store, task: str, stored: StoredVideo, split: str, wording: Wording | None = None
) -> Iterator[Conversation]:
    """The conversations of one task on one video, as `conversations` gives them."""
    context = Context(store.config, stored.video, split, wording or Wording())
    yield from _task(task).encode_video(store.footage(stored), context)


@functools.cache
def _task(name: str):
    return tasks.get(name)()


def address(conversation_id: str) -> tuple[str, str, str, int, str, int]:
    """(source, config, video, frame, task, part) of a conversation's id. Raises ValueError."""
    try:
        head, video, frame, task, part = conversation_id.split("/")
        source, config = head.split(".", 1)
        return source, config, video, int(frame), task, int(part)
    except ValueError:
        raise ValueError(
            f"'{conversation_id}' is not a conversation id (source.config/video/frame/task/part)"
        ) from None
