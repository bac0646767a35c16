"""Rows of a clip and its label: an action by name, and the skill of who does it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import cv2
import numpy as np
from jaxtyping import Float, UInt8

from surgzoo.core.contract import LabelledClip
from surgzoo.data.frame_cache import FrameCache
from surgzoo.data.jpeg import decode_jpeg
from surgzoo.data.media import Stores
from surgzoo.data.rows.balance import balanced_weights
from surgzoo.data.rows.base import Rows, Spec
from surgzoo.db.schema import Conversation, Media, Skill

CACHE = 128 << 20  # bytes of frames, squared already
LEAST = 0.8  # of a side: the smallest part of the picture that `augment` shows


class ClipFrames:
    """The frames that a processor picks of a clip, each decoded once as long as it is held.

    `processor` has `pick`, `square` and `normalise` of models/bsa/processor.py. Safe for threads.
    """

    def __init__(self, stores: Stores, processor: Any):
        self._stores, self._processor = stores, processor
        self._cache = FrameCache(CACHE)

    def __call__(
        self, media: Sequence[Media], rng: np.random.Generator | None = None
    ) -> Float[np.ndarray, "T H W 3"]:
        """The clip as the model reads it; with `rng` other frames of it, cut and mirrored.

        Raises ValueError for media that are not one clip, MediaError that names a damaged record.
        """
        if len(media) != 1 or media[0].kind != "clip":
            kinds = ", ".join(item.kind for item in media) or "nothing"
            raise ValueError(f"this model reads one clip, and the question shows {kinds}")
        (clip,), processor = media, self._processor
        side = processor.image_size
        # Larger where a part is cut out, so that no cut needs to be blown up.
        stored = side if rng is None else round(side / LEAST)
        picked = [clip.first + int(number) for number in processor.pick(clip.count, rng)]
        frames = np.stack([self._frame(clip, number, stored) for number in picked])
        if rng is not None:
            frames = cut_and_mirror(frames, side, rng)
        return processor.normalise(frames)

    def _frame(self, clip: Media, index: int, side: int) -> UInt8[np.ndarray, "S S 3"]:
        def make() -> np.ndarray:
            record = self._stores(clip.source, clip.config).frame(clip.video, index)
            where = f"{clip.source}/{clip.video}/{index}"
            return self._processor.square(decode_jpeg(record.image, where), side)

        return self._cache.get((clip.source, clip.config, clip.video, index, side), make)


def cut_and_mirror(
    frames: UInt8[np.ndarray, "T S S 3"], side: int, rng: np.random.Generator
) -> UInt8[np.ndarray, "T side side 3"]:
    """The same random square of all frames, resized to `side`; mirrored half of the time.

    A mirrored operation shows the same action. Up and down stay, as light and gravity do.
    """
    whole = frames.shape[1]
    size = int(rng.integers(min(side, whole), whole + 1))
    top, left = (int(rng.integers(0, whole - size + 1)) for _ in range(2))
    parts = frames[:, top : top + size, left : left + size]
    if rng.random() < 0.5:
        parts = parts[:, :, ::-1]
    if size == side:
        return parts
    parts = np.ascontiguousarray(parts)
    return np.stack([cv2.resize(p, (side, side), interpolation=cv2.INTER_AREA) for p in parts])


def skill_level(ratings: Iterable[Skill], levels: int) -> int:
    """The rating on a scale of so many whole steps, from 0; -1 where not exactly one fits.

    JIGSAWS' self-declared experience has three (novice, intermediate, expert), as the model's skill
    head; scores such as its global rating are no levels and are left out.
    """
    found = [r for r in ratings if r.highest - r.lowest + 1 == levels]
    if len(found) != 1 or found[0].value != round(found[0].value):
        return -1
    return int(found[0].value - found[0].lowest)


class ClipRows(Rows):
    """`LabelledClip` of each conversation; `balance` weighs against the labels' counts."""

    by = "conversation"
    tasks = ("action_recognition",)

    def spec(self) -> Spec:
        side, frames = self.processor.image_size, self.processor.frames
        spec: Spec = {
            "video": ((frames, side, side, 3), np.float32),
            "action": ((), np.int32),
            "balance": ((), np.float32),
        }
        if self.architecture.skills:
            spec["skill"] = ((), np.int32)
        return spec

    def open(self, stores: Stores, conversations: Iterable[Conversation]) -> None:
        super().open(stores, conversations)
        self._read = ClipFrames(stores, self.processor)
        self.counts = self.count_labels(conversations)
        self.check_classes("actions")
        self._number = {name: number for number, name in enumerate(self.labels)}
        self._weights = balanced_weights([self.counts[name] for name in self.labels])

    def row(self, unit: Sequence[Conversation], rng: np.random.Generator) -> LabelledClip:
        (item,) = unit
        label = self._number[item.answer]
        row: LabelledClip = {
            "video": self._read(item.media, rng if self.config.augment else None),
            "action": np.int32(label),
            "balance": self._weights[label],
        }
        if self.architecture.skills:
            clip = item.media[0]
            stored = self.stores(clip.source, clip.config).video(clip.video)
            level = skill_level(stored.annotations.skills, self.architecture.skills)
            row["skill"] = np.int32(level)
        return row

    def meta(self) -> dict[str, Any]:
        return super().meta() | {"counts": {name: self.counts[name] for name in self.labels}}
