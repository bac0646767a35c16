"""Random labels of every source, and wrong facts planted in what is composed from them.

A planted fact is wrong by construction: the labels alone say so, the checker is never asked.
"""

import random
import re

from surgzoo.db import boxes, ontology
from surgzoo.db.footage import Shot
from surgzoo.db.reasoning import Labels, grammar, lexicon
from surgzoo.db.schema import (
    Box,
    Criterion,
    Frame,
    FrameAnnotations,
    Instrument,
    Label,
    Segment,
    Tissue,
    Triplet,
    Video,
)
from surgzoo.db.words import stem

SOURCES = ontology.sources()


def concepts(source, kind):
    found = dict.fromkeys(c for (k, _), c in ontology.table(source).items() if k == kind)
    return [c for c in found if lexicon.sayable(ontology.name(kind, c))]


def random_video(source):
    procedure = next(iter(concepts(source, "procedure")), "cholecystectomy")
    return Video("V1", "p/V1", source, "", procedure, "", width=100, height=100)


def random_shot(rng: random.Random, source, index=0, silent=0.1):
    """Each field is annotated where the source has labels for it, but for a share of `silent`."""

    def some(kind, low, high):
        names = concepts(source, kind)
        if not names or rng.random() < silent:
            return None
        return [Label(c, c) for c in rng.choices(names, k=rng.randint(low, high))]

    def box():
        if rng.random() < 0.1:
            return None
        x, y = rng.uniform(0, 0.8), rng.uniform(0, 0.8)
        return Box(x, y, x + rng.uniform(0.05, 0.2), y + rng.uniform(0.05, 0.2))

    def one(kind):
        found = some(kind, 1, 1)
        return found[0] if found else None

    def unique(labels):
        return None if labels is None else tuple(dict.fromkeys(labels))

    instruments, tissues = some("instrument", 0, 3), some("tissue", 0, 5)
    valid = ontology.triplets(source)
    triplets = None
    if valid and rng.random() >= silent:
        triplets = tuple(
            Triplet(*(Label(part, part) for part in rng.choice(valid)))
            for _ in range(rng.randint(0, 3))
        )
    criteria = [Label(c, c) for c in concepts(source, "criterion")]
    return Shot(
        Frame("V1", index, float(index)),
        FrameAnnotations(
            phase=one("phase"),
            step=one("step"),
            actions=unique(some("action", 0, 2)),
            instruments=None
            if instruments is None
            else tuple(Instrument(label, box()) for label in instruments),
            tissues=None
            if tissues is None
            else tuple(Tissue(label, box()) for label in unique(tissues)),
            triplets=triplets,
            criteria=tuple(Criterion(c, float(rng.random() < 0.5)) for c in criteria)
            if criteria and rng.random() >= silent
            else None,
            flags={} if rng.random() < 0.3 else {"smoke": rng.choice([0.0, 0.1, 0.3, 0.9])},
        ),
    )


def random_labels(rng: random.Random, source, count=1, silent=0.1) -> Labels:
    """The labels of a frame, or of a clip of `count` frames, with the phases around it."""
    shots = tuple(random_shot(rng, source, index + 20, silent) for index in range(count))
    phases = concepts(source, "phase")
    segments = (
        tuple(
            Segment("phase", Label(c, c), start, start + 10.0)
            for start, c in zip((0.0, 10.0, 60.0, 70.0), rng.choices(phases, k=4), strict=True)
            if phases
        )
        if phases
        else ()
    )
    return Labels(random_video(source), shots, segments)


# ---- wrong facts ---------------------------------------------------------------------------------


