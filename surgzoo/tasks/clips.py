"""The clips that tasks about actions ask about: a video's action segments, in order."""

from __future__ import annotations

from collections.abc import Iterator

from surgzoo.db.footage import Footage
from surgzoo.db.schema import Label, Segment

FROM_FRAMES = "segments joined from frame labels"  # what a record says about such segments


def actions(footage: Footage) -> tuple[list[Segment], str | None]:
    """The action segments by start, and how they were derived (None = annotated as segments).

    A source that labels the actions of frames only gets a segment for each run of frames with one
    label: from its first frame to the frame after its last.
    """
    segments = footage.segments("action")
    if segments:
        return segments, None
    found = sorted(_runs(footage), key=lambda s: (s.start, s.end, s.label.concept))
    return found, FROM_FRAMES if found else None


def _runs(footage: Footage) -> Iterator[Segment]:
    started: dict[Label, float] = {}
    for shot in footage.shots:
        now = shot.frame.time
        seen = set(shot.annotations.actions or ())
        for label in [label for label in started if label not in seen]:
            yield Segment("action", label, started.pop(label), now)
        for label in seen:
            started.setdefault(label, now)
    if started:
        end = footage.shots[-1].frame.time + 1 / footage.video.fps
        yield from (Segment("action", label, start, end) for label, start in started.items())
