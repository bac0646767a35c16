"""What answers in a task's own words look like, as patterns for constrained decoding.

They admit what tasks render, and nothing that tasks cannot read: a task's `pattern` is the narrow
half of its answer codec, where `parse` is the tolerant one.
"""

from __future__ import annotations

from collections.abc import Sequence

from surgzoo.core.pattern import Among, Either, Field, Listed, Many, Pattern, either, then

NONE = "none"
_DIGITS = "0123456789"
_DIGIT = Among(_DIGITS)


def some_of(names: Sequence[str]) -> Pattern:
    """ "grasper, hook" in the order of the names, or "none"."""
    return Either((Listed(tuple(names)), then(NONE)))


def whole_number(digits: int) -> Pattern:
    """A number from 0 on of at most so many digits, without zeros before it."""
    first = Among(_DIGITS[1:])
    return either("0", *(then(first, *[_DIGIT] * more) for more in range(digits)))


def thousandths(opening: str, inner: str, middle: str, closing: str) -> Pattern:
    """A box of whole thousandths, "(x1,y1),(x2,y2)" with the given marks between its numbers; the
    second corner lies beyond the first."""
    low, high = whole_number(3), either(whole_number(3), "1000")
    return _box(low, high, opening, inner, middle, closing)


def fractions(opening: str, between: str, closing: str) -> Pattern:
    """A box of fractions with three decimals, "[0.282, 0.452, 0.447, 0.752]"."""
    low = then("0.", _DIGIT, _DIGIT, _DIGIT)
    return _box(low, either(low, "1.000"), opening, between, between, closing)


def _box(low: Pattern, high: Pattern, opening: str, inner: str, middle: str, closing: str):
    return then(
        opening, Field("x1", low), inner, Field("y1", low), middle,
        Field("x2", high), inner, Field("y2", high), closing,
    )  # fmt: skip


def boxes_of(names: Sequence[str], box: Pattern) -> Pattern:
    """Boxes joined by semicolons: of one class alone, of several each with its name, or "none"."""
    if len(names) == 1:
        return Many(box, "; ")
    return Either((Many(then(either(*names), " ", box), "; "), then(NONE)))


def verdicts(count: int) -> Pattern:
    """ "Criterion 1: Yes. Criterion 2: No."."""
    parts: list[Pattern | str] = []
    for number in range(1, count + 1):
        parts += [f"{' ' if parts else ''}Criterion {number}: ", either("Yes", "No"), "."]
    return then(*parts)


def seconds() -> Pattern:
    """ "10 seconds", "1 second": whole ones below ten thousand."""
    first, other = Among(_DIGITS[1:]), Among("023456789")
    several = either(other, *(then(first, *[_DIGIT] * more) for more in (1, 2, 3)))
    return either("1 second", then(several, " seconds"))
