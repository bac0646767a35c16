"""Rows for models that read turns of text: conversations and their media through a processor."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np

from surgzoo.core.contract import Bucket, Example, GroupSize, Message, Processor
from surgzoo.data.config import DataConfig
from surgzoo.data.media import Stores
from surgzoo.data.mixture import By
from surgzoo.data.model_reader import ModelReader
from surgzoo.data.packed import Piece
from surgzoo.data.packing import join
from surgzoo.db.schema import Conversation


def messages(conversation: Conversation) -> list[Message]:
    """Turns for a processor; the media stand at the start of the first user turn.

    With a reasoning trace the last answer takes the form of arXiv 2603.12430: the trace in <think>,
    the answer in <answer>.
    """
    turns = list(conversation.turns)
    if conversation.thinking:
        said = f"<think>{conversation.thinking}</think><answer>{turns[-1].text}</answer>"
        turns[-1] = dataclasses.replace(turns[-1], text=said)
    return [
        Message(turn.role, turn.text, images=len(conversation.media) if i == 0 else 0)
        for i, turn in enumerate(turns)
    ]


def unit_of(config: DataConfig) -> By:
    """What one visit of a language model's stream asks about: all of a frame, or one question."""
    return "media" if config.group else "conversation"


def reader(config: DataConfig, processor: Processor, stores: Stores) -> ModelReader:
    """Media as a run with this config shows them to its model, in training and in evaluation."""
    return ModelReader(stores, processor, decode=config.decode, video=config.video)


def group_row(
    unit: Sequence[Conversation], processor: Processor, read: ModelReader, bucket: Bucket
) -> Example:
    """A row of a unit's questions, as many as fit. Raises ValueError that names the unit."""
    visuals, fps = read(unit[0].media)
    try:
        talks = [messages(conversation) for conversation in unit]
        return processor.encode_group(talks, visuals, fps=fps, bucket=bucket, fitted=read.fitted)[0]
    except ValueError as error:
        clips = any(media.kind == "clip" for media in unit[0].media)
        hint = "; data.video.tokens is what a clip may take of a row" if clips else ""
        raise ValueError(f"{unit[0].id}: {error}{hint}") from error


def measure(unit: Sequence[Conversation], processor: Processor, read: ModelReader) -> GroupSize:
    """What a unit would take of a row; no pixel is decoded. Raises ValueError that names it."""
    visuals, fps = read.outlines(unit[0].media)
    try:
        talks = [messages(conversation) for conversation in unit]
        return processor.measure_group(talks, visuals, fps=fps, fitted=read.fitted)
    except ValueError as error:
        raise ValueError(f"{unit[0].id}: {error}") from error


def packed_row(
    parts: Sequence[Piece], processor: Processor, read: ModelReader, bucket: Bucket
) -> Example:
    """A row of the pieces that were planned for it.

    Raises ValueError that names a piece which turns out to be of another size than was planned.
    """
    rows = []
    for items, size in parts:
        visuals, fps = read(items[0].media)
        talks = [messages(conversation) for conversation in items]
        try:
            row, count = processor.encode_group(
                talks, visuals, fps=fps, bucket=size, fitted=read.fitted
            )
        except ValueError as error:
            raise ValueError(f"{items[0].id}: {error}") from error
        if count < len(items) or not row["segments"].all():
            raise ValueError(
                f"{items[0].id}: {len(items)} conversations were planned to take {size.tokens} "
                f"tokens, and {count} of them took {int((row['segments'] > 0).sum())}: the "
                "processor's measure_group and encode_group disagree"
            )
        rows.append(row)
    return join(rows, bucket)


def without_prefix(rows: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Rows in which each prefix has one conversation: the two become one segment, and `prefix` is
    left out, which tells the model that plain segments are all there is. What a token sees stays
    the same."""
    rows = dict(rows)
    prefix = rows.pop("prefix")
    return rows | {"segments": np.where(prefix > 0, prefix, rows["segments"])}
