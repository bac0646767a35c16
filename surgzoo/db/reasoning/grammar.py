"""The words of composed traces: sentence forms, verb endings, the looks of instruments.

Sentence forms avoid the names that sources use for what they label (so "stretch", not "clip", which
is a verb of CholecT50); `lexicon.py` leaves out any name of another source that they hold all the
same.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence

# The three levels of arXiv 2603.12430, and the form of its released traces.
TASK = "This is a Level {level} task."
LEVELS = {1: "Perceptual grounding", 2: "Relational understanding", 3: "Contextual reasoning"}

NUMBERS = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
# What number words mean in a text that is read; composed texts use NUMBERS and digits.
VALUES = {word: n for n, word in enumerate(NUMBERS)} | {"zero": 0, "eleven": 11, "twelve": 12}

# What an instrument of a concept looks like in every source, by what it is.
LOOKS = {
    "hook": ("with an L-shaped tip", "with a bent tip"),
    "grasper": ("with paired jaws", "with blunt jaws"),
    "bipolar": ("with paired slim jaws", "with slim jaws"),
    "scissors": ("with paired blades", "with crossing blades"),
    "clipper": ("with angled jaws",),
    "irrigator": ("with a hollow shaft", "with a tube for a shaft"),
    "specimen_bag": ("with soft folds",),
    "needle_driver": ("with short stout jaws",),
    "vessel_sealer": ("with broad jaws",),
}

FORMS = {
    "count": ("{Count} {are} in view.", "{Count} can be seen.", "The picture shows {count}."),
    "no instrument": ("No instrument is in view.", "No instrument can be seen."),
    "placed": (
        "{A} {lies} in the {place} area",
        "{A} {is} in the {place} of the picture",
        "In the {place} area {is} {a}",
        "{A} {comes} into view in the {place}",
    ),
    "unplaced": ("{A} {is} in view", "{A} can be seen"),
    "tissues": (
        "The tissues in view are {list}.",
        "{List} can be seen.",
        "Of the anatomy, {list} can be seen.",
    ),
    "tissue": ("The tissue in view is {list}.", "{List} can be seen."),
    "no tissue": ("No tissue can be told apart.",),
    "tissue place": ("{The} {lies} in the {place} area.", "{The} {is} in the {place}."),
    "smoke": ("Smoke dims the view.", "There is smoke in the view."),
    "no smoke": ("There is no smoke.", "The view is free of smoke."),
    "duration": ("The stretch lasts {n}.", "What is shown takes {n}."),
    "active": ("{the} {does} {it}", "{the} {is} {doing} {it}"),
    "passive": ("{it} {are} {done} by {the}", "{it} {are} being {done} by {the}"),
    "idle": ("{the} {is} idle", "{the} {touches} nothing", "{the} {is} off the tissue"),
    "nothing done": ("Nothing is done to the tissue.", "Nothing is being done to the tissue."),
    "action": ("The action is {name}.", "The basic action is {name}."),
    "another action": ("Another action is {name}.",),
    "no action": ("No basic action is under way.", "No action is under way."),
    "procedure": ("The operation is {a}.", "This is {a}."),
    "phase": (
        "The phase is {name}.",
        "This belongs to the {name} phase.",
        "So the operation is in the {name} phase.",
        "Together this points to the {name} phase.",
    ),
    "phase of": (
        "Since {clause}, this is the {name} phase.",
        "That {clause} fits the {name} phase.",
        "As {clause}, the phase is {name}.",
    ),
    "step": (
        "The step is {name}.",
        "The current step is {name}.",
        "Within it, the step is {name}.",
    ),
    "criterion": ("the criterion {name} is {met}", "{name} is {met}"),
    "criteria": ("Of the safety criteria, {list}.", "As to the safety criteria, {list}."),
    "previous": ("It follows the {name} phase.", "The previous phase was {name}."),
    "met": ("met", "fulfilled"),
    "not met": ("not met", "not yet met", "not fulfilled"),
    "first": ("At the start, {text}", "At first, {text}", "In the first picture, {text}"),
    "middle": ("Midway, {text}", "Halfway, {text}"),
    "last": ("At the end, {text}", "In the last picture, {text}"),
}
# Words that other modules put between the fields of the forms.
JOINTS = "while and another one seconds second instruments tissues"


def draw(identity: str, seed: int, n: int, what: str) -> int:
    """A stable pseudo-random number below n."""
    digest = hashlib.blake2b(f"{seed}:{what}:{identity}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little") % n


def template_words() -> set[str]:
    """All words of the sentence forms."""
    text = " ".join((*LEVELS.values(), *(f for forms in FORMS.values() for f in forms), JOINTS))
    looks = " ".join(look for looks in LOOKS.values() for look in looks)
    bare = re.sub(r"\{\w+\}", " ", f"{text} {looks} {TASK} {' '.join(NUMBERS)}")
    return set(re.findall(r"[^\W_]+", bare.lower()))


# ---- names in sentences --------------------------------------------------------------------------


def plural(name: str) -> bool:
    """Whether a name takes a plural verb: "scissors", "bipolar forceps", "iliac vessels"."""
    return name.endswith("s") and not name.endswith(("ss", "us", "is", "as", "ens"))


def a(name: str) -> str:
    if plural(name):
        return name
    return f"{'an' if name[0] in 'aeiou' else 'a'} {name}"


def the(name: str) -> str:
    return f"the {name}"


def be(name: str) -> str:
    return "are" if plural(name) else "is"


def agree(verb: str, name: str) -> str:
    """The verb in the form that its subject takes: "lies" or "lie"."""
    return verb if plural(name) else third(verb)


def capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def listing(items: Sequence[str], last: str = " and ") -> str:
    """ "a, b and c"."""
    return last.join([", ".join(items[:-1]), items[-1]]) if len(items) > 1 else items[0]


def number(n: int) -> str:
    return NUMBERS[n] if n < len(NUMBERS) else str(n)


# ---- verbs ---------------------------------------------------------------------------------------

_IRREGULAR = {"cut": "cut", "hold": "held", "put": "put", "sew": "sewn"}
# Verbs of more than one syllable whose last consonant is not doubled need no entry: the rule below
# looks for a single vowel between consonants in a word of one syllable.
_SHORT = re.compile(r"[^aeiou]*[aeiou][bdgmnprt]")


def third(verb: str) -> str:
    """clip -> clips, push -> pushes, carry -> carries; of "pick up" the first word."""
    word, rest = _head(verb)
    if word.endswith(("s", "x", "z", "o", "ch", "sh")):
        return f"{word}es{rest}"
    if word.endswith("y") and word[-2:-1] not in "aeiou":
        return f"{word[:-1]}ies{rest}"
    return f"{word}s{rest}"


def doing(verb: str) -> str:
    """clip -> clipping, aspirate -> aspirating, tie -> tying."""
    word, rest = _head(verb)
    if word.endswith("ie"):
        return f"{word[:-2]}ying{rest}"
    if word.endswith("e") and not word.endswith("ee"):
        return f"{word[:-1]}ing{rest}"
    return f"{word}{word[-1]}ing{rest}" if _SHORT.fullmatch(word) else f"{word}ing{rest}"


def done(verb: str) -> str:
    """clip -> clipped, aspirate -> aspirated, cut -> cut."""
    word, rest = _head(verb)
    if word in _IRREGULAR:
        return _IRREGULAR[word] + rest
    if word.endswith("e"):
        return f"{word}d{rest}"
    if word.endswith("y") and word[-2:-1] not in "aeiou":
        return f"{word[:-1]}ied{rest}"
    return f"{word}{word[-1]}ed{rest}" if _SHORT.fullmatch(word) else f"{word}ed{rest}"


def _head(verb: str) -> tuple[str, str]:
    word, space, rest = verb.partition(" ")
    return word, space + rest
