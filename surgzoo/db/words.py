"""Finding names in text, whatever their case, hyphens, underscores, plural or verb ending
("CalotTriangleDissection", "specimen_bags", "the hook is dissecting"), and near misses ("callot
triangle disection"): a run of words whose difflib ratio is at least 0.85 to one name, and to no
other.

The parsers of the tasks and the checker of reasoning traces read by it. None of these functions
raises on any text.
"""

from __future__ import annotations

import difflib
import functools
import re
from collections.abc import Iterable, Sequence
from typing import Literal, NamedTuple

NEAR = 0.85  # difflib ratio of a near miss
MAX_WORDS = 400  # near misses are searched in that many words; a longer text is not an answer
NEAR_RUNS = 16384  # runs of words of a vocabulary whose nearest name is remembered

_CAMEL = re.compile(r"(?<=[a-z])(?=[A-Z])")
_TOKEN = re.compile(r"[^\W_]+|[,;:\n|*•]|\.(?=\s|$)")
_PLACED = re.compile(
    r"\d+(?:\.\d+)?(?![^\W_])|[^\W_]+(?:['’][^\W_]+)*['’]?|[,;:!?()\[\]\n|*•&]|\.(?=\W|$)"
)

# Words that say nothing about the answer ...
_FILLER = (
    "a an the of in on at is are and or also there here this that these i can see seen we one two "
    "three image frame picture scene view shown shows show visible present used using being "
    "surgical surgery instrument tool device name object class category answer following "
    "tissue organ structure anatomy anatomical "
    "phase step stage current triplet action performed bbox box bounding coordinate located "
    "locate location position with detected detect only operation procedure left right middle "
    "center top bottom upper lower probably possibly maybe likely"
)
# ... and words that make a text prose: what stands beside them was not said as an answer.
_PROSE = (
    "which while because not but to by from for as it its be was appear seem cannot cant "
    "dont unable sorry unclear no without would could may might if then so however have has do "
    "your you my any some other into during where when"
)
# A name is denied by what stands right before it ("no hook", "isn't the hook", "do not see any
# visible hook"), by what stands right after it ("hook: no", "the hook is not visible"), or with the
# denied name before it ("no grasper or hook"). Words are stems, without apostrophes.
_SEES = "see|find|show|detect|observ|contain|includ|hav|us|be|look lik|appear to be|seem to be"
_DENIED_BEFORE = re.compile(
    r"\b(?:(?:no|not|without|neither|nor|isnt|arent|wasnt|no sign of)"
    rf"|(?:not|dont|doesnt|didnt|cannot|cant|couldnt) (?:{_SEES})e?)"
    r"(?: (?:a|an|the|any|visible?|clear|other))* $"
)
_DENIED_AFTER = re.compile(
    r" (?:: )?(?:(?:(?:is|are) )?(?:not|isnt|arent) (?:be )?"
    r"(?:present|visible?|seen|found|detect(?:ed)?|shown|used?|there"
    r"|in (?:the )?(?:view|imag|fram))"
    r"|(?:(?:is|are) )?absent\b|no(?= [,;.:\n|*•]|$))"
)
_DENIED_WITH = re.compile(r" n?or(?: (?:a|an|the|any))? ")
_NEAR_BY = 40  # characters before and after a name in which a denial is looked for


class Item(NamedTuple):
    """A piece of scanned text: a known name, any other word, or a separator."""

    kind: Literal["name", "word", "break"]
    text: str


def split_words(text: str) -> list[str]:
    """Lower-case words and separators."""
    text = text.replace("'", "").replace("’", "").replace("&", " and ")
    return _TOKEN.findall(_CAMEL.sub(" ", text).lower())


class Token(NamedTuple):
    """A lower-case word, number or separator, and where it stands in the text."""

    text: str
    start: int
    end: int


def tokens(text: str) -> list[Token]:
    """As `split_words`, with places; a decimal number is one token, brackets separate."""
    out = []
    for found in _PLACED.finditer(text):
        word, start = found.group(), found.start()
        for part in _CAMEL.split(word) if word[0].isalpha() else [word]:
            clean = part.replace("'", "").replace("’", "").lower()
            out.append(Token("and" if clean == "&" else clean, start, start + len(part)))
            start += len(part)
    return out


@functools.lru_cache(maxsize=4096)
def stem(word: str) -> str:
    """One form for plural and verb endings: clips, clipping, clipped -> clip.

    Crude, which is harmless: names and text go through it alike, and a vocabulary in which two
    names would fall together is read without it.
    """
    if len(word) > 4 and word.endswith(("ies", "ied")):
        return f"{word[:-3]}y"
    if len(word) > 5 and word.endswith("ing"):
        word = word[:-3]
    elif len(word) > 4 and word.endswith("ed"):
        word = word[:-2]
    elif len(word) > 3 and word.endswith("s") and not word.endswith(("ss", "us", "is")):
        word = word[:-1]
    if len(word) > 3 and word[-1] == word[-2] and word[-1] in "bdgmnprt":
        word = word[:-1]
    return word[:-1] if len(word) > 3 and word.endswith("e") else word


