"""What is known about a picture or a clip: the labels that a trace speaks from and is checked by.

Questions to the labels answer True, False, or None where the source does not annotate the matter.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable
from typing import Literal

from surgzoo.db import boxes, schema
from surgzoo.db.footage import Footage, Shot

# Which picture of a clip is spoken of; None = any of them.
When = Literal["first", "middle", "last"]

SMOKE = 0.3  # share of the view from which a picture counts as smoky
CLEAR = 0.05  # and below which it counts as clear; between the two nothing is said

_NULL = "null"  # begins the concepts that stand for "does nothing" and "touches nothing"
_SECOND = 0.51  # seconds are said as whole numbers


@dataclasses.dataclass(frozen=True)
class Labels:
    """The labels of one picture, or of a clip's pictures.

    Attributes:
      video: procedure and source. shots: the pictures, in order, one or more.
      segments: labelled intervals of the whole video; () where there are none or they are unknown.
    """

    video: schema.Video
    shots: tuple[Shot, ...]
    segments: tuple[schema.Segment, ...] = ()

    def __post_init__(self):
        if not self.shots:
            raise ValueError(f"{self.video.id}: labels need at least one picture")

    @classmethod
    def of_frame(cls, footage: Footage, index: int) -> Labels:
        """The labels of stored frame `index`, with the segments of its video."""
        return cls(footage.video, (footage.shots[index],), footage.annotations.segments)

    @classmethod
    def of_clip(cls, footage: Footage, first: int, count: int) -> Labels:
        """The labels of stored frames first .. first + count - 1, with the video's segments.

        Raises ValueError when the video has no such frames.
        """
        if first < 0 or count < 1 or first + count > len(footage.shots):
            raise ValueError(
                f"{footage.video.id}: has no stored frames {first} to {first + count - 1}, its "
                f"{len(footage.shots)} begin at 0; was another config of the source meant?"
            )
        shots = tuple(footage.shots[first : first + count])
        return cls(footage.video, shots, footage.annotations.segments)

    @property
    def span(self) -> tuple[float, float]:
        """Start and end in seconds; a frame stands for the time until the next one."""
        return self.shots[0].frame.time, self.shots[-1].frame.time + 1 / self.video.fps

    @property
    def is_clip(self) -> bool:
        return len(self.shots) > 1

    def shot(self, when: When) -> Shot:
        place = {"first": 0, "middle": len(self.shots) // 2, "last": -1}[when]
        return self.shots[place]

    def _known(self, when: When | None) -> list[schema.FrameAnnotations]:
        shots = self.shots if when is None else (self.shot(when),)
        return [shot.annotations for shot in shots]

    def _any(self, when: When | None, ask: Callable[[schema.FrameAnnotations], bool | None]):
        """True if it holds in any picture, None if no picture is annotated for it."""
        answers = [ask(known) for known in self._known(when)]
        if any(answers):
            return True
        return None if all(answer is None for answer in answers) else False

    # ---- what is in view -------------------------------------------------------------------------

    def shows(self, kind: str, concepts: Iterable[str], when: When | None = None) -> bool | None:
        """Whether one of the concepts, an instrument, a tissue or a target, is in view."""
        concepts = set(concepts)

        def ask(known: schema.FrameAnnotations) -> bool | None:
            lists = []
            if kind == "instrument":
                lists.append(_of(known.instruments, lambda item: item.label.concept))
                lists.append(_of(known.triplets, lambda item: item.instrument.concept))
            else:
                if kind == "tissue":
                    lists.append(_of(known.tissues, lambda item: item.label.concept))
                lists.append(_of(known.triplets, lambda item: item.target.concept))
            return _contains(lists, concepts)

        return self._any(when, ask)

    def count(self, kind: str, concept: str | None, when: When | None = None) -> set[int] | None:
        """How many instruments, tissues or actions there are; of one concept if it is named.

        Several numbers where the pictures differ; None where nobody counted.
        """
        out = set()
        for known in self._known(when):
            if kind == "action":
                names = _of(known.actions, lambda item: item.concept)
            else:
                items = known.instruments if kind == "instrument" else known.tissues
                names = _of(items, lambda item: item.label.concept)
            if names is not None:
                out.add(len(names) if concept is None else names.count(concept))
        return out or None

    def lies(self, concepts: Iterable[str], cells: Iterable[str], when: When | None) -> bool | None:
        """Whether the box of one of the instruments or tissues has its centre in one of the cells
        of the 3x3 grid."""
        concepts, cells = set(concepts), set(cells)

        def ask(known: schema.FrameAnnotations) -> bool | None:
            things = (*(known.instruments or ()), *(known.tissues or ()))
            placed = [t.box for t in things if t.label.concept in concepts and t.box is not None]
            return any(boxes.cell(box) in cells for box in placed) if placed else None

        return self._any(when, ask)

    def smoky(self, when: When | None = None) -> bool | None:
        def ask(known: schema.FrameAnnotations) -> bool | None:
            smoke = known.flags.get("smoke")
            if smoke is None or CLEAR <= smoke < SMOKE:
                return None
            return smoke >= SMOKE

        return self._any(when, ask)

    # ---- what is done ----------------------------------------------------------------------------

    def does(
        self,
        instruments: Iterable[str] | None,
        verbs: Iterable[str] | None,
        targets: Iterable[str] | None,
        when: When | None = None,
    ) -> bool | None:
        """Whether a triplet has one of each; None for a part stands for any."""
        wanted = [None if part is None else set(part) for part in (instruments, verbs, targets)]

        def ask(known: schema.FrameAnnotations) -> bool | None:
            if known.triplets is None:
                return None
            return any(
                all(
                    part is None or label.concept in part
                    for part, label in zip(wanted, (t.instrument, t.verb, t.target), strict=True)
                )
                for t in known.triplets
            )

        return self._any(when, ask)

    def idle(self, instruments: Iterable[str] | None, when: When | None = None) -> bool | None:
        """Whether one of the instruments is in view and does nothing."""
        wanted = None if instruments is None else set(instruments)

        def ask(known: schema.FrameAnnotations) -> bool | None:
            if known.triplets is None:
                return None
            return any(
                is_null(t.verb) and (wanted is None or t.instrument.concept in wanted)
                for t in known.triplets
            )

        return self._any(when, ask)

    def nothing_done(self, when: When | None = None) -> bool | None:
        def ask(known: schema.FrameAnnotations) -> bool | None:
            if known.triplets is None:
                return None
            return all(is_null(t.verb) for t in known.triplets)

        return self._any(when, ask)

    def acts(self, concepts: Iterable[str], when: When | None = None) -> bool | None:
        """Whether one of the actions is going on."""
        concepts = set(concepts)
        found = self._any(
            when, lambda known: _contains([_of(known.actions, lambda a: a.concept)], concepts)
        )
        if found is not True and self.is_clip and when is None:
            start, end = self.span
            inside = [
                s.label.concept in concepts
                for s in self.segments
                if s.kind == "action" and s.start < end and s.end > start
            ]
            found = True if any(inside) else found
        return found

    # ---- where in the operation ------------------------------------------------------------------

    def stage(self, kind: str, concepts: Iterable[str], when: When | None = None) -> bool | None:
        """Whether the phase (or step) is one of the concepts."""
        concepts = set(concepts)

        def ask(known: schema.FrameAnnotations) -> bool | None:
            label = known.phase if kind == "phase" else known.step
            return None if label is None else label.concept in concepts

        return self._any(when, ask)

    def before(
        self, kind: str, concepts: Iterable[str], direct: bool, when: When | None = None
    ) -> bool | None:
        """Whether the phase (or step) ended before what is shown; right before it if `direct`."""
        past = self.past(kind, when)
        return self._holds(kind, concepts, past[-1:] if direct else past)

    def after(
        self, kind: str, concepts: Iterable[str], direct: bool, when: When | None = None
    ) -> bool | None:
        """Whether the phase (or step) begins after what is shown; right after it if `direct`."""
        end = self.shot(when or "last").frame.time
        coming = [s for s in self._ordered(kind) if s.start > end + 1e-6]
        return self._holds(kind, concepts, coming[:1] if direct else coming)

    def past(self, kind: str, when: When | None = None) -> list[schema.Segment]:
        """The segments of a kind that ended before a picture (the first one), in order."""
        start = self.shot(when or "first").frame.time
        return [s for s in self._ordered(kind) if s.end <= start + 1e-6]

    def _ordered(self, kind: str) -> list[schema.Segment]:
        return sorted((s for s in self.segments if s.kind == kind), key=lambda s: s.start)

    def _holds(self, kind, concepts, segments) -> bool | None:
        if not self._ordered(kind):
            return None
        return any(s.label.concept in set(concepts) for s in segments)

    def met(self, concept: str, when: When | None = None) -> bool | None:
        """Whether a criterion is met: asked of the last picture of a clip."""
        for known in self._known(when or "last"):
            for criterion in known.criteria or ():
                if criterion.label.concept == concept:
                    return criterion.met
        return None

    def criteria(self, when: When | None = None) -> list[bool] | None:
        """Which criteria are met, in the source's order."""
        criteria = self._known(when or "last")[0].criteria
        return None if criteria is None else [criterion.met for criterion in criteria]

    def lasts(self, seconds: float) -> bool | None:
        """Whether the clip lasts that long, to the nearest second."""
        if not self.is_clip:
            return None
        start, end = self.span
        return abs(end - start - seconds) < _SECOND


def is_null(label: schema.Label) -> bool:
    """Whether the label stands for an instrument that does nothing, or for no target."""
    return label.concept.startswith(_NULL)


def _of(items, concept) -> list[str] | None:
    return None if items is None else [concept(item) for item in items]


def _contains(lists: list[list[str] | None], concepts: set[str]) -> bool | None:
    known = [names for names in lists if names is not None]
    return any(concepts.intersection(names) for names in known) if known else None
