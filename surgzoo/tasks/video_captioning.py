"""Surgical video captioning (No. 13): an ordered chain, "A holds X while B cuts Y, then ...".

The source's captions of stretches of video where it has any. Else captions are composed from the
labels (`db/captions.py`) of each step, or of the whole video where steps are not annotated, in
windows of at most WINDOW seconds; the record says so. `told` also feeds video generation.
"""

from __future__ import annotations

import collections
import math
from collections.abc import Iterator
from typing import NamedTuple

from surgzoo.db import captions
from surgzoo.db.footage import Footage
from surgzoo.db.schema import Clip, Conversation
from surgzoo.tasks import templates, wording
from surgzoo.tasks.base import ClipTask, Context
from surgzoo.tasks.captioning import CaptionTask, facts

WINDOW = 30.0  # seconds; our choice


class Told(NamedTuple):
    """A clip with its caption. `derived` says how the caption was made; None = annotated."""

    clip: Clip
    caption: str
    derived: str | None


def told(footage: Footage, context: Context) -> Iterator[Told]:
    """The captioned clips of a video, in order; clips without a stored frame are left out."""
    if footage.annotations.captions:
        for start, end, text in footage.annotations.captions:
            clip = footage.clip(start, end)
            if clip is not None and text.strip():
                yield Told(clip, text.strip(), None)
        return
    for start, end in windows(footage):
        clip = footage.clip(start, end)
        identity = f"{context.source}.{context.config}/{footage.video.id}/{start!r}"
        variant = wording.draw(identity, 0, 1 << 60, "caption")
        caption = captions.stretch(footage, start, end, variant)
        if clip is not None and caption is not None:
            yield Told(clip, caption, captions.DERIVED)


def windows(footage: Footage) -> Iterator[tuple[float, float]]:
    """Steps, or the whole video, cut into equal windows of at most WINDOW seconds."""
    steps = [(s.start, s.end) for s in footage.segments("step")]
    if not steps and footage.shots:
        last = footage.shots[-1].frame.time
        steps = [(footage.shots[0].frame.time, last + 1 / footage.video.fps)]
    for start, end in steps:
        count = max(1, math.ceil((end - start) / WINDOW - 1e-9))
        for k in range(count):
            yield start + (end - start) * k / count, start + (end - start) * (k + 1) / count


class VideoCaptioning(CaptionTask, ClipTask):
    name = "video_captioning"
    number = 13
    templates = templates.VIDEO_CAPTIONING

    def encode_video(self, footage: Footage, context: Context) -> Iterator[Conversation]:
        """A conversation for each captioned clip."""
        options = facts(context.source)
        parts: collections.Counter[int] = collections.Counter()
        for item in told(footage, context):
            yield self.conversation(
                footage.shots[item.clip.first],
                context,
                item.caption,
                media=[self.clip(item.clip, context)],
                part=parts[item.clip.first],
                options=options,
                derived=item.derived,
            )
            parts[item.clip.first] += 1
