"""Which frames of a clip are shown: named policies, and the rate at which the shown ones stand.

The rate is what a model's time goes by (M-RoPE of arXiv 2502.13923 aligns positions with seconds),
so a policy always says it together with the frames.
"""

from __future__ import annotations

import dataclasses
import math
import typing
from typing import Literal, NamedTuple

Spread = Literal["even", "middle", "last"]
Policy = Literal["fps", "dense_then_even", "even", "middle", "last", "qwen"]

_QWEN_FRAMES = 2  # qwen-vl-utils shows a multiple of so many


class Sample(NamedTuple):
    """Frames of a clip, counted from its first, in order; `fps` (Hz) of them, not of the clip."""

    frames: list[int]
    fps: float


@dataclasses.dataclass(frozen=True)
class VideoConfig:
    """How clips are shown, in training and in the evaluation of what was trained.

    Attributes:
      policy:
        fps              every frame at `fps`; a clip that takes more than `max_frames` is an error
        dense_then_even  at `fps` while that takes at most `max_frames`, else `max_frames` evenly
        even             at most `max_frames`: first, last, and what lies evenly between
        middle           the middle of each of `max_frames` equal parts (TSN, 1608.00859)
        last             the last `max_frames` at `fps`, for questions about the present or future
        qwen             what qwen-vl-utils' smart_nframes shows for `fps`, and the rate it states
      fps: frames a second of video that are wanted (Hz). Stored frames are never repeated: a source
        of a lower rate shows all its frames.
      min_frames: a clip that is so short that `fps` would show fewer shows so many, or all it has.
      max_frames: of a clip.
      tokens: vision tokens that a clip may take; frames are made smaller until they fit, as
        qwen-vl-utils does with VIDEO_TOTAL_PIXELS. None = frames of the model's own video size.
    """

    policy: Policy = "dense_then_even"
    fps: float = 2.0
    min_frames: int = 4
    max_frames: int = 256
    tokens: int | None = None

    def __post_init__(self):
        if self.policy not in typing.get_args(Policy):
            known = ", ".join(typing.get_args(Policy))
            raise ValueError(f"video.policy is one of {known}, not '{self.policy}'")
        if not (self.fps > 0 and math.isfinite(self.fps)):
            raise ValueError(f"video.fps must be a positive rate, not {self.fps}")
        if not 1 <= self.min_frames <= self.max_frames:
            raise ValueError(
                f"video: need 1 <= min_frames <= max_frames, not {self.min_frames} and "
                f"{self.max_frames}"
            )
        if self.tokens is not None and self.tokens < 1:
            raise ValueError(f"video.tokens must be positive or None, not {self.tokens}")


def sample(count: int, fps: float, config: VideoConfig) -> Sample:
    """The frames that are shown of a clip of `count` frames stored at `fps` (Hz).

    Raises ValueError, with the way out, when policy `fps` takes more than `max_frames`.
    """
    if count < 1:
        raise ValueError("a clip without frames cannot be shown")
    most = config.max_frames
    if config.policy == "qwen":
        return _qwen(count, fps, config)
    if config.policy in ("even", "middle"):
        return _spread(count, fps, most, config.policy)
    dense = _at_rate(count, fps, config)
    if config.policy == "last":  # counted from the end, so that the very last frame is shown
        kept = [count - 1 - frame for frame in reversed(dense.frames)]
        return Sample(kept[-most:], dense.fps)
    if len(dense.frames) <= most:
        return dense
    if config.policy == "dense_then_even":
        return _spread(count, fps, most, "even")
    raise ValueError(
        f"{count / fps:.4g} seconds at {config.fps:g} Hz are {len(dense.frames)} frames, more than "
        f"max_frames {most}: raise data.video.max_frames, lower data.video.fps, or choose "
        "data.video.policy=dense_then_even"
    )


def pick(count: int, most: int, spread: Spread = "even") -> list[int]:
    """Which of `count` frames are shown when at most `most` may be, in order.

    even    the first and the last one and what lies evenly between; a single one is the middle one
    middle  the middle of each of `most` equal parts (the test-time sampling of TSN, 1608.00859)
    last    the last ones, for questions about the present or the future
    """
    if most < 1:
        raise ValueError(f"a clip cannot be shown in {most} frames")
    if count <= most:
        return list(range(count))
    if spread == "last":
        return list(range(count - most, count))
    if spread == "middle" or most == 1:
        return [(2 * k + 1) * count // (2 * most) for k in range(most)]
    return [round(k * (count - 1) / (most - 1)) for k in range(most)]


def _spread(count: int, fps: float, most: int, spread: Spread) -> Sample:
    """The frames of `pick` at their mean rate: that of the ideal places, before rounding."""
    frames = pick(count, most, spread)
    if count <= most or most == 1:  # the rate of a single frame moves nothing
        return Sample(frames, fps)
    return Sample(frames, fps * (most / count if spread == "middle" else (most - 1) / (count - 1)))


def _at_rate(count: int, fps: float, config: VideoConfig) -> Sample:
    """From the first frame on one every 1 / config.fps seconds: the last stored one by then."""
    if config.fps >= fps:
        return Sample(list(range(count)), fps)
    step = fps / config.fps  # stored frames
    shown = math.floor((count - 1) / step + 1e-6) + 1
    if shown < min(config.min_frames, count):
        return _spread(count, fps, config.min_frames, "even")
    return Sample([min(count - 1, math.floor(k * step + 1e-6)) for k in range(shown)], config.fps)


def _qwen(count: int, fps: float, config: VideoConfig) -> Sample:
    """As qwen-vl-utils 0.0.8, `smart_nframes` and its readers: an even number, evenly spread.

    The rate that it states is frames / count of the stored one, higher than that of the frames'
    true distance, (frames - 1) / (count - 1). Clips of one frame, an error there, are shown.
    """
    if count < _QWEN_FRAMES:
        return Sample([0], fps)
    least = -(-config.min_frames // _QWEN_FRAMES) * _QWEN_FRAMES
    most = min(config.max_frames, count) // _QWEN_FRAMES * _QWEN_FRAMES
    shown = min(max(count / fps * config.fps, least), most, count)
    shown = max(_QWEN_FRAMES, math.floor(shown / _QWEN_FRAMES) * _QWEN_FRAMES)
    frames = [round(k * (count - 1) / (shown - 1)) for k in range(shown)]
    return Sample(frames, shown / count * fps)