class Names:
    """Which concepts the labels hold, over all pictures, and all that the source has."""

    def __init__(self, labels: Labels):
        self.source = labels.video.source
        held = {kind: set() for kind in ontology.KINDS}
        for known in (shot.annotations for shot in labels.shots):
            for item in known.instruments or ():
                held["instrument"].add(item.label.concept)
            for item in known.tissues or ():
                held["tissue"].add(item.label.concept)
            for item in known.actions or ():
                held["action"].add(item.concept)
            for item in known.triplets or ():
                held["instrument"].add(item.instrument.concept)
                held["verb"].add(item.verb.concept)
                held["target"].add(item.target.concept)
            for kind, label in (("phase", known.phase), ("step", known.step)):
                if label is not None:
                    held[kind].add(label.concept)
        self.held = held
        self.words = {kind: {ontology.name(kind, c) for c in found} for kind, found in held.items()}

    def absent(self, kind, *, beside=()):
        """Names of the source that the labels do not hold, under this kind or those `beside`."""
        taken = set().union(*(self.words[k] for k in (kind, *beside)))
        names = [ontology.name(kind, c) for c in concepts(self.source, kind)]
        return [name for name in names if name not in taken]


def _swap(rng, text, old, new):
    """The text with one of the places where it says `old` changed to `new`; None if none does."""
    # sorted, as the order of a set would make each run another test
    found = [m for word in sorted(old) for m in re.finditer(rf"\b{re.escape(word)}\b", text)]
    if not found or not new:
        return None
    place = rng.choice(found)
    return text[: place.start()] + rng.choice(new) + text[place.end() :]


def _part(text, begin, end=None):
    """Offsets of the text from heading `begin` to heading `end`."""
    start = text.find(f"{begin}:")
    if start < 0:
        return len(text), len(text)
    stop = text.find(f"{end}:") if end else -1
    return start, stop if stop > start else len(text)


def _inside(rng, text, levels, old, new):
    start, stop = _part(text, *(grammar.LEVELS.get(level) for level in levels))
    changed = _swap(rng, text[start:stop], old, new)
    return None if changed is None else text[:start] + changed + text[stop:]


def plant(kind: str, rng: random.Random, text: str, labels: Labels) -> str | None:
    """The text with one fact of the kind made wrong; None where it states none."""
    names = Names(labels)
    known = labels.shots[0].annotations
    match kind:
        case "instrument":
            return _swap(
                rng,
                text,
                [n for n in names.words[kind] if n not in names.words["target"]],
                names.absent(kind, beside=("target", "tissue")),
            )
        case "tissue":
            old = names.words[kind] - names.words["instrument"]
            return _inside(rng, text, (1, 2), old, names.absent(kind, beside=("target",)))
        case "target":
            # what is wrong may well be in view: the relation is wrong
            old = names.words[kind] - names.words["instrument"]
            return _inside(rng, text, (2, 3), old, names.absent(kind))
        case "verb":
            for inflect in rng.sample([grammar.third, grammar.doing, grammar.done], 3):
                old = [inflect(name) for name in sorted(names.words[kind])]
                new = [inflect(name) for name in names.absent(kind)]
                if changed := _inside(rng, text, (2, 3), old, new):
                    return changed
            return None
        case "relation":
            return _exchange(rng, text, known)
        case "place":
            cells = {
                boxes.cell(item.box)
                for shot in labels.shots
                for item in (
                    *(shot.annotations.instruments or ()),
                    *(shot.annotations.tissues or ()),
                )
                if item.box is not None
            }
            return _swap(rng, text, boxes.CELLS, [c for c in boxes.CELLS if c not in cells])
        case "places traded":
            return _misplace(text, known) if len(labels.shots) == 1 else None
        case "phase" | "step" | "action":
            cue = rf"(?:{kind} is |points to the |belongs to the |in the |the )"
            for name in sorted(names.words[kind], key=lambda name: (-len(name), name)):
                found = re.search(rf"{cue}{re.escape(name)}(?:\.| {kind})", text)
                new = names.absent(kind)
                if found and new:
                    changed = found.group().replace(name, rng.choice(new))
                    return text[: found.start()] + changed + text[found.end() :]
            return None
        case "criterion":
            states = (*grammar.FORMS["met"], *grammar.FORMS["not met"])
            found = list(re.finditer(rf" is ((?:not |not yet )?(?:{'|'.join(states)}))\b", text))
            if not found:
                return None
            place = rng.choice(found)
            new = grammar.FORMS["met" if place[1].startswith("not") else "not met"]
            return f"{text[: place.start()]} is {rng.choice(new)}{text[place.end() :]}"
        case "number":
            counts = {len(s.annotations.instruments or ()) for s in labels.shots}
            new = [n for n in range(1, 8) if n not in counts]
            found = re.search(r"(?i)\b(one|two|three|four)( instrument)s?\b", text)
            if not found:
                return None
            n = rng.choice(new)
            said = f"{grammar.number(n)}{found[2]}{'' if n == 1 else 's'}"
            return text[: found.start()] + said + text[found.end() :]
        case "seconds":
            found = re.search(r"\b(\d+) second", text)
            if not found:
                return None
            wrong = int(found[1]) + rng.choice([-1, 1, 2, 5])
            return text[: found.start(1)] + str(wrong) + text[found.end(1) :]
        case "denial":
            # what is in every picture is said not to be there
            views = [
                {i.label.concept for i in s.annotations.instruments or ()} for s in labels.shots
            ]
            present = sorted(set.intersection(*views))
            if not present:
                return None
            return f"{text} No {ontology.name('instrument', rng.choice(present))} is in view."
        case "previous":
            found = re.search(r"(?:follows the|previous phase was) ([a-z ]+?)(?: phase)?\.", text)
            past = {s.label.concept for s in labels.segments if s.end <= 20}
            new = [c for c in concepts(names.source, "phase") if c not in past]
            if not found or not new:
                return None
            name = ontology.name("phase", rng.choice(new))
            return text[: found.start(1)] + name + text[found.end(1) :]
        case "look":
            held = {grammar.LOOKS[c] for c in names.held["instrument"] if c in grammar.LOOKS}
            own = {look for looks in held for look in looks}
            every = {look for looks in grammar.LOOKS.values() for look in looks}
            return _swap(rng, text, own, sorted(every - own))
        case "procedure":
            found = re.search(r"(?:operation|This) is (?:an? )?([a-z -]+)\.", text)
            own = ontology.name(kind, labels.video.procedure)
            if not found or found[1] != own:
                return None
            return text[: found.start(1)] + rng.choice(OPERATIONS) + text[found.end(1) :]
    sentence = _false(kind, rng, labels)
    return None if sentence is None else f"{text} {sentence}"


