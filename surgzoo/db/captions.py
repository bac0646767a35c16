"""Captions composed from structured labels: a frame in a few sentences, a clip as a chain of acts.

The words are the ontology's names. The sentence is one of several frames of speech; which one is
the caller's draw (`variant`, any number), so that the same labels always make the same caption. A
caption says nothing that is not annotated.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence

from surgzoo.db import ontology
from surgzoo.db.footage import Footage
from surgzoo.db.reasoning.grammar import capital, listing, third
from surgzoo.db.reasoning.labels import SMOKE, is_null
from surgzoo.db.schema import FrameAnnotations, Segment, Triplet, Video

DERIVED = "templated from labels"  # what a record says about its composed caption

HELD = 2 / 3  # share of a clip's frames in which an act goes on to be said as its background
MOST_ACTS = 8  # of a chain; the rest of a longer clip is left unsaid

_STAGES = {  # (phase known, step known)
    (True, True): ("{phase}, {step}", "{step} in the phase of {phase}", "{phase}, now {step}"),
    (True, False): ("{phase}", "the phase of {phase}"),
    (False, True): ("{step}", "the step of {step}"),
}
_OPENINGS = (
    "{procedure}: {stage}.",
    "During {procedure}, {stage}.",
    "This is {procedure}, {stage}.",
    "The frame shows {procedure}, {stage}.",
    "A moment of {procedure}: {stage}.",
)
_BARE_OPENINGS = ("{procedure}.", "This is {procedure}.", "A view of {procedure}.")
_IN_VIEW = ("In view: {names}.", "Visible: {names}.", "One can see {names}.")
_ALSO_IN_VIEW = ("Also in view: {names}.", "Beside this: {names}.", "Also visible: {names}.")
_EMPTY = (
    "No instrument is in view.",
    "There is no instrument.",
    "The view is free of instruments.",
)
_SMOKE = ("Smoke is in the view.", "There is smoke.", "Smoke veils the view.")
_TOGETHER = (" while ", " as ", " and ")


def clause(instrument: str, verb: str, target: str) -> str:
    """Shown names to "the hook dissects the cystic duct"; verb "" = it does nothing."""
    if not verb:
        return f"the {instrument} is off the tissue"
    return f"the {instrument} {third(verb)} the {target}"


def sentence(text: str) -> str:
    """With a capital and a full stop."""
    return f"{capital(text)}."


def chain(acts: Sequence[str], held: Sequence[str] = (), joint: str = " while ") -> str:
    """Clauses in order as one sentence: "A holds X while B cuts Y, then B clips Z."

    `held` is what goes on all the time; it comes first.
    """
    text = ", then ".join(acts)
    return sentence(joint.join([*held, text] if text else held))


def frame(video: Video, annotations: FrameAnnotations, variant: int) -> str | None:
    """A caption of one frame, or None where fewer than two kinds of label are annotated.

    Kinds are phase, step, instruments and triplets; the procedure is known for every video and does
    not count.
    """
    kinds = (annotations.phase, annotations.step, annotations.instruments, annotations.triplets)
    if sum(kind is not None for kind in kinds) < 2:
        return None
    pick = _Picks(variant)
    parts = [_opening(video, annotations, pick)]
    acts = list(dict.fromkeys(clause_of(item) for item in annotations.triplets or ()))
    if acts:
        parts.append(sentence(pick(_TOGETHER).join(acts)))
    named = {item.instrument.concept for item in annotations.triplets or ()}
    if annotations.instruments is not None:
        seen = [item.label.concept for item in annotations.instruments]
        rest = [f"the {_name('instrument', c)}" for c in dict.fromkeys(seen) if c not in named]
        if rest:
            frames = _ALSO_IN_VIEW if acts else _IN_VIEW
            parts.append(pick(frames).format(names=listing(rest)))
        elif not seen and not acts:
            parts.append(pick(_EMPTY))
    if annotations.flags.get("smoke", 0.0) >= SMOKE:
        parts.append(pick(_SMOKE))
    return " ".join(part for part in parts if part)


def stretch(footage: Footage, start: float, end: float, variant: int) -> str | None:
    """A caption of the stored frames with start <= time < end; None where no act is annotated.

    The acts are the frames' triplets in order of their first frame, those without a verb apart; an
    act in at least HELD of the frames is said as what goes on meanwhile. A video without triplets
    but with action segments gets their names in order.
    """
    clip = footage.clip(start, end)
    if clip is None:
        return None
    shots = footage.shots[clip.first : clip.first + clip.count]
    frames = [
        [clause_of(t) for t in shot.annotations.triplets or () if not is_null(t.verb)]
        for shot in shots
    ]
    joint = _Picks(variant)(_TOGETHER[:2])
    if any(frames):
        counts: dict[str, int] = {}
        for text in itertools.chain.from_iterable(map(dict.fromkeys, frames)):
            counts[text] = counts.get(text, 0) + 1
        held = [text for text, count in counts.items() if count >= HELD * len(frames)]
        acts = _runs([text for text in frame if text not in held] for frame in frames)
        return chain(acts[:MOST_ACTS], held, joint)
    segments = [s for s in footage.segments("action") if s.start < end and s.end > start]
    return chain([_act(s) for s in segments[:MOST_ACTS]]) if segments else None


def clause_of(triplet: Triplet) -> str:
    """The clause of an annotated triplet."""
    verb = "" if is_null(triplet.verb) else _name("verb", triplet.verb.concept)
    return clause(
        _name("instrument", triplet.instrument.concept),
        verb,
        _name("target", triplet.target.concept),
    )


def actor_of(segment: Segment) -> str:
    """Who or what acts, "needle driver" or "left hand"; "" where the source does not say it."""
    return (segment.actor or "").replace("_", " ")


def act_with(action: str, actor: str) -> str:
    """ "dissection with the hook"; the action alone where no actor is known."""
    return f"{action} with the {actor}" if actor else action


# ---- the parts -----------------------------------------------------------------------------------


class _Picks:
    """Independent choices out of one number."""

    def __init__(self, variant: int):
        self._rest = variant

    def __call__(self, options: Sequence[str]) -> str:
        self._rest, which = divmod(self._rest, len(options))
        return options[which]


def _name(kind: str, concept: str) -> str:
    return ontology.name(kind, concept)


def _opening(video: Video, annotations: FrameAnnotations, pick: _Picks) -> str:
    known = (annotations.phase is not None, annotations.step is not None)
    procedure = _name("procedure", video.procedure) if video.procedure else "the operation"
    text = pick(_OPENINGS if any(known) else _BARE_OPENINGS)
    stage = ""
    if any(known):
        stage = pick(_STAGES[known]).format(
            phase=_name("phase", annotations.phase.concept) if annotations.phase else "",
            step=_name("step", annotations.step.concept) if annotations.step else "",
        )
    return capital(text.format(procedure=procedure, stage=stage))


def _runs(frames: Iterable[Sequence[str]]) -> list[str]:
    """What each frame says, joined, each run of equal frames once and empty ones left out.

    An act that goes on from the frame before is not said again beside a new one.
    """
    out: list[str] = []
    before: Sequence[str] = ()
    for acts in frames:
        fresh = [text for text in dict.fromkeys(acts) if text not in before]
        if fresh and (not out or " while ".join(fresh) != out[-1]):
            out.append(" while ".join(fresh))
        before = acts or before
    return out


def _act(segment: Segment) -> str:
    """ "dissection with the hook"."""
    return act_with(_name("action", segment.label.concept), actor_of(segment))
