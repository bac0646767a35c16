"""Pairs above the level of frames: a captioned step, or a whole video, and the texts inside it.

As HecVL and PeskaVLP see lectures (arXiv 2405.10075, 2410.00263): narrations in key steps in
videos. Here the text of a step is the caption of a clip (video_captioning), and the texts inside it
are the captions of its frames (image_captioning). The text of a video are the captions of its
clips, joined; that a source says something of a whole operation in its own words is not in the
database.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from surgzoo.data.pair_config import PairConfig
from surgzoo.db.schema import Conversation, Media

if TYPE_CHECKING:
    from surgzoo.data.rows.pairs import PairRows

CLIPS, FRAMES = "video_captioning", "image_captioning"


def check(config: Any) -> None:
    """Raises ValueError where the mixture lacks the captions that a level is made of."""
    level = config.pairs.level
    needed = {CLIPS, FRAMES} if level == "step" else {CLIPS}
    found = {part.task for part in config.mixture}
    if found != needed:
        raise ValueError(
            f"pairs.level={level} is made of {' and '.join(sorted(needed))}, and the mixture has "
            f"{', '.join(sorted(found)) or 'nothing'}"
        )


def spec(pairs: PairConfig, image: tuple[int, ...], texts: dict[str, Any]) -> dict[str, Any]:
    """A row `Stretch`."""
    inner = {
        f"child_{name}": ((pairs.children, *shape), dtype) for name, (shape, dtype) in texts.items()
    }
    return {"frames": ((pairs.frames, *image), np.float32), **texts, **inner}


def row(
    rows: PairRows, unit: Sequence[Conversation], rng: np.random.Generator
) -> dict[str, np.ndarray]:
    """A row of a video's captions: all of them, or those of a clip that is drawn.

    Raises ValueError for a video without captioned clips, or a clip without captioned frames.
    """
    clips = [item for item in unit if item.task == CLIPS]
    if not clips:
        raise ValueError(f"its video has no {CLIPS}")
    if rows.pairs.level == "video":
        shown, text, inner = _span(clips), " ".join(c.target for c in clips), clips
    else:
        clip = clips[rng.integers(len(clips))]
        shown, text = clip.media[0], clip.target
        inner = [
            item
            for item in unit
            if item.task == FRAMES
            and shown.first <= item.media[0].first < shown.first + shown.count
        ]
        if not inner:
            raise ValueError(f"no frame of its clip {clip.id} has an {FRAMES}")
    frames = [
        rows.read.read(Media(shown.source, shown.config, shown.video, shown.first + int(n)))
        for n in evenly(shown.count, rows.pairs.frames)
    ]
    children = [inner[int(n)].target for n in evenly(len(inner), rows.pairs.children)]
    tokens, mask = rows.tokens([text, *children])
    return {
        "frames": rows.processor.images(frames),
        "tokens": tokens[0],
        "mask": mask[0],
        "child_tokens": tokens[1:],
        "child_mask": mask[1:],
    }


def evenly(length: int, count: int) -> np.ndarray:
    """`count` places in order, each in the middle of its share of `length`; some twice if short."""
    return ((np.arange(count) + 0.5) * length / count).astype(int)


def _span(clips: Sequence[Conversation]) -> Media:
    """All frames from the first clip's first to the last clip's last."""
    media = [clip.media[0] for clip in clips]
    first = min(item.first for item in media)
    end = max(item.first + item.count for item in media)
    return Media(media[0].source, media[0].config, media[0].video, first, end - first, "clip")
