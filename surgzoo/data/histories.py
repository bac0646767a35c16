"""The actions of a video in order, and those that come before a question about the next one."""

from __future__ import annotations

from collections.abc import Iterable

from surgzoo.data.conversations import address
from surgzoo.db.schema import Conversation


def in_order(items: Iterable[Conversation]) -> list[Conversation]:
    """Questions of one video by the place at which they begin."""
    return sorted(items, key=lambda item: (address(item.id)[3], address(item.id)[5]))


def seen(question: Conversation, actions: Iterable[Conversation]) -> list[Conversation]:
    """Of a video's questions about actions those that the question's last clip comes after or
    shows, in order: nothing in them goes on when that clip is over, or begins after it began."""
    now = question.media[-1]
    end = now.first + now.count
    return in_order(
        item
        for item in actions
        for clip in item.media[-1:]
        if clip.first <= now.first and clip.first + clip.count <= end
    )
