"""Reasoning traces composed from labels: what is in view, what it does, what that means.

The three levels and the wording of their headings are those of arXiv 2603.12430; the sentences are
ours. A trace says nothing that is not annotated: what is None is passed over, what is () is said to
be absent.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Literal

from surgzoo.db import boxes, ontology, schema
from surgzoo.db.footage import Shot
from surgzoo.db.reasoning import grammar
from surgzoo.db.reasoning.grammar import FORMS, a, agree, be, capital, listing, number, the
from surgzoo.db.reasoning.labels import CLEAR, SMOKE, Labels, When, is_null
from surgzoo.db.reasoning.lexicon import sayable

Level = Literal[1, 2, 3]
Pick = Callable[..., str]


def compose(
    shown: Shot | Labels,
    video: schema.Video,
    level: Level,
    identity: str,
    seed: int = 0,
    *,
    asked: Sequence[str] = (),
) -> str | None:
    """A trace that climbs from Level 1 to `level`.

    Args:
      shown: a picture, or the labels of a picture or clip with the segments around it.
      identity, seed: draw the wording; the facts do not depend on them.
      asked: what the question is about ("phase", "step", "criteria", "triplets", "actions",
        "instruments", "tissues"): a trace that has nothing on any of it is None.

    Returns:
      "This is a Level 2 task. Level 1 Perceptual grounding: ... Level 2 Relational understanding:
      ...", or None when nothing is annotated at `level`. Levels below that have no labels are left
      out.
    """
    if level not in grammar.LEVELS:
        raise ValueError(f"a trace climbs to level 1, 2 or 3, not {level}")
    labels = shown if isinstance(shown, Labels) else Labels(video, (shown,))
    if asked and not any(_annotated(labels, field) for field in asked):
        return None
    composer = _Composer(labels, identity, seed)
    parts = [grammar.TASK.format(level=level)]
    said = ""
    for number_, say in enumerate((composer.view, composer.relations, composer.meaning), start=1):
        if number_ > level:
            break
        said = " ".join(say())
        if said:
            parts.append(f"Level {number_} {grammar.LEVELS[number_]}: {said}")
    return " ".join(parts) if said else None


def _annotated(labels: Labels, field: str) -> bool:
    known = schema.FrameAnnotations.__dataclass_fields__
    if field not in known:
        raise ValueError(f"a frame has no annotation '{field}'; it has {', '.join(sorted(known))}")
    return any(getattr(shot.annotations, field) is not None for shot in labels.shots)


class _Composer:
    """Sentences about one thing shown; every draw is named, so that none moves another."""

    def __init__(self, labels: Labels, identity: str, seed: int):
        self.labels = labels
        self.identity = identity
        self.seed = seed
        self.source = labels.video.source

    def pick(self, form: str, what: str = "", **fields: str) -> str:
        forms = FORMS[form]
        chosen = forms[grammar.draw(self.identity, self.seed, len(forms), f"{form}/{what}")]
        return chosen.format(**fields)

    def name(self, kind: str, label: schema.Label) -> str | None:
        """The shown name, None for one that no sentence could be told by."""
        name = ontology.name(kind, label.concept)
        return name if sayable(name) else None

    def moments(self) -> list[tuple[When | None, schema.FrameAnnotations]]:
        """The pictures that are spoken of: the one, or first, middle and last of a clip."""
        if not self.labels.is_clip:
            return [(None, self.labels.shots[0].annotations)]
        times: tuple[When, ...] = ("first", "middle", "last")
        if len(self.labels.shots) == 2:
            times = ("first", "last")
        return [(when, self.labels.shot(when).annotations) for when in times]

    def timed(self, when: When | None, sentences: list[str], what: str) -> list[str]:
        """Sentences of one moment; in a clip the first one says which."""
        if when is None or not sentences:
            return sentences
        text = sentences[0]
        return [self.pick(when, what, text=text[0].lower() + text[1:]), *sentences[1:]]

    # ---- level 1 ---------------------------------------------------------------------------------

    def view(self) -> Iterator[str]:
        start, end = self.labels.span
        if self.labels.is_clip and (n := round(end - start)) >= 1:
            yield self.pick("duration", n=f"{n} second{'' if n == 1 else 's'}")
        for when, known in self.moments():
            if when == "middle":
                continue  # the ends show what came and went
            sentences = [
                *self.instruments(known, str(when)),
                *self.tissues(known, str(when)),
                *self.smoke(known, str(when)),
            ]
            yield from self.timed(when, sentences, "view")

    def instruments(self, known: schema.FrameAnnotations, what: str) -> Iterator[str]:
        items = known.instruments
        if items is None:
            return
        if not items:
            yield self.pick("no instrument", what)
            return
        count = f"{number(len(items))} instrument{'' if len(items) == 1 else 's'}"
        are = "is" if len(items) == 1 else "are"
        yield self.pick("count", what, Count=capital(count), count=count, are=are)
        seen: dict[str, int] = {}
        for index, item in enumerate(items):
            name = self.name("instrument", item.label)
            if name is None:
                continue
            seen[name] = seen.get(name, 0) + 1
            look = grammar.LOOKS.get(item.label.concept)
            some = a(name) if seen[name] == 1 else f"another {name}"
            if look and seen[name] == 1 and len(items) < 4:
                chosen = grammar.draw(self.identity, self.seed, len(look) + 1, f"look/{name}{what}")
                some += f" {look[chosen]}" if chosen < len(look) else ""
            words = {"a": some, "A": capital(some), "is": be(name), "lies": agree("lie", name)}
            words["comes"] = agree("come", name)
            if item.box is None:
                yield self.pick("unplaced", f"{index}{what}", **words) + "."
            else:
                place = boxes.cell(item.box)
                yield self.pick("placed", f"{index}{what}", place=place, **words) + "."

    def tissues(self, known: schema.FrameAnnotations, what: str) -> Iterator[str]:
        if known.tissues is None:
            return
        if not known.tissues:
            yield self.pick("no tissue", what)
            return
        placed = {}
        for tissue in known.tissues:
            if (name := self.name("tissue", tissue.label)) is not None:
                placed.setdefault(name, tissue.box)
        if not placed:
            return
        names = [the(name) for name in placed]
        form = "tissue" if len(names) == 1 else "tissues"
        yield self.pick(form, what, list=listing(names), List=capital(listing(names)))
        boxed = [(name, box) for name, box in placed.items() if box is not None]
        if boxed:
            name, box = boxed[grammar.draw(self.identity, self.seed, len(boxed), f"tissue{what}")]
            words = {"The": capital(the(name)), "lies": agree("lie", name), "is": be(name)}
            yield self.pick("tissue place", what, place=boxes.cell(box), **words)

    def smoke(self, known: schema.FrameAnnotations, what: str) -> Iterator[str]:
        smoke = known.flags.get("smoke")
        if smoke is not None and smoke >= SMOKE:
            yield self.pick("smoke", what)
            return
        said = grammar.draw(self.identity, self.seed, 4, f"clear{what}") == 0
        if said and smoke is not None and smoke < CLEAR:
            yield self.pick("no smoke", what)

    # ---- level 2 ---------------------------------------------------------------------------------

    def relations(self) -> Iterator[str]:
        before: tuple | None = None
        for when, known in self.moments():
            labels = (known.triplets, known.actions)
            if labels != before:  # what goes on as before is not said again
                sentences = [*self.triplets(known, str(when)), *self.actions(known, str(when))]
                yield from self.timed(when, sentences, "relations")
            before = labels

    def triplets(self, known: schema.FrameAnnotations, what: str) -> Iterator[str]:
        if known.triplets is None:
            return
        clauses = [*dict.fromkeys(self.clauses(known, what))]
        if not known.triplets:
            yield self.pick("nothing done", what)
        if clauses:
            yield capital(" while ".join(clauses)) + "."

    def clauses(self, known: schema.FrameAnnotations, what: str) -> Iterator[str]:
        """Who does what to what, one clause a triplet."""
        for triplet in known.triplets or ():
            name = self.name("instrument", triplet.instrument)
            if name is None or is_null(triplet.instrument):
                continue
            if is_null(triplet.verb):
                touches = agree("touch", name)
                yield self.pick("idle", what, the=the(name), **{"is": be(name)}, touches=touches)
                continue
            verb = self.name("verb", triplet.verb)
            target = self.name("target", triplet.target)
            if verb is None or target is None or is_null(triplet.target):
                continue
            passive = grammar.draw(self.identity, self.seed, 4, f"voice{what}") == 0
            yield self.pick(
                "passive" if passive else "active",
                what,
                the=the(name),
                it=the(target),
                **{"is": be(name)},
                are=be(target),
                does=agree(verb, name),
                doing=grammar.doing(verb),
                done=grammar.done(verb),
            )

    def actions(self, known: schema.FrameAnnotations, what: str) -> Iterator[str]:
        if known.actions is None:
            return
        if not known.actions:
            yield self.pick("no action", what)
            return
        names = [name for label in known.actions if (name := self.name("action", label))]
        for index, name in enumerate(dict.fromkeys(names)):
            yield self.pick("another action" if index else "action", f"{index}{what}", name=name)

    # ---- level 3 ---------------------------------------------------------------------------------

    def meaning(self) -> Iterator[str]:
        when, known = self.moments()[-1]
        sentences = [*self.stages(known, when), *self.criteria(known)]
        if not sentences:
            return
        if self.labels.video.procedure:
            name = ontology.name("procedure", self.labels.video.procedure)
            if sayable(name) and grammar.draw(self.identity, self.seed, 2, "procedure?"):
                yield self.pick("procedure", a=a(name))
        yield from self.timed(when, sentences, "meaning")

    def stages(self, known: schema.FrameAnnotations, when: When | None) -> Iterator[str]:
        if known.phase is not None and (name := self.name("phase", known.phase)):
            clauses = [c for c in self.clauses(known, "because") if "the tissue" not in c]
            if clauses and grammar.draw(self.identity, self.seed, 2, "because?"):
                yield self.pick("phase of", clause=clauses[0], name=name)
            else:
                yield self.pick("phase", name=name)
            if earlier := self.labels.past("phase", when):
                previous = self.name("phase", earlier[-1].label)
                if previous and grammar.draw(self.identity, self.seed, 2, "previous?"):
                    yield self.pick("previous", name=previous)
        if known.step is not None and (name := self.name("step", known.step)):
            yield self.pick("step", name=name)

    def criteria(self, known: schema.FrameAnnotations) -> Iterator[str]:
        items = []
        for index, criterion in enumerate(known.criteria or ()):
            if (name := self.name("criterion", criterion.label)) is not None:
                met = self.pick("met" if criterion.met else "not met", str(index))
                items.append(self.pick("criterion", str(index), name=name, met=met))
        if items:
            yield self.pick("criteria", list=listing(items))
