"""Surgical image captioning (No. 12): procedure, phase, step, and which instrument does what.

The caption is the source's own where it has one; else it is composed from the labels of the frame
(`db/captions.py`), and the record says so.
"""

from __future__ import annotations

from surgzoo.db import captions
from surgzoo.db.footage import Shot
from surgzoo.db.schema import Conversation
from surgzoo.tasks import templates, wording
from surgzoo.tasks.base import Context, ImageTask
from surgzoo.tasks.captioning import CaptionTask, facts


class ImageCaptioning(CaptionTask, ImageTask):
    name = "image_captioning"
    number = 12
    templates = templates.IMAGE_CAPTIONING

    def encode(self, shot: Shot, context: Context) -> list[Conversation]:
        """One conversation, or none with fewer than two kinds of label and no caption."""
        caption, derived = shot.annotations.caption, shot.annotations.derived.get("caption")
        if caption is not None:
            caption = caption.strip()
        if not caption:
            identity = f"{context.source}.{context.config}/{shot.frame.video}/{shot.frame.index}"
            variant = wording.draw(identity, 0, 1 << 60, "caption")
            caption = captions.frame(context.video, shot.annotations, variant)
            derived = captions.DERIVED
        if caption is None:
            return []
        options = facts(context.source)
        return [self.conversation(shot, context, caption, options=options, derived=derived)]
