"""What a pair of a picture and a text is made of (`data/rows/pairs.py`)."""

from __future__ import annotations

import dataclasses
from typing import Literal, get_args

Level = Literal["frame", "step", "video"]


@dataclasses.dataclass(frozen=True)
class PairConfig:
    """For models that read pairs of a picture and a text.

    Attributes:
      prompts: file with the sentences that stand for a label, or the name of a shipped one; "" = a
        plain sentence with the label's name (`db/sentences`). For tasks whose answer is a label.
      views: further pictures of the frame, each changed anew (`data/rows/changes.py`); what the
        objective surgvlp_clip compares a frame with.
      level: what is one row. frame: a picture and its text. step: pictures of a captioned clip, its
        caption, and texts of frames inside it. video: pictures of a whole video, the captions of
        its clips as one text, and those captions one by one.
      frames: pictures of a step or video, evenly spaced.
      children: texts inside of a step or video.
    """

    prompts: str = ""
    views: int = 0
    level: Level = "frame"
    frames: int = 8
    children: int = 4

    def __post_init__(self):
        if self.level not in get_args(Level):
            raise ValueError(
                f"pairs.level is one of {', '.join(get_args(Level))}, not '{self.level}'"
            )
        for field, least in (("views", 0), ("frames", 1), ("children", 1)):
            if getattr(self, field) < least:
                raise ValueError(f"pairs.{field} is {getattr(self, field)}, not {least} or more")
        if self.views and self.level != "frame":
            raise ValueError("pairs.views are of level frame: leave out views, or level")