OPERATIONS = ("nephrectomy", "prostatectomy", "gastric bypass")  # random videos have another


def _false(kind: str, rng: random.Random, labels: Labels) -> str | None:
    """A sentence that holds in no picture of the labels; None where they leave it open."""
    known = [shot.annotations for shot in labels.shots]
    views = [[i.label.concept for i in k.instruments or ()] for k in known]
    triplets = None if any(k.triplets is None for k in known) else [k.triplets for k in known]

    def name(part, concept):
        return ontology.name(part, concept)

    match kind:
        case "smoke":
            smoke = [k.flags.get("smoke", 0.1) for k in known]
            if all(share < 0.05 for share in smoke):
                return rng.choice(grammar.FORMS["smoke"])
            return rng.choice(grammar.FORMS["no smoke"]) if min(smoke) >= 0.3 else None
        case "verb alone":
            held = {t.verb.concept for some in triplets or () for t in some}
            acts = {stem(name("action", a.concept)) for k in known for a in k.actions or ()}
            new = [c for c in concepts(labels.video.source, "verb") if c not in held]
            new = [n for n in (grammar.doing(name("verb", c)) for c in new) if stem(n) not in acts]
            return f"{rng.choice(new).capitalize()} can be seen." if triplets and new else None
        case "idle":
            every = [t for some in triplets or () for t in some]
            working = {t.instrument.concept for t in every}
            working -= {t.instrument.concept for t in every if t.verb.concept.startswith("null")}
            working = sorted(c for c in working if lexicon.sayable(name("instrument", c)))
            return f"The {name('instrument', rng.choice(working))} is idle." if working else None
        case "nothing done":
            busy = triplets and all(
                any(not t.verb.concept.startswith("null") for t in some) for some in triplets
            )
            return rng.choice(grammar.FORMS[kind]) if busy else None
        case "nothing in view":
            return rng.choice(grammar.FORMS["no instrument"]) if all(views) else None
        case "no action":
            busy = all(k.actions for k in known)
            return rng.choice(grammar.FORMS[kind]) if busy else None
        case "relation denied":
            always = set.intersection(*map(set, triplets)) if triplets else set()
            always = [
                t
                for t in always
                if not t.verb.concept.startswith("null")
                and not t.target.concept.startswith("null")
                and lexicon.sayable(name("instrument", t.instrument.concept))
            ]
            if not always:
                return None
            t = rng.choice(sorted(always, key=repr))
            return (
                f"The {name('instrument', t.instrument.concept)} does not "
                f"{name('verb', t.verb.concept)} the {name('target', t.target.concept)}."
            )
        case "moment":
            gone = sorted(set(views[0]) - set(views[-1]))
            gone = [c for c in gone if not _acts(known[-1], c)]
            if len(known) < 3 or known[-1].instruments is None or not gone:
                return None
            return f"At the end, the {name('instrument', rng.choice(gone))} is in view."
        case "several":
            found = {
                c
                for view in views
                for c in view
                if not grammar.plural(name("instrument", c)) and name("instrument", c)[-1] != "y"
            }
            single = sorted(c for c in found if all(view.count(c) < 2 for view in views))
            return f"The {name('instrument', rng.choice(single))}s can be seen." if single else None
        case "criteria":
            states = [criterion.met for criterion in known[-1].criteria or ()]
            new = [n for n in range(1, len(states) + 1) if n != sum(states)]
            if not new:
                return None
            of = grammar.number(len(states))
            return f"{grammar.number(rng.choice(new)).capitalize()} of the {of} criteria are met."
        case "next":
            end = labels.shots[-1].frame.time
            coming = {s.label.concept for s in labels.segments if s.start > end}
            new = [c for c in concepts(labels.video.source, "phase") if c not in coming]
            if not labels.segments or not new:
                return None
            return f"The next phase is {name('phase', rng.choice(new))}."
        case "claim":
            return rng.choice(("There is bleeding.", "The view is red.", "The injury is visible."))
        case "unknown":
            return rng.choice(("A gizmo is in view.", "This is dangerous.", "It hardly matters."))
    raise ValueError(kind)


