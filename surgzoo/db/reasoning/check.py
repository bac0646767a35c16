"""The check of a text against the labels: what it says has to be annotated, and true."""

from __future__ import annotations

import dataclasses

from surgzoo.db import ontology, schema
from surgzoo.db.footage import Shot
from surgzoo.db.reasoning.labels import Labels
from surgzoo.db.reasoning.read import Fact, facts


@dataclasses.dataclass(frozen=True, slots=True)
class Problem:
    """A fact of the text that the labels do not bear out, and why."""

    fact: Fact
    reason: str

    def __str__(self) -> str:
        return self.reason


def verify(text: str, shown: Shot | Labels, video: schema.Video) -> list[Problem]:
    """Everything in a text that is wrong or that the labels do not say; [] if it holds.

    Args:
      text: a trace or caption, ours or a language model's.
      shown: the picture, or the labels of a picture or clip with the segments around it.
    """
    labels = shown if isinstance(shown, Labels) else Labels(video, (shown,))
    problems = []
    for fact in facts(text, video.source):
        truth = _truth(fact, labels)
        if truth is None:
            problems.append(Problem(fact, f"{_said(fact, text)}: not annotated"))
        elif truth is fact.negated:
            problems.append(Problem(fact, f"{_said(fact, text)}: not true"))
    return problems


def _said(fact: Fact, text: str) -> str:
    denied = "denied " if fact.negated else ""
    moment = f" of the {fact.when} picture" if fact.when else ""
    order = f" ({fact.order})" if fact.order else ""
    return f"{denied}{fact.kind}{order}{moment} '{text[fact.start : fact.end]}'"


def _truth(fact: Fact, labels: Labels) -> bool | None:
    """Whether the fact holds, its negation aside; None if the labels do not tell."""
    value, when = fact.value, fact.when
    match fact.kind:
        case "relation":
            return labels.does(*((part.split("|") if part else None) for part in value), when)
        case "idle":
            return labels.idle(value[0].split("|") if value[0] else None, when)
        case "nothing done":
            return labels.nothing_done(when)
        case "place":
            return labels.lies(value[0].split("|"), value[1:], when) if value[0] else None
        case "phase" | "step" if not fact.readings:
            return _stage(fact, labels)
        case "criterion":
            met = labels.met(value[0], when)
            return None if met is None or not value[1] else met == (value[1] == "met")
        case "criteria":
            return _criteria(labels.criteria(when), *value)
        case "number":
            return _number(fact, labels)
        case "seconds":
            return labels.lasts(float(value[0]))
        case "smoke":
            return labels.smoky(when)
        case "look":
            return not set(value[0].split("|")).isdisjoint(value[1:]) if value[0] else None
        case "claim" | "unknown":
            return None
        case "procedure":
            return labels.video.procedure in value if labels.video.procedure else None
        case _:
            return _named(fact, labels)


def _named(fact: Fact, labels: Labels) -> bool | None:
    """A bare name holds if one of its readings does."""
    readings = fact.readings or ((fact.kind, fact.value),)
    answers = []
    for kind, concepts in readings:
        if kind in ("instrument", "tissue", "target"):
            if fact.negated and not _annotates(labels, kind, concepts):
                answers.append(None)  # nobody looked for it
            else:
                answers.append(labels.shows(kind, concepts, fact.when))
        elif kind == "verb":
            answers.append(labels.does(None, concepts, None, fact.when))
        elif kind == "action":
            answers.append(labels.acts(concepts, fact.when))
        elif kind in ("phase", "step"):
            answers.append(labels.stage(kind, concepts, fact.when))
        elif kind == "procedure":
            answers.append(labels.video.procedure in concepts)
    if True in answers:
        return True
    known = [answer for answer in answers if answer is not None]
    return False if known else None


def _annotates(labels: Labels, kind: str, concepts) -> bool:
    table = ontology.table(labels.video.source)
    own = {concept for (k, _), concept in table.items() if k == kind}
    return bool(own.intersection(concepts))


def _stage(fact: Fact, labels: Labels) -> bool | None:
    match fact.order:
        case "before" | "previous":
            direct = fact.order == "previous"
            return labels.before(fact.kind, fact.value, direct=direct, when=fact.when)
        case "after" | "next":
            direct = fact.order == "next"
            return labels.after(fact.kind, fact.value, direct=direct, when=fact.when)
        case _:
            return labels.stage(fact.kind, fact.value, fact.when)


def _number(fact: Fact, labels: Labels) -> bool | None:
    kind, concepts, said, how = fact.value
    counts: set[int] = set()
    for concept in concepts.split("|") if concepts else (None,):
        counts |= labels.count(kind, concept, fact.when) or set()
    if not counts:
        return None
    if how == "at least":
        return max(counts) >= float(said)
    return float(said) in counts


def _criteria(states: list[bool] | None, met: str, of: str) -> bool | None:
    if states is None:
        return None
    if of and int(of) != len(states):
        return False
    match met:
        case "all":
            return all(states)
        case "none":
            return not any(states)
        case "not all":
            return not all(states)
        case _:
            if met.startswith("-"):  # "-0": none is unmet
                return len(states) - sum(states) == int(met[1:])
            return sum(states) == int(met)
