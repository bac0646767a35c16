"""Conversations and the texts in them that can be rewritten: the trace, or a caption's answer.

The labels that the check needs are looked up where the conversation's media point.
"""

from __future__ import annotations

import dataclasses
import functools
import json
from collections.abc import Callable, Iterator
from pathlib import Path

from surgzoo.db import schema
from surgzoo.db.enrich.rewrite import Item, Outcome, What
from surgzoo.db.footage import Footage
from surgzoo.db.reasoning import Labels
from surgzoo.db.schema import Conversation, Media
from surgzoo.db.store import Store

CAPTIONS = ("image_captioning", "video_captioning")


def footages(open_store: Callable[[str, str], Store]) -> Callable[[Media], Footage]:
    """Reads the footage that media point into; the last few are kept."""
    store = functools.lru_cache(maxsize=None)(open_store)

    @functools.lru_cache(maxsize=4)
    def footage(source: str, config: str, video: str) -> Footage:
        opened = store(source, config)
        return opened.footage(opened.video(video))

    return lambda media: footage(media.source, media.config, media.video)


def read(
    path: str | Path, what: What, footage: Callable[[Media], Footage]
) -> Iterator[tuple[Conversation, Item | None]]:
    """The conversations of a JSON lines file, each with what is to be rewritten in it.

    Raises ValueError that names file and line.
    """
    with open(path, encoding="utf-8") as file:
        for number, text in enumerate(file, start=1):
            if not text.strip():
                continue
            where = f"{path}, line {number}"
            try:
                conversation = schema.from_json(Conversation, text)
            except (ValueError, TypeError, AttributeError, KeyError, IndexError) as error:
                told = isinstance(error, ValueError) and type(error) is not json.JSONDecodeError
                why = error if told else "is no conversation as surgzoo writes it"
                raise ValueError(f"{where}: {why}") from None
            try:
                found = item(conversation, what, footage)
            except (ValueError, KeyError) as error:  # a KeyError shows its message in quotes
                raise ValueError(f"{where}: {error.args[0] if error.args else error}") from None
            yield conversation, found


def line(conversation: Conversation) -> str:
    """A conversation as a line of that file."""
    return schema.to_json(conversation) + "\n"


def item(
    conversation: Conversation, what: What, footage: Callable[[Media], Footage]
) -> Item | None:
    """What is to be rewritten, None where the conversation has no such text.

    Raises ValueError that names the conversation when its media show no pictures.
    """
    text = conversation.thinking if what == "trace" else _caption(conversation)
    if not text:
        return None
    shown = [media for media in conversation.media if media.kind in ("image", "clip")]
    if not shown:
        raise ValueError(f"{conversation.id}: its media hold no image or clip to check a text by")
    media = shown[0]
    labels = Labels.of_clip(footage(media), media.first, media.count)
    return Item(text, labels, what)


def enriched(conversation: Conversation, what: What, outcome: Outcome, model: str) -> Conversation:
    """The conversation with the rewriting, if it was kept; a caption says who wrote it."""
    if not outcome.kept:
        return conversation
    if what == "trace":
        return dataclasses.replace(conversation, thinking=outcome.text)
    last = dataclasses.replace(conversation.turns[-1], text=outcome.text)
    by = f"rewritten by {model} and checked against the labels"
    return dataclasses.replace(
        conversation,
        turns=(*conversation.turns[:-1], last),
        answer=outcome.text,
        derived=f"{conversation.derived}; {by}" if conversation.derived else by,
    )


def _caption(conversation: Conversation) -> str | None:
    if conversation.task not in CAPTIONS or conversation.answer != conversation.target:
        return None
    return conversation.answer
