"""Labelled intervals of a video, asked by moment: what turns segments into labels of frames."""

from __future__ import annotations

import bisect
from collections.abc import Iterable

from surgzoo.db import schema


class Intervals:
    """Segments by moment; several of one kind may overlap."""

    def __init__(self, segments: Iterable[schema.Segment]):
        self.segments = tuple(sorted(segments, key=lambda s: (s.start, s.end)))
        self._starts = [segment.start for segment in self.segments]
        self._kinds = frozenset(segment.kind for segment in self.segments)

    def __contains__(self, kind: str) -> bool:
        """Whether anything of a kind is annotated in the video."""
        return kind in self._kinds

    def at(self, kind: str, time: float) -> tuple[schema.Label, ...]:
        """The labels of a kind at `time` in seconds, each once, in order of their starts."""
        begun = self.segments[: bisect.bisect_right(self._starts, time)]
        return tuple(dict.fromkeys(s.label for s in begun if s.kind == kind and time < s.end))

    def one(self, kind: str, time: float) -> schema.Label | None:
        """The label of a kind of which there should be one; None where there is none or several."""
        found = self.at(kind, time)
        return found[0] if len(found) == 1 else None

    def actions(self, time: float) -> tuple[schema.Label, ...] | None:
        """What `FrameAnnotations.actions` says: None where the video has no action annotated."""
        return self.at("action", time) if "action" in self else None


def bridged(
    kind: str, moments: Iterable[tuple[float, schema.Label | None]], gap: float
) -> tuple[schema.Segment, ...]:
    """Segments from seconds with a label, in order; each ends a second after its last one.

    Equal labels at most `gap` seconds apart are one: labels are sparse, and frames without any
    have no record. Moments without a label (None) do not end a run.
    """
    found: list[tuple[schema.Label, float, float]] = []
    for time, label in moments:
        if label is None:
            continue
        if found and found[-1][0] == label and time - found[-1][2] <= gap:
            found[-1] = label, found[-1][1], time
        else:
            found.append((label, time, time))
    return tuple(schema.Segment(kind, label, first, last + 1) for label, first, last in found)


def runs(
    kind: str, labels: Iterable[tuple[float, float, schema.Label | None]]
) -> tuple[schema.Segment, ...]:
    """Segments from labelled pieces (start, end, label) in order; equal ones that touch are one."""
    out: list[schema.Segment] = []
    for start, end, label in labels:
        if label is None:
            continue
        if out and out[-1].label == label and out[-1].end == start:
            out[-1] = schema.Segment(kind, label, out[-1].start, end)
        else:
            out.append(schema.Segment(kind, label, start, end))
    return tuple(out)