def _acts(known, concept):
    return any(t.instrument.concept == concept for t in known.triplets or ())


def _exchange(rng, text, known):
    """Two instruments trade what they do: wrong where neither does what the other did."""
    triplets = [t for t in known.triplets or () if not t.verb.concept.startswith("null")]
    done = {(t.instrument.concept, t.verb.concept, t.target.concept) for t in triplets}
    for one in triplets:
        for two in triplets:
            a, b = one.instrument.concept, two.instrument.concept
            traded = {
                (b, one.verb.concept, one.target.concept),
                (a, two.verb.concept, two.target.concept),
            }
            if a == b or traded & done:
                continue
            first, second = (ontology.name("instrument", c) for c in (a, b))
            start, stop = _part(text, grammar.LEVELS[2], grammar.LEVELS[3])
            said = text[start:stop]
            if first in said and second in said:
                said = said.replace(first, "\0").replace(second, first).replace("\0", second)
                return text[:start] + said + text[stop:]
    return None


def _misplace(text, known):
    """Two instruments trade places: wrong where neither is where the other was."""
    cells = {}
    for item in known.instruments or ():
        place = None if item.box is None else boxes.cell(item.box)
        cells.setdefault(item.label.concept, set()).add(place)
    for a in cells:
        for b in cells:
            if a != b and None not in cells[a] | cells[b] and not cells[a] & cells[b]:
                first, second = (ontology.name("instrument", c) for c in (a, b))
                start, stop = _part(text, grammar.LEVELS[1], grammar.LEVELS[2])
                said = text[start:stop].replace(first, "\0").replace(second, first)
                return text[:start] + said.replace("\0", second) + text[stop:]
    return None


KINDS = (
    "instrument",
    "tissue",
    "target",
    "verb",
    "relation",
    "place",
    "places traded",
    "phase",
    "step",
    "action",
    "criterion",
    "number",
    "seconds",
    "denial",
    "previous",
    "next",
    "look",
    "procedure",
    "smoke",
    "verb alone",
    "idle",
    "nothing done",
    "nothing in view",
    "no action",
    "relation denied",
    "moment",
    "several",
    "criteria",
    "claim",
    "unknown",
)
