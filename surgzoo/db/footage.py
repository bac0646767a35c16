"""One stored video as the tasks read it: every annotation at hand, pixels only on demand.

Tasks at image level look at one `Shot` at a time; tasks at clip level at the whole `Footage`. A
footage is read once and serves all tasks.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence

from surgzoo.db import schema


@dataclasses.dataclass(frozen=True, slots=True)
class Shot:
    """One stored frame without its pixels. `maps` names the dense maps stored beside it."""

    frame: schema.Frame
    annotations: schema.FrameAnnotations
    maps: frozenset[str] = frozenset()


@dataclasses.dataclass(frozen=True)
class Footage:
    """A video's stored frames in order.

    Attributes:
      video: identity, splits, fps. shots: frame i of the stored sequence is shots[i].
      annotations: segments, captions and ratings of the video as a whole.
      dense: (frame number, name of a map) -> its encoded bytes; see `records.DENSE`.
    """

    video: schema.Video
    shots: Sequence[Shot]
    annotations: schema.VideoAnnotations = dataclasses.field(
        default_factory=schema.VideoAnnotations
    )
    dense: Callable[[int, str], bytes] | None = None

    def index_at(self, time: float) -> int | None:
        """The stored frame that shows `time` (the last one not after it), None before the first.

        Frames of sparse sources are not evenly spaced, so times are looked at, not divided.
        """
        low, high = 0, len(self.shots)
        while low < high:
            middle = (low + high) // 2
            if self.shots[middle].frame.time <= time + 1e-6:
                low = middle + 1
            else:
                high = middle
        return low - 1 if low else None

    def clip(self, start: float, end: float) -> schema.Clip | None:
        """The stored frames with start <= time < end; None when there are none."""
        first = self.index_at(start)
        if first is None or self.shots[first].frame.time < start - 1e-6:
            first = 0 if first is None else first + 1
        last = self.index_at(end - 2e-6)
        if last is None or last < first:
            return None
        return schema.Clip(self.video.id, first, last - first + 1, start, end)

    def segments(self, kind: str) -> list[schema.Segment]:
        """The labelled intervals of one kind, by start."""
        found = [s for s in self.annotations.segments if s.kind == kind]
        return sorted(found, key=lambda s: (s.start, s.end))
