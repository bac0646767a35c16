"""Which conversations are asked: of prepared sources, or of the database that was built of them."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import TypeVar

from surgzoo.data.conversations import conversations
from surgzoo.data.media import Stores
from surgzoo.db.conversation_store import DATABASE, ConversationStore
from surgzoo.db.schema import Conversation
from surgzoo.evaluate.benchmarks import running
from surgzoo.tasks import tasks as registry
from surgzoo.tasks.wording import Wording

T = TypeVar("T")

BENCHMARK = "benchmark:"  # before the name of a benchmark that stands in the place of a source


def in_words() -> list[str]:
    """The registered tasks whose answer is text, which is all that a chat API gives."""
    return [name for name in registry.names() if registry.get(name)().answer_form != "pixels"]


def check_in_words(tasks: Sequence[str]) -> None:
    """Raises ValueError for tasks whose answer is pixels, UnknownNameError for one unknown."""
    wrong = [name for name in tasks if registry.get(name)().answer_form == "pixels"]
    if wrong:
        raise ValueError(
            f"the answers of {', '.join(wrong)} are pictures, which a chat model cannot give; "
            f"leave them out of --tasks"
        )


def wording_of(stores: Stores, tasks: Sequence[str]) -> Wording:
    """How the built database words its questions. Raises ValueError when tasks were built apart."""
    found = {
        task: Wording(**ConversationStore.open(stores.data_dir, task).meta["wording"])
        for task in tasks
    }
    if len(set(found.values())) > 1:
        told = ", ".join(f"{task} with {wording.protocol}" for task, wording in found.items())
        raise ValueError(f"the tasks of the database were worded apart ({told}): ask one at a time")
    return next(iter(found.values()))


def questions(
    stores: Stores,
    sources: Sequence[str],
    tasks: Sequence[str],
    split: str,
    *,
    scheme: str = "default",
    wording: Wording | None = None,
    limit: int | None = None,
) -> list[Conversation]:
    """The conversations of `tasks` on a split of `sources` ("source" or "source.config").

    The source "surg_sigma_db" is the built database, whose wording and split schemes were chosen
    when it was built. `limit` bounds the questions of a (source, task); each is taken once. Raises
    ValueError when there are none, NotPreparedError for a source that is missing.
    """
    found: dict[str, Conversation] = {}
    for source in sources:
        for task in tasks:
            if source == DATABASE:
                items = ConversationStore.open(stores.data_dir, task).select(split)
            else:
                items = list(
                    conversations(stores(source), task, split, scheme=scheme, wording=wording)
                )
            for item in take(items, limit):
                found.setdefault(item.id, item)
    if not found:
        raise ValueError(
            f"nothing to ask: {', '.join(sources)} have no {', '.join(tasks)} labels in the "
            f"{split} split"
        )
    return list(found.values())


def of_benchmark(
    stores: Stores, name: str, wording: Wording, limit: int | None = None
) -> list[Conversation]:
    """The questions of a benchmark's prepared sets that are answered in words, in its own words.

    Raises ValueError when there are none, UnknownNameError for the benchmark.
    """
    asked = running.ask(name, stores.data_dir, protocol=wording.protocol, limit=limit)
    in_words = {
        name: truth
        for name, truth in asked.truths.items()
        if all(task.answer_form != "pixels" for task in truth.tasks.values())
    }
    if not in_words:
        raise ValueError(f"nothing to ask of {name}:\n{running.describe(asked)}")
    return dataclasses.replace(asked, truths=in_words).conversations()


def take(items: Sequence[T], limit: int | None) -> list[T]:
    """At most `limit` items, evenly spaced, so that every video keeps its share."""
    if limit is None or len(items) <= limit:
        return list(items)
    return [items[i * len(items) // limit] for i in range(limit)]
