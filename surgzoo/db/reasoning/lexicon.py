"""Which words of a text name what: a source's own labels, their other names, other sources' labels.

One form can have several readings ("cystic plate" is a tissue, a target and a criterion); the
context decides (`read.py`). Labels of other sources are known so that a trace cannot name an
instrument which the source does not even annotate.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from surgzoo.db import ontology
from surgzoo.db.reasoning import grammar
from surgzoo.db.words import likeness, split_words, stem, stems

# Names made of these words alone ("other", "tool") mean nothing by themselves.
GENERIC = stems(
    "surgical tool instrument device object other others unknown none no background tissue tissues "
    "organ organs anatomy phase step action idle non null target verb misc out of body "
    "the and"
)

# Other names of concepts, as surgeons and language models write them.
ALIASES = {
    ("instrument", "grasper"): ("grasping forceps", "laparoscopic grasper"),
    ("instrument", "bipolar"): ("bipolar forceps", "bipolar grasper", "bipolar instrument"),
    ("instrument", "hook"): ("l hook", "hook electrode", "cautery hook", "electrocautery hook"),
    ("instrument", "scissors"): ("pair of scissors", "laparoscopic scissors"),
    ("instrument", "clipper"): ("clip applier", "clip applicator"),
    ("instrument", "irrigator"): ("suction irrigator", "irrigation tube", "suction device"),
    ("instrument", "specimen_bag"): ("retrieval bag", "endobag"),
    ("target", "specimen_bag"): ("retrieval bag", "endobag"),
    ("instrument", "needle_driver"): ("needle holder",),
    ("tissue", "gut"): ("bowel", "intestine"),
    ("target", "gut"): ("bowel", "intestine"),
}

# Verbs that mean one of some canonical verbs; true if one of them is.
SYNONYMS = {
    "hold": ("hold", "grasp", "retract"),
    "grip": ("grasp",),
    "seize": ("grasp",),
    "lift": ("retract",),
    "elevate": ("retract",),
    "cauterize": ("coagulate",),
    "cauterise": ("coagulate",),
    "transect": ("cut",),
    "divide": ("cut",),
    "sever": ("cut",),
    "incise": ("cut",),
    "snip": ("cut",),
    "suction": ("aspirate",),
    "suck": ("aspirate",),
    "rinse": ("irrigate",),
    "flush": ("irrigate",),
    "ligate": ("clip", "ligate"),
    "clamp": ("clip", "clamp"),
    "stitch": ("suture",),
    "sew": ("suture", "sew"),
    "staple": ("staple",),
    "puncture": ("puncture",),
    "push": ("push",),
    "burn": ("coagulate",),
}

# Nouns that say the same as a verb: "dissection of the cystic duct".
NOMINALS = {
    "dissection": "dissect",
    "retraction": "retract",
    "traction": "retract",
    "coagulation": "coagulate",
    "aspiration": "aspirate",
    "irrigation": "irrigate",
}

# What no label can prove: a text that claims it is wrong.
CLAIMS = stems(
    "bleeding bleed hemorrhage haemorrhage perforation perforated injury injured leak "
    "leakage inflammation inflamed stone stones burned charred necrosis cancer malignant "
    "fibrosis adhesion adhesions bile red blue green yellow white black pink brown orange "
    "purple yellowish reddish whitish pinkish golden silver metallic grey gray "
    "trocar gauze drain scalpel catheter stapler laser sponge retractor dissector forceps "
    "needle clamp camera artery vein nerve duct vessel bowel stomach colon spleen ureter "
    "pancreas diaphragm lung heart bone fat fascia ligament lymph fluid pus urine"
)

# Kinds of labels that a trace speaks of.
_SPOKEN = (
    "instrument",
    "tissue",
    "target",
    "verb",
    "action",
    "phase",
    "step",
    "procedure",
    "criterion",
)
# Kinds in which names of other sources are looked for; their verbs are too common as words.
_FOREIGN = ("instrument", "tissue", "target", "procedure", "phase", "step", "criterion")
_NAMES_OF_STAGES = ("phase", "step", "criterion")


class Reading(NamedTuple):
    """One meaning of a form: any of `concepts` of `kind`."""

    kind: str
    concepts: tuple[str, ...]


@functools.lru_cache(maxsize=4096)  # every sentence asks for the same names
def sayable(name: str) -> bool:
    """Whether a sentence with the name can be read again: not "other tool"."""
    return any(stem(word) not in GENERIC for word in split_words(name))


class Lexicon:
    """All forms known for a source (None: all labels of the ontology are its own)."""

    def __init__(self, source: str | None):
        self._forms: dict[tuple[str, ...], list[Reading]] = {}
        own = dict.fromkeys((kind, concept) for kind, concept in _labels(source) if kind in _SPOKEN)
        for kind, concept in own:
            name = ontology.name(kind, concept)
            if not sayable(name):
                continue
            reading = Reading(kind, (concept,))
            self._add(name, reading)
            for alias in ALIASES.get((kind, concept), ()):
                self._add(alias, reading)
            if kind == "verb":
                for inflect in (grammar.third, grammar.doing, grammar.done):
                    self._add(inflect(name), reading)
        for noun, verb in NOMINALS.items():
            if ("verb", verb) in own:
                self._add(noun, Reading("verb", (verb,)))
        for word, verbs in SYNONYMS.items():
            reading = Reading("verb", verbs)
            for form in (word, grammar.third(word), grammar.doing(word), grammar.done(word)):
                if self._key(form) not in self._forms:
                    self._add(form, reading)
        common = set(map(stem, grammar.template_words()))
        self._add_heads(own, common)
        self.own = frozenset(self._forms)
        self._single = [key[0] for key in self._forms if len(key) == 1 and len(key[0]) > 3]
        for (kind, concept), entry in ontology.concepts().items():
            if kind not in _FOREIGN or (kind, concept) in own or not sayable(entry.name):
                continue
            key = self._key(entry.name)
            if key in self.own or common.issuperset(key):
                continue
            if kind in _NAMES_OF_STAGES and len(key) == 1:
                continue
            self._add(entry.name, Reading(kind, (concept,)))
        self.starts: dict[str, list[tuple[str, ...]]] = {}
        for key in sorted(self._forms, key=len, reverse=True):
            self.starts.setdefault(key[0], []).append(key)
        self._common = common | GENERIC
        self._misses: dict[str, tuple[str, ...] | None] = {}

    def _add_heads(self, own: Iterable[tuple[str, str]], common: set[str]) -> None:
        """ "the artery" may mean each of the arteries."""
        heads: dict[tuple[str, str], list[str]] = {}
        for kind, concept in own:
            key = self._key(ontology.name(kind, concept))
            if kind in ("instrument", "tissue", "target") and len(key) > 1:
                heads.setdefault((kind, key[-1]), []).append(concept)
        named = frozenset(self._forms)
        for (kind, head), concepts in heads.items():
            if (head,) not in named and head not in common and head not in GENERIC:
                self._add(head, Reading(kind, tuple(concepts)))

    def _key(self, name: str) -> tuple[str, ...]:
        return tuple(stem(word) for word in split_words(name) if word[0].isalnum())

    def _add(self, name: str, reading: Reading) -> None:
        key = self._key(name)
        if key and reading not in self._forms.setdefault(key, []):
            self._forms[key].append(reading)

    def at(self, stems: Sequence[str], start: int) -> tuple[int, tuple[Reading, ...]] | None:
        """The longest form that begins at word `start`: its length in words and its readings."""
        for key in self.starts.get(stems[start], ()):
            if tuple(stems[start : start + len(key)]) == key:
                return len(key), tuple(self._forms[key])
        key = self._near(stems[start])
        return (1, tuple(self._forms[key])) if key else None

    def _near(self, word: str) -> tuple[str, ...] | None:
        """The one form that a misspelt word is close to."""
        if len(word) < 5 or not word.isalpha() or word in self._common:
            return None
        if word not in self._misses:
            near = [form for form in self._single if likeness(word, form)]
            self._misses[word] = (near[0],) if len(near) == 1 else None
        return self._misses[word]

    def partly(self, kind: str, words: Iterable[str]) -> Reading | None:
        """The one label of a kind whose name has all the words: "clipping" of a phase."""
        words = set(words)
        found = {
            reading
            for key in self.own
            for reading in self._forms[key]
            if reading.kind == kind and words and words.issubset(key)
        }
        return found.pop() if len(found) == 1 else None


def _labels(source: str | None) -> Iterable[tuple[str, str]]:
    if source is None:
        return ontology.concepts()
    return [(kind, concept) for (kind, _), concept in ontology.table(source).items()]


@functools.lru_cache(maxsize=64)
def lexicon(source: str | None) -> Lexicon:
    return Lexicon(source)


def criteria(source: str | None) -> tuple[str, ...]:
    """The concepts of a source's criteria in its order: what "criterion 2" means."""
    return tuple(dict.fromkeys(c for k, c in _labels(source) if k == "criterion"))
