"""What a text states: instruments, places, relations, phases, criteria, numbers, with spans.

The reading is shallow and by rule: names are found whatever their ending or spelling, and each is
tied to the words around it. It reads our own traces and what a language model makes of them. What
it cannot tie to anything is kept as a fact of its own, which the check then has to prove: rather a
true trace refused than a wrong one kept.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator
from typing import Literal

from surgzoo.db import ontology
from surgzoo.db.boxes import CELLS, COLUMNS, ROWS
from surgzoo.db.reasoning import relations, stages
from surgzoo.db.reasoning.grammar import LOOKS, VALUES
from surgzoo.db.reasoning.labels import When
from surgzoo.db.reasoning.lexicon import CLAIMS, Reading, lexicon
from surgzoo.db.reasoning.text import DENIALS, Mention, Sentence, sentences
from surgzoo.db.reasoning.unread import unread
from surgzoo.db.words import bag, tokens

Kind = Literal[
    "instrument",  # value: concepts, one of which is meant; the same for the next kinds
    "tissue",
    "target",
    "verb",
    "action",
    "phase",
    "step",
    "procedure",
    "relation",  # concepts of instrument, verb, target joined by "|", "" = not said
    "idle",  # concepts of the instrument that does nothing
    "nothing done",
    "place",  # concepts joined by "|", then the cells that are meant
    "criterion",  # concept, "met", "not met" or "" = not said
    "criteria",  # how many are met or "all" or "none", of how many or ""
    "number",  # what is counted: kind, concept or "", the number, "exactly" or "at least"
    "seconds",  # the number
    "smoke",
    "look",  # concepts of an instrument joined by "|", then those that look as is said
    "claim",  # something that no label can prove
    "unknown",  # a word that no rule knows: what it states cannot be checked
]


@dataclasses.dataclass(frozen=True, slots=True)
class Fact:
    """One statement of a text.

    Attributes:
      kind, value: what is stated; see `Kind`.
      start, end: where in the text.
      negated: it is denied.
      when: which picture of a clip it is about; None = any.
      order: for a phase or step: "before" or "after" what is shown, "previous" or "next" to it.
      readings: other meanings of the same words, one of which has to be true.
    """

    kind: Kind
    value: tuple[str, ...]
    start: int
    end: int
    negated: bool = False
    when: When | None = None
    order: Literal["before", "after", "previous", "next"] | None = None
    readings: tuple[Reading, ...] = ()


_THINGS = ("instrument", "tissue", "target")
_DENIALS = DENIALS | bag("lacks lacking")
_SKIPPED = bag("a an the any other more visible single sign signs of is are additional")
_ABSENT = bag("absent missing")
_UNSEEN = bag("visible present seen view sight used use shown there appear in")

_NUMBERS = VALUES | {"single": 1, "sole": 1, "both": 2}
_COUNTED = {
    "instrument": "instrument instruments tool tools device devices",
    "tissue": "tissue tissues organ organs structure structures",
    "action": "action actions",
}
_COUNTED = {word: kind for kind, words in _COUNTED.items() for word in words.split()}
_BETWEEN = bag(
    "surgical different distinct visible other laparoscopic basic of the further more "
    "separate anatomical anatomic additional"
)
_ROW = {"top": "top", "upper": "top", "bottom": "bottom", "lower": "bottom"}
_ROW |= {word: "middle" for word in ("middle", "mid", "central")}
_COLUMN = {"left": "left", "right": "right"}
_COLUMN |= {word: "center" for word in ("center", "centre", "central", "middle")}
_NO_PLACE = bag("lobe hepatic renal kidney hand handed hands sided iliac colon now")


# The words of the looks without "with a", and whose they are.
_LOOKS: dict[tuple[str, ...], list[str]] = {}
for _concept, _looks in LOOKS.items():
    for _look in _looks:
        _bare = re.sub(r"^with (?:an? )?", "", _look)
        _LOOKS.setdefault(tuple(token.text for token in tokens(_bare)), []).append(_concept)
_LONGEST_FIRST = sorted(_LOOKS, key=len, reverse=True)


def facts(text: str, source: str | None = None) -> list[Fact]:
    """All statements of a text, in order of their place.

    `source` says whose labels are meant; None reads the names of all sources.
    """
    words = lexicon(source)
    out: list[Fact] = []
    for sentence in sentences(text, words):
        reader = _Reader(sentence)
        staged = [*stages.read(sentence, words, source, reader.fact)]
        starts = {fact.start for fact in staged}
        related = [*relations.read(sentence, reader.fact, starts)]
        said = staged + related
        said += reader.things(spoken_for=starts | {fact.start for fact in related})
        said += [*reader.places(), *reader.numbers(starts), *reader.looks(), *reader.others()]
        out += said + [reader.fact("unknown", (), i, i + 1) for i in unread(sentence, said)]
    return sorted(out, key=lambda fact: (fact.start, fact.end))


class _Reader:
    """The statements of one sentence that need no more than their own words."""

    def __init__(self, sentence: Sentence):
        self.sentence = sentence
        self.words = sentence.words
        self.covered = sentence.covered()

    def fact(self, kind: Kind, value: tuple[str, ...], first: int, stop: int, **more) -> Fact:
        start, end = self.sentence.span(first, stop)
        return Fact(kind, value, start, end, when=self.sentence.when, **more)

    # ---- presence --------------------------------------------------------------------------------

    def things(self, spoken_for: set[int]) -> Iterator[Fact]:
        """Every name that is not read yet says that the named is there."""
        for mention in self.sentence.mentions:
            if self.words[mention.first].start in spoken_for:
                continue
            kinds = [reading.kind for reading in mention.readings]
            kind = next((k for k in _THINGS if k in kinds), kinds[0])
            concepts = mention.concepts(kind)
            yield self.fact(
                kind,
                (concepts[0], "") if kind == "criterion" else concepts,  # named without a state
                mention.first,
                mention.stop,
                negated=self.denied(mention),
                readings=mention.readings,
            )

    def denied(self, mention: Mention) -> bool:
        """ "no hook", "the hook is not visible", "neither hook nor grasper"."""
        index = mention.first - 1
        while index >= 0 and (self.words[index].text in _SKIPPED):
            index -= 1
        if index >= 0 and self.words[index].text in _DENIALS:
            # "is not the hook" denies, "does not touch" is no matter of presence
            return True
        if self.sentence.at(index) in ("or", ",") and index > 0:
            earlier = [m for m in self.sentence.mentions if m.stop == index]
            if earlier and self.denied(earlier[0]) and self.sentence.at(index) == "or":
                return True
        after = [self.sentence.at(mention.stop + offset) for offset in range(4)]
        if after[0] in ("is", "are", "was", "were", "has", "have"):
            if _ABSENT.intersection(after[1:3]):
                return True
            return after[1] in ("not", "nowhere", "never") and after[2] in _UNSEEN
        if after[0] in ("cannot", "cant") or after[:2] == ["can", "not"]:
            return not {"seen", "found", "made"}.isdisjoint(after[2:])
        return after[0] in ("isnt", "arent") and after[1] in _UNSEEN

    # ---- places ----------------------------------------------------------------------------------

    def places(self) -> Iterator[Fact]:
        """A place belongs to the names right before it, or after it where none stand before."""
        things = [m for m in self.sentence.mentions if m.kinds().intersection(_THINGS)]
        found = list(self._spots())
        leads = bool(found) and not any(m.stop <= found[0][0] for m in things)
        for first, stop, cells in found:
            if leads:
                owners = [m for m in things if m.first >= stop][:1]
            else:
                owners = self.sentence.chain([m for m in things if m.stop <= first])
            for owner in owners or [None]:
                concepts = owner.concepts(*_THINGS) if owner else ()
                yield self.fact("place", ("|".join(concepts), *cells), first, stop)

    def _spots(self) -> Iterator[tuple[int, int, tuple[str, ...]]]:
        """Words that name one or more cells of the 3x3 grid."""
        index = 0
        while index < len(self.words):
            word, following = self.sentence.at(index), self.sentence.at(index + 1)
            before = self.sentence.at(index - 1)
            cells: tuple[str, ...] = ()
            length = 1
            if index in self.covered or following in _NO_PLACE:
                pass
            elif word in _ROW and following in _COLUMN and index + 1 not in self.covered:
                cells = (f"{_ROW[word]} {_COLUMN[following]}",)
                length = 2
            elif word in _COLUMN and following in _ROW and _ROW[following] != _COLUMN[word]:
                cells = (f"{_ROW[following]} {_COLUMN[word]}",)
                length = 2
            elif word in ("center", "centre") and following in ("left", "right"):
                cells = (f"middle {following}",)
                length = 2
            elif word in ("center", "centre", "middle", "centrally", "central"):
                cells = ("middle center",)
            elif word in ("left", "right") and before in ("the", "far", "on", "to", "at"):
                cells = tuple(cell for cell in CELLS if cell.endswith(word))
            elif word in _ROW and before in ("the", "very", "at"):
                cells = tuple(cell for cell in CELLS if cell.startswith(_ROW[word]))
            if cells:
                assert set(cells) <= {f"{row} {column}" for row in ROWS for column in COLUMNS}
                yield index, index + length, cells
            index += length

    # ---- numbers ---------------------------------------------------------------------------------

    def numbers(self, spoken_for: set[int]) -> Iterator[Fact]:
        starts = {m.first: m for m in self.sentence.mentions}
        counted = set()  # mentions that a number stands before
        index = -1
        while index + 1 < len(self.words):
            index += 1
            word = self.words[index].text
            if index in self.covered or self.words[index].start in spoken_for:
                continue
            if word in ("another", "second") and index + 1 in starts:
                mention = starts[index + 1]
                counted.add(mention.first)
                if concepts := mention.concepts("instrument"):
                    value = ("instrument", "|".join(concepts), "2", "at least")
                    yield self.fact("number", value, index, mention.stop)
                continue
            if word in ("another", "second") and (
                kind := _COUNTED.get(self.sentence.at(index + 1))
            ):
                yield self.fact("number", (kind, "", "2", "at least"), index, index + 2)
                continue
            if word == "free" and self.sentence.at(index + 1) == "of":
                if kind := _COUNTED.get(self.sentence.at(index + 2)):
                    yield self.fact("number", (kind, "", "0", "exactly"), index, index + 3)
                continue
            n = _number(word)
            if n is None or self.sentence.at(index - 1) in ("criterion", "criteria", "level"):
                continue
            if self.sentence.at(index + 1) in ("second", "seconds", "s", "sec"):
                yield self.fact("seconds", (repr(float(n)),), index, index + 2)
                continue
            if word.endswith("s") and word[:-1].isdigit():
                yield self.fact("seconds", (repr(float(n)),), index, index + 1)
                continue
            ahead = index + 1
            while self.sentence.at(ahead) in _BETWEEN and ahead not in self.covered:
                ahead += 1
            noun = self.sentence.at(ahead)
            if noun in ("criterion", "criteria"):
                continue  # read with the criteria
            if ahead in starts:
                mention = starts[ahead]
                counted.add(mention.first)
                kind = next((k for k in ("instrument", "tissue") if mention.concepts(k)), None)
                if kind and n:  # "no hook" is a denial
                    value = (kind, "|".join(mention.concepts(kind)), str(n), "exactly")
                    yield self.fact("number", value, index, mention.stop)
                elif n > 1 and not kind and word != "both":
                    yield self.fact("claim", (word,), index, mention.stop)
            elif noun in _COUNTED:
                value = (_COUNTED[noun], "", str(n), "exactly")
                yield self.fact("number", value, index, ahead + 1)
            elif n > 1 and word != "both" and not self._of_criteria(index):
                yield self.fact("claim", (word,), index, index + 1)
        for mention in self.sentence.mentions:
            kind = next((k for k in ("instrument", "tissue") if self._plural(mention, k)), None)
            if kind and mention.first not in counted and not self.denied(mention):
                value = (kind, "|".join(mention.concepts(kind)), "2", "at least")
                yield self.fact("number", value, mention.first, mention.stop)

    def _plural(self, mention: Mention, kind: str) -> bool:
        """Whether "graspers" says that there are several; "scissors" does not."""
        word = self.sentence.at(mention.stop - 1)
        names = [ontology.name(kind, concept).split()[-1] for concept in mention.concepts(kind)]
        return any(word in (f"{name}s", f"{name}es") for name in names)

    def _of_criteria(self, index: int) -> bool:
        ahead = [self.sentence.at(index + offset) for offset in range(1, 5)]
        return "criteria" in ahead

    # ---- the rest --------------------------------------------------------------------------------

    def looks(self) -> Iterator[Fact]:
        """What the instrument named last is said to look like."""
        words = tuple(word.text for word in self.words)
        index = 0
        while index < len(words):
            found = next((k for k in _LONGEST_FIRST if words[index : index + len(k)] == k), None)
            if found:
                before = [m for m in self.sentence.mentions if m.stop <= index]
                owners = [c for m in before if (c := m.concepts("instrument"))]
                value = ("|".join(owners[-1]) if owners else "", *_LOOKS[found])
                yield self.fact("look", value, index, index + len(found))
            index += len(found) if found else 1

    def others(self) -> Iterator[Fact]:
        for index, word in enumerate(self.words):
            if index in self.covered:
                continue
            if word.text in ("smoke", "smoky", "haze", "hazy"):
                back = index - 1
                while back >= 0 and self.words[back].text in _SKIPPED:
                    back -= 1
                before = self.sentence.at(back)
                of = self.sentence.at(index - 1) == "of"
                free = before in ("free", "clear", "absence", "lack") and of
                absent = self.sentence.at(index + 1) in ("is", "has") and (
                    self.sentence.at(index + 2) in ("absent", "not", "cleared")
                )
                twice = free and self.sentence.at(back - 1) in DENIALS  # "not free of smoke"
                negated = (before in _DENIALS or free or absent) and not twice
                yield self.fact("smoke", (), index, index + 1, negated=negated)
            elif word.text == "clear" and self.sentence.at(index + 1) not in ("of", "from"):
                before = [self.sentence.at(index - back) for back in (1, 2, 3)]
                if "view" in before:  # "the view is not clear" says that there is smoke
                    clear = DENIALS.isdisjoint(before)
                    yield self.fact("smoke", (), index, index + 1, negated=clear)
            elif word.stem in CLAIMS:
                yield self.fact("claim", (word.text,), index, index + 1)


def _number(word: str) -> float | None:
    """The value of a number word or of digits; None for any other word."""
    if word in _NUMBERS:
        return _NUMBERS[word]
    digits = word[:-1] if word.endswith("s") else word
    if digits.replace(".", "", 1).isdecimal() and digits[0].isdecimal():
        return float(digits) if "." in digits else int(digits)
    return None
