"""The true answers: conversations of prepared sources, with the place and time of each.

One pass over the annotations of a video serves all tasks, and no pixel is decoded. A conversation's
*place* is "source.config/video"; ids begin with it.
"""

from __future__ import annotations

import contextlib
import dataclasses
import gc
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from surgzoo.data.conversations import address
from surgzoo.db import schema
from surgzoo.db.records import StoredVideo
from surgzoo.db.store import Store
from surgzoo.tasks import tasks as registry
from surgzoo.tasks.base import Context, Task
from surgzoo.tasks.wording import Wording


@dataclasses.dataclass(frozen=True)
class Truth:
    """What the prepared data says about some sources and tasks on one split.

    Attributes:
      conversations: id -> conversation, in stored order.
      times: id -> seconds from the start of the video.
      videos: place -> video, of the split.
      others: places that the sources hold outside the split.
      tasks: name -> task. stores: "source.config" -> store.
    """

    split: str
    scheme: str
    conversations: Mapping[str, schema.Conversation]
    times: Mapping[str, float]
    videos: Mapping[str, StoredVideo]
    others: frozenset[str]
    tasks: Mapping[str, Task]
    stores: Mapping[str, Store]

    def video(self, conversation_id: str) -> schema.Video:
        """The video that a conversation of this truth is about."""
        return self.videos[place(conversation_id)].video

    def of_task(self, name: str) -> Truth:
        """The part that is about one task."""
        asked = {id: item for id, item in self.conversations.items() if item.task == name}
        return dataclasses.replace(self, conversations=asked, tasks={name: self.tasks[name]})


def place(conversation_id: str) -> str:
    """ "source.config/video" of a conversation's id."""
    return "/".join(conversation_id.split("/", 2)[:2])


def named(ids: Iterable[str]) -> tuple[list[str], list[str]]:
    """The sources ("source.config") and the tasks that ids name, each sorted."""
    parts = {(id.split("/", 1)[0], address(id)[4]) for id in ids}
    return sorted({source for source, _ in parts}), sorted({task for _, task in parts})


@contextlib.contextmanager
def uncollected() -> Iterator[None]:
    """No cyclic garbage collection inside: it would walk all records often and free none."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


@uncollected()
def load_truth(
    data_dir: str | Path,
    sources: Iterable[str],
    tasks: Iterable[str | Task],
    *,
    split: str = "test",
    scheme: str = "default",
    wording: Wording | None = None,
) -> Truth:
    """Reads the true answers of `tasks` on a split of `sources` ("source.config").

    `wording` decides how the questions are put and nothing else. A task may be given as an object
    that is not registered. Raises NotPreparedError for a
    source that is not in `data_dir`, UnknownNameError for a task, ValueError for a split scheme.
    """
    stores = {name: Store.open(data_dir, *name.split(".", 1)) for name in sources}
    known = [task if isinstance(task, Task) else registry.get(task)() for task in tasks]
    encoders = {task.name: task for task in known}
    conversations: dict[str, schema.Conversation] = {}
    times: dict[str, float] = {}
    videos: dict[str, StoredVideo] = {}
    others: set[str] = set()
    for name, store in stores.items():
        selected = {f"{name}/{stored.video.id}": stored for stored in store.select(split, scheme)}
        videos |= selected
        others |= {f"{name}/{stored.video.id}" for stored in store.videos} - set(selected)
        for stored in selected.values():
            footage = store.footage(stored)  # every record is read once, for all tasks
            context = Context(store.config, stored.video, split, wording or Wording())
            for encoder in encoders.values():
                for conversation in encoder.encode_video(footage, context):
                    shot = footage.shots[address(conversation.id)[3]]
                    conversations[conversation.id] = conversation
                    times[conversation.id] = shot.frame.time
    return Truth(split, scheme, conversations, times, videos, frozenset(others), encoders, stores)
