"""Which tasks a prepared source gives conversations for: its card's must be among them."""

from __future__ import annotations

from surgzoo.db.sources import sources
from surgzoo.db.store import Store
from surgzoo.tasks import tasks
from surgzoo.tasks.base import Context


def given(store: Store, config: str = "fps1") -> set[str]:
    """Names of the tasks that at least one video of the store gives a conversation."""
    out = set()
    for stored in store.videos:
        footage = store.footage(stored)
        context = Context(config, stored.video, "train")
        for entry in tasks:
            task = tasks.get(entry.name)
            task = task() if isinstance(task, type) else task
            if next(iter(task.encode_video(footage, context)), None) is not None:
                out.add(entry.name)
    return out


def promised(source: str) -> set[str]:
    """The tasks of the source's card."""
    return set(sources.entry(source).card.details["tasks"])
