"""Desmoking (No. 16, a number that is inferred): the smoky frame again, without the smoke.

Pairs come from a source that knows the clear view behind its smoke (`clean` map), or from smoke
that was put over clear frames (`smoke` map, `surgzoo derive --what=smoke`), as SurgΣ does; the
record then says so.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from surgzoo.db.footage import Shot
from surgzoo.db.schema import Conversation, Media
from surgzoo.metrics import picture
from surgzoo.tasks import templates
from surgzoo.tasks.base import Context, ImageTask
from surgzoo.tasks.pixels import Comparison, PixelTask, fit, pointer, rgb, still


class Desmoking(PixelTask, ImageTask):
    name = "desmoking"
    number = 16
    headline = "psnr"
    templates = templates.DESMOKING
    worst = {"psnr": 0.0, "ssim": 0.0}
    scales = {"psnr": "dB"}

    def encode(self, shot: Shot, context: Context) -> list[Conversation]:
        """A conversation for each smoky version of the frame whose clear one is stored."""
        conversations = []
        frame = shot.frame
        for stored, seen, clear in (("clean", "image", "clean"), ("smoke", "smoke", "image")):
            if stored not in shot.maps:
                continue
            question, answer = (
                Media(context.source, context.config, frame.video, frame.index, kind=kind)
                for kind in (seen, clear)
            )
            conversations.append(
                self.conversation(
                    shot,
                    context,
                    pointer(answer),
                    media=[question],
                    part=len(conversations),
                    derived=shot.annotations.derived.get(stored),
                )
            )
        return conversations

    def compare(self, truth: np.ndarray, said: np.ndarray, answer: Any) -> dict[str, float]:
        """PSNR in dB (at most 100, which equal images get) and SSIM (`metrics/picture.py`)."""
        said = fit(rgb(still(said)), truth)
        return {"psnr": picture.psnr(truth, said), "ssim": picture.ssim(truth, said)}

    def quality(self, comparison: Comparison) -> float:
        """SSIM, since decibels have no top."""
        return float(np.clip(comparison["ssim"], 0.0, 1.0))