class Vocabulary:
    """Known names, and the scan for them. `vocabulary` makes cached ones."""

    def __init__(self, names: Sequence[str]):
        self.names = tuple(dict.fromkeys(names))
        self._stem = stem
        self._forms = {self._form(name): name for name in self.names}
        if len(self._forms) < len(self.names):  # two names fell together: read words as they are
            self._stem = str
            self._forms = {self._form(name): name for name in self.names}
        # Numbers of words that may be a slip of a form: its own, one fewer, one more.
        self._sized = []
        for form, name in self._forms.items():
            length = form.count(" ") + 1
            counts = sorted({max(length - 1, 1), length, length + 1})
            self._sized.append((form, name, counts))
        self._reach = max((counts[-1] for _, _, counts in self._sized), default=0)
        self._near = functools.lru_cache(maxsize=NEAR_RUNS)(self._near_words)
        longest_first = sorted((form for form in self._forms if form), key=len, reverse=True)
        self._pattern = re.compile(
            rf"(?<!\S)(?:{'|'.join(map(re.escape, longest_first)) or '(?!)'})(?!\S)"
        )

    def _form(self, text: str) -> str:
        return " ".join(map(self._stem, split_words(text)))

    def exact(self, text: str) -> str | None:
        """The name that the text is and nothing more, full stop and fillers apart; else None."""
        items = self._items(text)
        names = [item.text for item in items if item.kind == "name"]
        return names[0] if len(names) == 1 and not content(items) and not prose(items) else None

    def scan(self, text: str) -> list[Item]:
        """The text as known names, other words and separators, near misses read as names.

        A name that was denied ("no hook", "hook: no") is left out.
        """
        return self._near_misses(self._items(text))

    def _items(self, text: str) -> list[Item]:
        words = split_words(text)
        stems = [self._stem(word) for word in words]
        joined = " ".join(stems)
        place = {}  # offset in `joined` -> index of the word
        offset = 0
        for index, form in enumerate(stems):
            place[offset] = index
            offset += len(form) + 1
        items: list[Item] = []
        done = 0
        denied_to = -1  # where the denied name before ends
        for found in self._pattern.finditer(joined):
            start = place[found.start()]
            items += map(_plain, words[done:start])
            if (
                _DENIED_BEFORE.search(joined, max(0, found.start() - _NEAR_BY), found.start())
                or _DENIED_AFTER.match(joined, found.end(), found.end() + _NEAR_BY)
                or (denied_to >= 0 and _DENIED_WITH.fullmatch(joined, denied_to, found.start()))
            ):
                denied_to = found.end()
            else:
                items.append(Item("name", self._forms[found.group()]))
                denied_to = -1
            done = start + found.group().count(" ") + 1
        return items + [_plain(word) for word in words[done:]]

    def _near_misses(self, items: list[Item]) -> list[Item]:
        """Replaces runs of words that are close to exactly one name."""
        out: list[Item] = []
        index = 0
        while index < len(items):
            found = None
            if items[index].kind == "word" and index < MAX_WORDS:
                found = self._nearest(items, index)
            if found:
                out.append(Item("name", found[0]))
                index += found[1]
            else:
                out.append(items[index])
                index += 1
        return out

    def _nearest(self, items: list[Item], start: int) -> tuple[str, int] | None:
        """The one name near to the words that begin at `start`, and how many words that takes."""
        words = []
        for item in items[start : start + self._reach]:
            if item.kind != "word":
                break
            words.append(item.text)
        return self._near(tuple(words))

    def _near_words(self, words: tuple[str, ...]) -> tuple[str, int] | None:
        """As `_nearest`, of a run of words; the same few runs stand in text after text."""
        stems = [self._stem(word) for word in words]
        said = [" ".join(stems[:count]) for count in range(len(words) + 1)]
        best: dict[str, tuple[float, int]] = {}
        for form, name, counts in self._sized:
            for count in counts:
                if count > len(words):
                    break
                ratio = likeness(said[count], form)
                if ratio > best.get(name, (0.0, 0))[0]:
                    best[name] = ratio, count
        near = [(name, count) for name, (ratio, count) in best.items() if ratio >= NEAR]
        return near[0] if len(near) == 1 else None


@functools.lru_cache(maxsize=256)
def vocabulary(names: tuple[str, ...]) -> Vocabulary:
    """The vocabulary of a tuple of names; cached, as all conversations of a source share it."""
    return Vocabulary(names)


@functools.lru_cache(maxsize=65536)
def likeness(said: str, form: str) -> float:
    """difflib ratio; 0 below NEAR and for a derived word ("retractor" is no slip of "retract")."""
    short, long = sorted((said, form), key=len)
    if 2 * len(short) < NEAR * (len(short) + len(long)):
        return 0.0
    if long.startswith(short) and len(long) >= len(short) + 2:
        return 0.0
    matcher = difflib.SequenceMatcher(None, said, form, autojunk=False)
    ratio = matcher.ratio() if matcher.quick_ratio() >= NEAR else 0.0
    return ratio if ratio >= NEAR else 0.0


def _plain(word: str) -> Item:
    return Item("word" if word[0].isalnum() else "break", word)


def prose(items: Iterable[Item]) -> bool:
    """Whether the items are sentences rather than a bare list."""
    return any(item.kind == "word" and stem(item.text) in _PROSE_STEMS for item in items)


def content(items: Iterable[Item]) -> list[str]:
    """The words that are neither names nor fillers nor numbers."""
    return [
        item.text
        for item in items
        if item.kind == "word" and stem(item.text) not in _FILLER_STEMS and not item.text.isdigit()
    ]


_FILLER_STEMS = frozenset(stem(word) for word in _FILLER.split())
_PROSE_STEMS = frozenset(stem(word) for word in _PROSE.split())


def bag(text: str) -> frozenset[str]:
    """The words of a string, to look words up in."""
    return frozenset(text.split())


def stems(text: str) -> frozenset[str]:
    """Their stems."""
    return frozenset(map(stem, text.split()))
