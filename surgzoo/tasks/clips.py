"""The clips that tasks about actions ask about: a video's action segments, in order."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from surgzoo.db import captions
from surgzoo.db.footage import Footage
from surgzoo.db.schema import Label, Segment

_GAP = 2.5
FROM_FRAMES = "segments joined from frame labels"  # what a record says about such segments


def actions(footage: Footage) -> tuple[list[Segment], str | None]:
    """The action segments by start, and how they were derived (None = annotated as segments).

    A source that labels the actions of frames only gets a segment for each run of frames with one
    action: from its first frame to the frame after its last. Frames farther apart than `_GAP`
    frame periods are in no run together: nobody knows what happened between them, and single
    pictures of an atlas are no video at all.
    """
    segments = footage.segments("action")
    if segments:
        return segments, None
    found = sorted(_runs(footage), key=lambda s: (s.start, s.end, s.label.concept))
    return found, FROM_FRAMES if found else None


def beside(footage: Footage, segments: Sequence[Segment], segment: Segment) -> list[Segment]:
    """The other segments that share a stored frame with this one."""
    mine = footage.clip(segment.start, segment.end)
    if mine is None:
        return []
    out = []
    for other in segments:
        if other is segment or other.start >= segment.end or other.end <= segment.start:
            continue
        theirs = footage.clip(other.start, other.end)
        if (
            theirs
            and theirs.first < mine.first + mine.count
            and mine.first < theirs.first + theirs.count
        ):
            out.append(other)
    return out


def told_apart(segment: Segment, rivals: Sequence[Segment]) -> str | None:
    """The actor by whom a question can ask for this segment and for none of `rivals`.

    "" where there are none, so that nothing needs to be told apart; None where the source does not
    say all actors, or the same one does both: such a question has no one answer.
    """
    if not rivals:
        return ""
    actor = captions.actor_of(segment)
    others = {captions.actor_of(other) for other in rivals}
    return actor if actor and "" not in others and actor not in others else None


def _runs(footage: Footage) -> Iterator[Segment]:
    started: dict[str, tuple[Label, float]] = {}
    period, before = 1 / footage.video.fps, None
    for shot in footage.shots:
        now = shot.frame.time
        if before is not None and now - before > _GAP * period:
            yield from (Segment("action", *run, before + period) for run in started.values())
            started = {}
        before = now
        seen = {label.concept: label for label in shot.annotations.actions or ()}
        for concept in [concept for concept in started if concept not in seen]:
            yield Segment("action", *started.pop(concept), now)
        for concept, label in seen.items():
            started.setdefault(concept, (label, now))
    if started:
        yield from (Segment("action", *run, before + period) for run in started.values())
