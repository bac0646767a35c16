"""Reading a duration in a model's text: "10 seconds", "about 10 s", "1 min 5 s", "half a minute".

Numbers may be digits or words, a clock ("1:05"), or a range, whose middle is taken; of "10 ± 2 s"
the 10. A number or range without a unit is seconds if it is the only one and counts nothing else
("10 frames"). A comma without a space is a decimal one ("7,5 s") or parts thousands ("1,200 s").
Quantities with different values in one text are an error: which one was meant is not known.

None of these functions raises on any text.
"""

from __future__ import annotations

import re

from surgzoo.db import words
from surgzoo.tasks import reading

LONGEST = 24 * 3600.0  # seconds; a longer duration is not one of an operation

_ONES = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen "
    "sixteen seventeen eighteen nineteen"
)
_TENS = "twenty thirty forty fifty sixty seventy eighty ninety"
_WORDS = {word: value for value, word in enumerate(_ONES.split())}
_WORDS |= {word: 10 * value for value, word in enumerate(_TENS.split(), start=2)}
_UNITS = {"h": 3600.0, "m": 60.0, "s": 1.0}  # by first letter

_UNIT = r"(?:hours?|hrs?|h|minutes?|mins?|m|seconds?|secs?|s)(?![^\W\d_])"
_NUMBER = r"\d{1,9}(?:\.\d{1,6})?"
_PART = rf"{_NUMBER}\s*-?\s*{_UNIT}\.?"
_CLOCK = re.compile(r"(?<![\d.:])(?:(\d{1,2}):)?(\d{1,3}):([0-5]\d)(?![\d:])")
_WORD_NUMBER = re.compile(
    rf"\b(?:(?:{'|'.join(_WORDS)}|hundred)\b[\s-]*(?:and\s+(?=(?:{'|'.join(_WORDS)})\b))?)+"
)
_END = r"(?=[\s.,;!)\]*\"']*(?:$|left\b|more\b|remain|until\b|to go\b|or so\b))"
_RANGE = re.compile(
    rf"(?<![\w.:])({_NUMBER})\s*(?:{_UNIT})?\s*(?:-|–|—|\bto\b|\band\b)\s*({_NUMBER})"
    rf"\s*(?:({_UNIT})|{_END})"
)
_MARGIN = re.compile(rf"(?:±|\+\s*/?\s*-)\s*{_NUMBER}")
_DURATION = re.compile(rf"(?<![\w.])(-\s*)?({_PART}(?:[\s,]*(?:and\s+)?{_PART})*)")
_ONE_PART = re.compile(rf"({_NUMBER})\s*-?\s*({_UNIT})")
_BARE = re.compile(rf"(?<![\w.])(-\s*)?({_NUMBER}){_END}")


def parse(text: str) -> tuple[float | None, str | None]:
    """Seconds, or None and the reason why the text gives none."""
    plain = _digits(" ".join(text.lower().split()[: words.MAX_WORDS]))
    found: list[float] = []

    def take(match: re.Match) -> str:
        low, high, unit = float(match[1]), float(match[2]), _UNITS[match[3][0] if match[3] else "s"]
        found.append((low + high) / 2 * unit)
        return " "

    rest = _RANGE.sub(take, plain) if _is_range(plain) else plain
    for match in _DURATION.finditer(rest):
        sign = -1 if match[1] else 1
        found += [sign * seconds for seconds in _sums(_ONE_PART.findall(match[2]))]
    if not found:
        found = [(-1 if m[1] else 1) * float(m[2]) for m in _BARE.finditer(rest)]
    values = sorted(set(found))
    if not values:
        return None, f"gives no duration: {reading.quote(text)}"
    if len(values) > 1:
        return None, f"gives several durations: {reading.quote(text)}"
    if not 0 <= values[0] <= LONGEST:
        return None, f"gives an impossible duration: {reading.quote(text)}"
    return values[0], None


def render(seconds: float) -> str:
    """ "10 seconds", "1 second", "7.5 seconds"."""
    number = f"{round(seconds, 2):.10g}"
    return f"{number} second" if number == "1" else f"{number} seconds"


def _sums(parts: list[tuple[str, str]]) -> list[float]:
    """Quantities of falling units are one duration (1 min 5 s), others several (10 s and 20 s)."""
    out: list[float] = []
    before = 0.0
    for number, unit in parts:
        size = _UNITS[unit[0]]
        if size < before:
            out[-1] += float(number) * size
        else:
            out.append(float(number) * size)
        before = size
    return out


def _is_range(text: str) -> bool:
    """Whether "5 and 10 s" is a range: only after "between", while "5 to 10 s" always is one."""
    match = _RANGE.search(text)
    if match is None:
        return False
    joint = text[match.end(1) : match.start(2)]
    return "and" not in joint or "between" in text[: match.start()]


def _digits(text: str) -> str:
    """Clocks, number words and halves to digits: "a minute and a half" -> "1.5 minute"."""
    text = text.replace("$", " ")  # LaTeX
    text = re.sub(r"(?<![\d.,])\d{1,3}(?:,\d{3})+(?![\d,])", lambda m: m[0].replace(",", ""), text)
    text = re.sub(r"(?<![\d.,])(\d+),(\d{1,2})(?![\d.,]\d|\d)", r"\1.\2", text)
    text = _MARGIN.sub(" ", text)
    text = _CLOCK.sub(lambda m: f" {int(m[1] or 0) * 3600 + int(m[2]) * 60 + int(m[3])} s ", text)
    text = _WORD_NUMBER.sub(lambda m: f"{_value(m[0])} ", text)
    text = re.sub(rf"\b(?:an?|1)\s+({_UNIT})\s+and\s+a\s+half\b", r"1.5 \1", text)
    text = re.sub(r"(\d+)\s+and\s+a\s+half\b", r"\1.5", text)
    text = re.sub(rf"\bhalf\s+(?:an?\s+)?({_UNIT})", r"0.5 \1", text)
    text = re.sub(rf"\ban?\s+({_UNIT})", r"1 \1", text)
    return re.sub(rf"(\d\s*m(?:in(?:ute)?s?)?\s+(?:and\s+)?)([1-5]?\d)({_END})", r"\1\2 s\3", text)


def _value(words: str) -> int:
    """ "two hundred and five" -> 205."""
    total = 0
    for word in re.findall(r"[a-z]+", words):
        if word == "hundred":
            total = min(max(total, 1) * 100, 10**8)
        elif word != "and":
            total += _WORDS[word]
    return total
