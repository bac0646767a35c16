"""Prompts for decoding: the questions about one frame in one row, rows in a few static lengths.

A grouped row has one more array than the contract of `core/contract.py`: "ends", int32 [G], the
token at which each of its prompts ends; -1 where there are fewer than G.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Any, NamedTuple

import numpy as np

from surgzoo.core.contract import Bucket, Example, Processor
from surgzoo.data.media import MediaReader
from surgzoo.data.turns import messages
from surgzoo.db.schema import Conversation

_PATCH_KEYS = ("patches", "patch_hw", "patch_window", "patch_frame")


class Encoded(NamedTuple):
    """Conversations and the row that asks them, or why there is none."""

    items: list[Conversation]
    row: dict[str, np.ndarray] | None
    error: str | None = None


def units(items: Sequence[Conversation], size: int) -> list[list[Conversation]]:
    """Conversations that begin alike (same media), at most `size` together, by first appearance.

    Conversations in words alone share nothing and stand alone.
    """
    found: dict[Hashable, list[Conversation]] = {}
    for item in items:
        opening = (item.media, item.turns[0].role) if item.media else item.id
        found.setdefault(opening, []).append(item)
    return [unit[i : i + size] for unit in found.values() for i in range(0, len(unit), size)]


def encode_unit(
    unit: Sequence[Conversation], processor: Processor, read: MediaReader
) -> list[Encoded]:
    """A unit's conversations in one row, or in as many as it takes.

    Media are decoded once. What cannot be encoded (a frame that is corrupt, a conversation that no
    bucket holds) has its error in words and takes no other with it.
    """
    try:
        visuals, fps = read(unit[0].media)
    except ValueError as error:
        return [Encoded(list(unit), None, str(error))]

    def encode(items: list[Conversation]) -> list[Encoded]:
        talks = [messages(item) for item in items]
        try:
            row, count = processor.encode_group(
                talks, visuals, fps=fps, generate=True, fitted=read.fitted
            )
        except ValueError as error:
            if len(items) == 1:
                return [Encoded(items, None, str(error))]
            return [encoded for item in items for encoded in encode([item])]
        done = Encoded(items[:count], _asking(row, count, processor.buckets))
        return [done, *(encode(items[count:]) if count < len(items) else [])]

    return encode(list(unit))


def encode_rows(
    items: Sequence[Conversation], processor: Processor, read: MediaReader, **keywords
) -> list[Example]:
    """Rows for prompting: everything but the last answer."""
    rows = []
    for item in items:
        visuals, fps = read(item.media)
        turns = messages(item)
        if turns[-1].role == "assistant":
            turns = turns[:-1]
        row = processor.encode(
            turns, visuals, fps=fps, generate=True, fitted=read.fitted, **keywords
        )
        rows.append(row)
    return rows


def resize(row: dict[str, np.ndarray], tokens: int, slots: int) -> dict[str, np.ndarray]:
    """The row with S = `tokens` and G = `slots`; padding comes or goes, nothing else may."""
    out = dict(row)
    for key, value in row.items():
        if key == "ends":
            out[key] = _pad(value, slots, -1)
        elif key not in _PATCH_KEYS:
            out[key] = _pad(value, tokens, -1 if key == "vision_index" else 0)
    return out


def static_length(length: int) -> int:
    """The next of 32, 40, 52, 64, 80, 104, ...: three lengths an octave, at most 30 % too long."""
    octave = 1 << max(2, (length - 1).bit_length() - 4)  # an eighth of the power of two below
    return next(octave * part for part in (8, 10, 13, 16) if octave * part >= length)


def _asking(row: Any, count: int, buckets: Sequence[Bucket]) -> dict[str, np.ndarray]:
    """A grouped row with its `ends`, without the padding that its bucket brought."""
    asked = sorted(set(row["segments"].tolist()) - set(row["prefix"].tolist()) - {0})
    ends = np.array([np.flatnonzero(row["segments"] == segment)[-1] for segment in asked], np.int32)
    slots = 1 << (count - 1).bit_length()
    patches = int((row["patch_frame"] >= 0).sum())
    # Only the numbers of patches that a processor's buckets have are sure to suit its model.
    patches = min(b for b in (0, *(bucket.patches for bucket in buckets)) if b >= patches)
    cut = {key: row[key][:patches] if key in _PATCH_KEYS else row[key] for key in row}
    length = min(static_length(int(ends.max()) + 1), len(row["tokens"]))
    return resize(cut | {"ends": ends}, length, slots)


def _pad(array: np.ndarray, size: int, value: int) -> np.ndarray:
    """The last axis cut or filled up to `size`."""
    short = size - array.shape[-1]
    if short <= 0:
        return array[..., :size]
    widths = [(0, 0)] * (array.ndim - 1) + [(0, short)]
    return np.pad(array, widths, constant_values=value)
