"""How a question is put: which phrasing, listed choices or none, alone or after a first exchange.

The answer and the id of a conversation never depend on any of it; every draw is a hash of the id
and the seed, so the same database comes out on every machine.
"""

from __future__ import annotations

import dataclasses
import hashlib
import string
from collections.abc import Sequence
from typing import Literal

from surgzoo.db import ontology
from surgzoo.db.footage import Shot
from surgzoo.db.schema import Turn, Video

# open      the question alone
# choice    possible answers are listed as A, B, C ... (the MCQ protocol of SurgVLM-Bench)
# dialogue  an exchange about something else in the same picture comes first
# mixed     a draw of the three: what a training database wants
Protocol = Literal["open", "choice", "dialogue", "mixed"]

MIX = (("open", 0.6), ("choice", 0.2), ("dialogue", 0.2))  # our choice; SurgΣ publishes no shares
MOST_CHOICES = 8
LETTERS = string.ascii_uppercase


@dataclasses.dataclass(frozen=True)
class Wording:
    """How questions are put.

    Attributes:
      seed: draws phrasings, protocols and the order of choices.
      phrasings: only the first so many of a task's phrasings (`grammar.first`); None = all. A small
        model learns faster from few.
      thinking: also compose the reasoning trace.
    """

    seed: int = 0
    phrasings: int | None = None
    protocol: Protocol = "open"
    thinking: bool = False


def draw(identity: str, seed: int, n: int, what: str = "") -> int:
    """A stable pseudo-random number below n (Python's own hash changes between processes)."""
    text = f"{seed}:{what}:{identity}" if what else f"{seed}:{identity}"
    digest = hashlib.blake2b(text.encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little") % n


def protocol(identity: str, wording: Wording) -> Protocol:
    """The protocol of one conversation: the wording's own, or drawn by the shares of MIX."""
    if wording.protocol != "mixed":
        return wording.protocol
    point = draw(identity, wording.seed, 10_000, "protocol") / 10_000
    for name, share in MIX:
        point -= share
        if point < 0:
            return name
    return MIX[-1][0]


def choices(
    identity: str, seed: int, right: Sequence[str], options: Sequence[str]
) -> tuple[str, ...]:
    """At most MOST_CHOICES of the options, all right ones among them, in a drawn order.

    () when there are fewer than two to choose from, or more right ones than can be listed.
    """
    wrong = [option for option in options if option not in right]
    if len(right) + len(wrong) < 2 or not wrong or len(right) >= MOST_CHOICES:
        return ()

    def key(name: str) -> int:
        return draw(f"{identity}/{name}", seed, 1 << 62, "choices")

    listed = [*right, *sorted(wrong, key=key)[: MOST_CHOICES - len(right)]]
    return tuple(sorted(listed, key=lambda name: key(f"order/{name}")))


def listed(choices: Sequence[str]) -> str:
    """ "A. hook\\nB. grasper": the choices as a question lists them."""
    return "\n".join(f"{LETTERS[i]}. {name}" for i, name in enumerate(choices))


def lettered(name: str, choices: Sequence[str]) -> str:
    """ "B. grasper": one choice as an answer names it."""
    return f"{LETTERS[choices.index(name)]}. {name}"


# ---- the exchange that may come first ------------------------------------------------------------

_LEADS = {
    "procedure": (
        "Which operation is this?",
        "What procedure is being performed?",
        "Name the procedure.",
        "What kind of surgery do you see?",
    ),
    "phase": (
        "Which phase of the operation are we in?",
        "First, name the phase.",
        "What is the phase at this moment?",
    ),
    "instruments": (
        "First, which instruments are there?",
        "To begin with, name the tools in the picture.",
        "What is in the surgeon's hands?",
    ),
}


def lead(
    kinds: Sequence[str], identity: str, seed: int, video: Video, shot: Shot
) -> tuple[Turn, Turn] | None:
    """A question about something else that is annotated, with its answer; None if nothing is.

    `kinds` are those that do not give the task's own answer away.
    """
    said: dict[str, str] = {}
    annotations = shot.annotations
    if "procedure" in kinds and video.procedure:
        said["procedure"] = ontology.name("procedure", video.procedure)
    if "phase" in kinds and annotations.phase is not None:
        said["phase"] = ontology.name("phase", annotations.phase.concept)
    if "instruments" in kinds and annotations.instruments is not None:
        names = [ontology.name("instrument", i.label.concept) for i in annotations.instruments]
        said["instruments"] = ", ".join(dict.fromkeys(names)) or "none"
    if not said:
        return None
    kind = tuple(said)[draw(identity, seed, len(said), "lead")]
    question = _LEADS[kind][draw(identity, seed, len(_LEADS[kind]), "lead question")]
    return Turn("user", question), Turn("assistant", said[kind])
