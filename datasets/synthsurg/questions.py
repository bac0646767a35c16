"""Questions about a rendered frame with short answers, each true by the scene.

Kinds are those of the field's own question sets, in the manner of EndoVis-18-VQLA (arXiv
2305.11692: where an instrument is, what it does, with its box) and SSG-VQA (arXiv 2312.10251: which
instrument is somewhere, how many there are):

  phase       the phase, no box
  count       how many instruments, "0", "1" ...; no box
  location    the quadrant that the centre of an instrument's box lies in, and the box
  instrument  the one instrument whose centre lies in a quadrant, and its box
  action      the verb of an instrument, "idle" off the tissue, and its box

An instrument is asked about by name only where it is the only one of its kind in view, and a
quadrant only where it holds one instrument, so no question has two right answers.
"""

from __future__ import annotations

import collections
from collections.abc import Sequence

import numpy as np

from surgzoo.db import ontology
from surgzoo.db.schema import Box, Instrument, Label, Question, Triplet

EACH = 2  # questions a frame
BAG = "specimen_bag"  # listed with the instruments, but nobody would count it
IDLE = "idle"


def ask(
    rng: np.random.Generator,
    phase: Label,
    instruments: Sequence[Instrument],
    triplets: Sequence[Triplet],
) -> tuple[Question, ...]:
    """EACH questions of different kinds, drawn among the kinds that the frame has an answer for.

    Args:
      rng: decides the draw and nothing else.
      phase, instruments, triplets: what is annotated about the frame.
    """
    tools = [item for item in instruments if item.label.native != BAG]
    named = collections.Counter(item.label for item in tools)
    alone = [item for item in tools if named[item.label] == 1]
    spots = collections.Counter(quadrant(item.box) for item in instruments)
    lonely = [item for item in tools if spots[quadrant(item.box)] == 1]
    kinds = ["phase", "count"] + ["location", "action"] * bool(alone)
    kinds += ["instrument"] * bool(lonely)
    found = []
    for kind in rng.choice(kinds, EACH, replace=False).tolist():
        if kind == "phase":
            found.append(
                Question("Which phase of the operation is this?", _word("phase", phase), None, kind)
            )
        elif kind == "count":
            text = "How many instruments are in view, a specimen bag not counted?"
            found.append(Question(text, str(len(tools)), None, kind))
        else:
            choice = lonely if kind == "instrument" else alone
            found.append(_about(choice[rng.integers(len(choice))], kind, triplets))
    return tuple(found)


def _about(item: Instrument, kind: str, triplets: Sequence[Triplet]) -> Question:
    name, place = _word("instrument", item.label), quadrant(item.box)
    if kind == "location":
        return Question(f"Where in the picture is the {name}?", place, item.box, kind)
    if kind == "instrument":
        text = f"Which instrument is in the {place} of the picture?"
        return Question(text, name, item.box, kind)
    verb = next(t.verb for t in triplets if t.instrument == item.label)
    said = IDLE if verb.native == "null_verb" else _word("verb", verb)
    return Question(f"Which action does the {name} perform?", said, item.box, kind)


def quadrant(box: Box) -> str:
    """The quarter of the picture that the centre of a box lies in: "upper left", ..."""
    vertical = "upper" if box.y1 + box.y2 < 1 else "lower"
    return f"{vertical} {'left' if box.x1 + box.x2 < 1 else 'right'}"


def _word(kind: str, label: Label) -> str:
    return ontology.name(kind, label.concept)
