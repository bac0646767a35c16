"""Reading names in a model's text: the tolerant half of every parser.

`spoken` takes the answer out of tags, thinking and special tokens. A `Vocabulary` (`db/words.py`)
then scans it for names.

None of these functions raises on any text.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Sequence

from surgzoo.db.words import Item, Vocabulary, content, prose, split_words, stem, vocabulary

__all__ = [
    "Item",
    "Vocabulary",
    "content",
    "extras",
    "in_order",
    "prose",
    "quote",
    "quotes",
    "says_none",
    "spoken",
    "vocabulary",
]

QUOTED = 60  # characters of a text that an error quotes

_THOUGHT_BEGINS = re.compile(r"<think(?:ing)?>", re.IGNORECASE)
_THOUGHT_ENDS = re.compile(r"</think(?:ing)?>", re.IGNORECASE)
_ANSWER_BEGINS = re.compile(r"<answer>", re.IGNORECASE)
_ANSWER_ENDS = re.compile(r"</answer>", re.IGNORECASE)
_END = re.compile(r"<\|im_end\|>|<\|endoftext\|>|<\|eot_id\|>|</s>")
_SPECIAL = re.compile(
    r"<\|[^<>|]{0,40}\|>|</?(?:ref|box|bbox|quad|points?|img|image|s|p|b|i|br)/?>", re.IGNORECASE
)
_NOTHING = re.compile(
    r"\b(?:none|nothing|not applicable"
    r"|(?:no|(?:not|dont|cannot|cant) (?:see|find|detect)(?: any)?) (?:[a-z]+ ){0,3}?"
    r"(?:instrument|tool|tissue|organ|structure|triplet|action|device|object|box|bounding|one)(?:e?s)?"
    r"|not (?:[a-z]+ )?(?:present|visible|seen|in (?:the |this )?(?:view|image|frame|picture)"
    r"|found|detected|shown))\b"
)
_BOXED = re.compile(r"\\boxed\{([^{}]*)\}")  # LaTeX, of models that were trained on mathematics
_MARKUP = re.compile(r"[*`$\"“”‘’']")
_EMPTY_LIST = re.compile(r"[\s`]*[\[({]\s*[\])}][\s`.]*")


def spoken(text: str, choices: Sequence[str] = ()) -> tuple[str, str | None]:
    """The answer in a model's output, or "" and the reason why there is none.

    Takes the last <answer>, else what follows the thinking, and removes special tokens and tags.
    Letters that stand for listed `choices` are spelled out ("B" -> "hook").
    """
    text = _END.split(text.lstrip(), maxsplit=1)[0]
    starts = list(_ANSWER_BEGINS.finditer(text))
    if starts:
        text = _ANSWER_ENDS.split(text[starts[-1].end() :])[0]
    else:
        text = _THOUGHT_ENDS.split(text)[-1]
        if _THOUGHT_BEGINS.search(text):
            return "", "thinks without ever answering"
    text = _BOXED.sub(r"\1", _SPECIAL.sub(" ", text)).strip()
    return (_spelled_out(text, choices), None) if text else ("", "is empty")


def _spelled_out(text: str, choices: Sequence[str]) -> str:
    """Letters to the choices that they stand for; "B. hook" and "hook (B)" stay one hook.

    A letter counts where it stands as one: alone or in a list of letters, also after "answer",
    "option" and the like, or in brackets, or before "." or ")". The "a" of "a hook" does not.
    """
    if not choices:
        return text
    said = _MARKUP.sub("", text).strip()
    if len(said) <= len(choices) * 8:
        letters = _listed_letters(said, len(choices))
        if letters:
            return ", ".join(choices[ord(letter) - ord("A")] for letter in letters)
    one = f"[A-{chr(ord('A') + len(choices) - 1)}]"
    cued = re.compile(
        r"(?<!\w)(?i:answers?|options?|choices?|letters?|choose|pick|select|both)"
        r"(?: (?i:is|are|would be|should be))?(?: ?:)? "
        rf"({one}(?:(?:, | and | or | ?/ ?| ?& ?){one})*)(?= ?(?:[.,;:)\n]|$| because\b| since\b))"
    )
    said = cued.sub(lambda m: " ".join(f"({c})" for c in re.findall(one, m[1])), said)
    said = re.sub(rf"^({one})(?= ?(?:-|–|—)| because\b| since\b)", r"(\1)", said)
    marked = re.compile(rf"(?<!\w)(?:\(({one})\)|({one})[.):](?=\s|$))")

    def name(match: re.Match) -> str:
        choice = choices[ord(match[1] or match[2]) - ord("A")]
        beside = said[match.end() : match.end() + len(choice) + 4].lower()
        before = said[: match.start()].rstrip().lower()
        if choice.lower() in beside or before.endswith(choice.lower()):
            return " "
        return f" {choice} "

    return marked.sub(name, said).strip() or text


def _listed_letters(text: str, count: int) -> list[str]:
    """The letters of a text that holds nothing else: "B", "a, c", "(A) and (C)", "A/C", "ACD"."""
    last = chr(ord("A") + count - 1)
    pieces = re.split(r"[\s,;/&]+|\b(?:and|or)\b", text, flags=re.IGNORECASE)
    pieces = [piece.strip("()[].:") for piece in pieces]
    pieces = [piece for piece in pieces if piece]
    if len(pieces) == 1 and pieces[0].isupper() and len(set(pieces[0])) == len(pieces[0]):
        pieces = list(pieces[0])
    letters = [piece.upper() for piece in pieces]
    fit = all(len(letter) == 1 and "A" <= letter <= last for letter in letters)
    return list(dict.fromkeys(letters)) if fit else []


def quote(text: str) -> str:
    """A short quotation for an error message, on one line."""
    text = " ".join(text.split()).replace("'", "’")
    return f"'{text if len(text) <= QUOTED else text[: QUOTED - 1] + '…'}'"


def quotes(names: Iterable[str]) -> str:
    return ", ".join(quote(name) for name in names)


def says_none(text: str) -> bool:
    """Whether the text says that there is nothing: "none", "No tools detected.", "[]"."""
    words = " ".join(word for word in split_words(text) if word[0].isalnum())
    return bool(_NOTHING.search(words) or _EMPTY_LIST.fullmatch(text))


def extras(items: Iterable[Item], longest: int = 3) -> list[str]:
    """What a list holds beside known names: its entries of 1 to `longest` words without a name.

    These are labels outside the vocabulary. Commas, "and" and "or" separate entries; a word beside
    a name describes it ("laparoscopic grasper") and is no label.
    """
    out = []
    for parted, entry in itertools.groupby(items, key=_parts):
        entry = list(entry)
        if not parted and all(item.kind == "word" for item in entry):
            words = content(entry)
            if 1 <= len(words) <= longest:
                out.append(" ".join(words))
    return out


def _parts(item: Item) -> bool:
    return item.kind == "break" or (item.kind == "word" and item.text in ("and", "or"))


def distinct(names: Iterable[str]) -> tuple[str, ...]:
    """The names that one scan can tell apart: of those with the same stems ("clip" and "clipping")
    the first. Without this a vocabulary would read all of them without stems."""
    forms: dict[str, str] = {}
    for name in names:
        forms.setdefault(" ".join(map(stem, split_words(name))), name)
    return tuple(forms.values())


def in_order(names: Iterable[str], options: Sequence[str]) -> list[str]:
    """The names in the order of the options; others after them, by alphabet; no duplicates."""
    rank = {name: index for index, name in enumerate(options)}
    return sorted(set(names), key=lambda name: (rank.get(name, len(rank)), name))
