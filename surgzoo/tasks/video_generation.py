"""Conditional video generation (No. 18): the captioning pair turned round (SurgΣ's guideline page).

Two questions for each captioned clip: from the caption alone, and from the first frame with the
caption. The clip is at the stored frame rate; a prediction is compared frame by frame with it.
"""

from __future__ import annotations

import collections
from collections.abc import Iterator
from typing import Any

import numpy as np

from surgzoo.db.footage import Footage
from surgzoo.db.schema import Conversation, Media
from surgzoo.metrics import picture
from surgzoo.tasks import templates
from surgzoo.tasks.base import ClipTask, Context
from surgzoo.tasks.pixels import PixelTask, fit, pointer, rgb
from surgzoo.tasks.video_captioning import told

FEWEST = 2  # frames of a clip


class VideoGeneration(PixelTask, ClipTask):
    name = "video_generation"
    number = 18
    answers = "video"
    headline = "ssim"
    templates = templates.VIDEO_GENERATION + templates.VIDEO_CONTINUATION
    worst = {"ssim": 0.0, "psnr": 0.0, "flicker": picture.PEAK}
    scales = {"psnr": "dB", "flicker": ""}

    def encode_video(self, footage: Footage, context: Context) -> Iterator[Conversation]:
        """Two conversations for each captioned clip of two frames or more."""
        parts: collections.Counter[int] = collections.Counter()
        for clip, caption, derived in told(footage, context):
            if clip.count < FEWEST:
                continue
            shot = footage.shots[clip.first]
            first = Media(context.source, context.config, clip.video, clip.first)
            answer = pointer(self.clip(clip, context))
            for form, media in ((_TEXT, ()), (_CONTINUED, (first,))):
                yield form.conversation(
                    shot,
                    context,
                    answer,
                    media=media,
                    part=parts[clip.first],
                    derived=derived,
                    caption=caption,
                )
                parts[clip.first] += 1

    def compare(self, truth: np.ndarray, said: np.ndarray, answer: Any) -> dict[str, float]:
        """Mean SSIM and PSNR of the frames in order, and flicker in grey levels (0 is best), all of
        `metrics/picture.py`.

        A frame that is lacking counts as worst.
        """
        clip = fitted(truth, said)
        return {**picture.clip(truth, clip), "flicker": picture.flicker(truth, clip)}


def fitted(truth: np.ndarray, said: np.ndarray) -> np.ndarray:
    """A prediction in the size, kind and at most the length of the true clip, (T, H, W, 3) uint8.

    An image is a clip that stands still.
    """
    frames = said[: len(truth)] if said.ndim == 4 else [said] * len(truth)
    clip = [fit(rgb(frame), truth[0]) for frame in frames]
    return np.stack(clip) if clip else truth[:0]


class _Text(VideoGeneration):
    """From the caption alone."""

    templates = templates.VIDEO_GENERATION
    leads = ()  # there is nothing to look at yet


class _Continued(VideoGeneration):
    """From the first frame and the caption."""

    templates = templates.VIDEO_CONTINUATION


_TEXT, _CONTINUED = _Text(), _Continued()
