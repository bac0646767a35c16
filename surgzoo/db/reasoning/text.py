"""A text laid out for reading: words, sentences, the moment each is about, and the names in it."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Sequence

from surgzoo.db.reasoning.labels import When
from surgzoo.db.reasoning.lexicon import Lexicon, Reading
from surgzoo.db.words import bag, stem, tokens

# Words that deny what stands after them; "isn't" is read as "isnt".
DENIALS = bag("no not never without neither nor isnt arent doesnt dont cannot cant")
BE = bag("is are was were be been being")
# What may stand between names that are said together: "the hook and the grasper".
_JOINED = bag(", and the a an both another")

# "This is a Level 3 task." and "Level 2 Relational understanding:" are no facts about the picture.
_HEADING = re.compile(
    r"this is a level \d task\.?|level \d(?: [a-z]+){0,3}?\s*(?:\([^)]{0,40}\))?\s*:|</?think>",
    re.IGNORECASE,
)
_STOPS = frozenset(".;!?\n")
_MOMENTS: tuple[tuple[re.Pattern, When], ...] = (
    (
        re.compile(r"at the (?:start|beginning|outset)|at first|initially|first (?:picture|frame)"),
        "first",
    ),
    (re.compile(r"midway|halfway|half way"), "middle"),
    (
        re.compile(r"(?:at|by) the end|finally|in the end|eventually|last (?:picture|frame)"),
        "last",
    ),
)


@dataclasses.dataclass(frozen=True, slots=True)
class Word:
    """A word or separator, with its stem; `gap` marks commas, colons and brackets."""

    text: str
    stem: str
    start: int
    end: int

    @property
    def gap(self) -> bool:
        return not self.text[0].isalnum()


@dataclasses.dataclass(frozen=True, slots=True)
class Mention:
    """A known name: words first .. stop - 1 of its sentence, and what it may mean."""

    first: int
    stop: int
    readings: tuple[Reading, ...]

    def kinds(self) -> set[str]:
        return {reading.kind for reading in self.readings}

    def concepts(self, *kinds: str) -> tuple[str, ...]:
        """What it may mean of these kinds."""
        found = [c for r in self.readings if r.kind in kinds for c in r.concepts]
        return tuple(dict.fromkeys(found))


@dataclasses.dataclass(frozen=True)
class Sentence:
    """Words up to a full stop, the names among them, and the moment that they are about."""

    words: tuple[Word, ...]
    mentions: tuple[Mention, ...]
    when: When | None
    section: int  # how many headings stand before it
    moment: frozenset[int] = frozenset()  # the words that name the moment

    def at(self, index: int) -> str:
        """The word at an index, "" outside the sentence."""
        return self.words[index].text if 0 <= index < len(self.words) else ""

    def span(self, first: int, stop: int) -> tuple[int, int]:
        return self.words[first].start, self.words[stop - 1].end

    def covered(self) -> set[int]:
        """The words that are part of a name."""
        return {i for m in self.mentions for i in range(m.first, m.stop)}

    def joins(self, first: int, stop: int) -> bool:
        """Whether the words first .. stop - 1 do no more than to join two names."""
        between = {self.words[i].text for i in range(first, stop)}
        return bool(between) and between <= _JOINED

    def chain(
        self, mentions: Sequence[Mention], usable: Callable[[Mention], bool] = lambda _: True
    ) -> list[Mention]:
        """The last of the mentions and the usable ones joined to it: "the hook and the grasper"."""
        out = list(mentions[-1:])
        for earlier in reversed(mentions[:-1]):
            if not usable(earlier) or not self.joins(earlier.stop, out[0].first):
                break
            out.insert(0, earlier)
        return out


def sentences(text: str, lexicon: Lexicon) -> list[Sentence]:
    """The sentences of a text. A moment that one names holds until another is named or a heading
    begins the next section."""
    blank = _HEADING.sub(lambda found: "\n" * len(found.group()), text)
    headings = [found.start() for found in _HEADING.finditer(text)]
    out: list[Sentence] = []
    when: When | None = None
    section = 0
    run: list[Word] = []
    placed = [Word(t.text, stem(t.text), t.start, t.end) for t in tokens(blank)]
    for word in [*placed, Word(".", ".", len(text), len(text))]:
        if word.text not in _STOPS:
            run.append(word)
            continue
        if not run:
            continue
        passed = sum(start <= run[0].start for start in headings)
        if passed != section:
            section, when = passed, None
        said = blank[run[0].start : run[-1].end].lower()
        naming: set[int] = set()
        for pattern, moment in _MOMENTS:
            for found in pattern.finditer(said):
                when = moment
                start, stop = (run[0].start + place for place in found.span())
                naming |= {i for i, w in enumerate(run) if start <= w.start and w.end <= stop}
        mentions = _mentions(run, lexicon)
        out.append(Sentence(tuple(run), mentions, when, section, frozenset(naming)))
        run = []
    return out


def _mentions(words: list[Word], lexicon: Lexicon) -> tuple[Mention, ...]:
    stems = [word.stem for word in words]
    out = []
    index = 0
    while index < len(words):
        found = None if words[index].gap else lexicon.at(stems, index)
        if found is None:
            index += 1
        else:
            out.append(Mention(index, index + found[0], found[1]))
            index += found[0]
    return tuple(out)
