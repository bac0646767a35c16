"""Depth estimation (No. 10): one channel of relative depth, near dark and far bright.

The truth is the source's `depth` map, or one derived from a depth model (SurgΣ: Depth Anything V2),
which the record then says. Only relative depth is asked for, so a prediction is compared after the
scale and shift that fit it best; its range and bit depth are free.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from surgzoo.db.derive.depth import FARTHEST
from surgzoo.db.footage import Shot
from surgzoo.db.schema import Conversation, Media
from surgzoo.metrics import dense
from surgzoo.tasks import templates
from surgzoo.tasks.base import Context, ImageTask
from surgzoo.tasks.pixels import PixelTask, fit, grey, pointer, still

MAP = "depth"


class DepthEstimation(PixelTask, ImageTask):
    name = "depth_estimation"
    number = 10
    headline = "delta1"
    templates = templates.DEPTH_ESTIMATION
    # What a map of zeros would get if it were not aligned first.
    worst = {"delta1": 0.0, "delta2": 0.0, "delta3": 0.0, "abs_rel": 1.0, "rmse": 1.0}
    scales = {"abs_rel": "", "rmse": ""}

    def encode(self, shot: Shot, context: Context) -> list[Conversation]:
        """One conversation, or none where the frame has no depth map."""
        if MAP not in shot.maps:
            return []
        frame = shot.frame
        media = Media(context.source, context.config, frame.video, frame.index, kind=MAP)
        derived = shot.annotations.derived.get(MAP)
        return [self.conversation(shot, context, pointer(media), derived=derived)]

    def compare(self, truth: np.ndarray, said: np.ndarray, answer: Any) -> dict[str, float]:
        """delta1 to 3, abs_rel and rmse (`metrics/dense.py`) after alignment."""
        found = dense.depth(truth.astype(np.float32) / FARTHEST, fit(grey(still(said)), truth))
        return {name: getattr(found, name) for name in self.worst}
