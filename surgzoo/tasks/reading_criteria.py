"""Reading yes and no of numbered criteria in a model's text.

Understood: "Criterion 1: Yes. Criterion 2: No.", "C1: yes, C2: no", "1. yes 2. no", names in place
of numbers, "criteria 1 and 2 are met", verdicts before ("yes for criterion 1"), one verdict a
criterion in order ("yes, no, yes", "[1, 0, 1]"), JSON objects, "all achieved", "none is met", and a
bare list of those that are met ("criteria 1 and 3") without any verdict. Words that are no verdict
("criterion 1: unclear") leave their criterion without one.

Verdicts that name no criterion ("Overall: not achieved") are left out beside ones that do.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

from surgzoo.tasks.reading import quote

_ORDINALS = ("first", "second", "third", "fourth", "fifth", "sixth")
_MET = r"met|achieved|fulfilled|satisfied|reached|established|positive"
_ITEM = re.compile(
    # "criterion 1", "criteria 1, 2 and 3", "c1"
    r"\b(?:criterion|criteria|crit|c) ?#?(?P<numbers>[1-9](?:(?: ?, ?| and |, and | & )c?[1-9]\b)*)"
    # a bare 0 or 1 as a verdict: after a colon, or an entry of a list
    r"|(?P<digit>(?<=[:=\[,]) ?[01](?= ?(?:[,;}\]\n.]|$)))"
    # "1. yes", "2) no", '"3": true'
    r"|(?<![\w.])(?P<listed>[1-9])(?= ?[.):] ?[a-z0-9])"
    # "c1: y, c2: n"; no "n/a"
    r"|(?P<n>(?<=[:=]) ?n\b(?! ?[/.]? ?a\b))|(?P<y>(?<=[:=]) ?y\b)"
    r"|(?P<no>\b(?:not|isnt|arent|no|false|unmet|unachieved|unfulfilled|failed|negative)\b"
    rf"(?: (?:yet|been|fully|clearly|be)\b)*(?: (?:{_MET})\b)?)"
    rf"|(?P<yes>\b(?:yes|true)\b|\b(?:{_MET})\b(?! ?[:=?]))"
)
# What may stand in a list of the criteria that are met, beside the criteria.
_BARE_LIST = re.compile(
    r"(?:[\W_\d]|\b(?:a|and|answer|are|criteria|criterion|final|is|of|only|or|the|these|those)\b)*"
)
_BITS = re.compile(r"[01](?:(?: ?, ?| )[01])*")
_RANGE = re.compile(r"(?<=criteria )([1-9]) ?(?:-|–|to|through) ?([1-9])\b")
_ALL = re.compile(r"\b(?:all|both|each|every)\b")
_NONE = re.compile(r"\bnone\b|\b(?:no|neither|zero)\b[^.;]{0,20}\b(?:criterion|criteria)\b")
_NOT_ALL = re.compile(r"\bnot (?:all|both|each|every)\b")
_ONLY = re.compile(r"\b(?:only|just)\b")
# Neither yes nor no: a guess here would call a step safe.
_HEDGED = re.compile(
    r"\b(?:all|both|each|every)\b[^.;]{0,12}\b(?:but|except|save)\b"
    r"|\b(?:partial|partially|partly|almost|nearly|incompletely)\b"
    r"|\b(?:cannot|cant|can not|unable to|impossible to|hard to|difficult to|not possible to)"
    r"(?: \w+){0,2}? (?:tell|say|said|assess|judge|determine|evaluate|know|answer|decide)d?\b"
    r"|\b(?:unclear|uncertain|unsure|not sure|not clear|not certain) (?:if|whether)\b"
)


class _Item(NamedTuple):
    """Criteria that are spoken of, or a verdict."""

    criteria: tuple[int, ...]
    verdict: bool | None


def find(text: str, names: Sequence[str]) -> tuple[list[bool] | None, str | None]:
    """Whether each of `names` is met, in their order; or None and the reason.

    Criterion 1 is the first name. Every criterion needs a verdict: a guess for one that was not
    spoken of would be worth a point. Never raises.
    """
    plain = _plain(text, names)
    if _BITS.fullmatch(plain.strip(" .")):
        plain = f"[{', '.join(re.findall('[01]', plain))}]"
    if hedge := _HEDGED.search(plain):
        return None, f"is no plain yes or no ('{hedge.group()}'): {quote(text)}"
    items = _items(plain, len(names))
    verdicts = [item.verdict for item in items if item.verdict is not None]
    if not any(item.criteria for item in items):
        return _without_subjects(plain, verdicts, names, text)
    said: dict[int, set[bool]] = {}
    if verdicts:
        for criteria, verdict in _pairs(items):
            for number in criteria:
                said.setdefault(number, set()).add(verdict)
        if _ONLY.search(plain) and all(met == {True} for met in said.values()):
            said = {n: said.get(n, {False}) for n in range(len(names))}
    elif not _BARE_LIST.fullmatch(_ITEM.sub(" ", plain)):
        return None, f"gives no verdict: {quote(text)}"
    else:  # a list of what is met
        named = {number for item in items for number in item.criteria}
        said = {number: {number in named} for number in range(len(names))}
    for number, name in enumerate(names):
        if number not in said:
            return None, f"says nothing of criterion {number + 1} ({name}): {quote(text)}"
        if len(said[number]) > 1:
            return None, f"calls criterion {number + 1} ({name}) met and not met: {quote(text)}"
    return [said[number].pop() for number in range(len(names))], None


def _plain(text: str, names: Sequence[str]) -> str:
    """Lower case, quotes and markup gone, names and ordinals written as numbers."""
    text = re.sub(r"[\"'’`*]", "", text.lower())
    text = re.sub(r"[_\s]+", " ", text)
    text = re.sub(r"(?<=criterion) ?(?:no\.|number|nr\.) ?(?=\d)", " ", text)
    for number, name in sorted(enumerate(names, 1), key=lambda pair: -len(pair[1])):
        words = re.sub(r"['’]", "", name.lower()).split()
        pattern = "[ -]?".join(map(re.escape, words))
        text = re.sub(rf"(?<!\w){pattern}(?!\w)", f"criterion {number}", text)
    for number, ordinal in enumerate(_ORDINALS, 1):
        text = re.sub(rf"\b{ordinal} criterion\b", f"criterion {number}", text)
    return _RANGE.sub(lambda m: ", ".join(map(str, range(int(m[1]), int(m[2]) + 1))), text)


def _items(plain: str, count: int) -> list[_Item]:
    """Subjects and verdicts in reading order; numbers of no criterion are left out."""
    items = []
    for found in _ITEM.finditer(plain):
        numbers = found["numbers"] or found["listed"]
        if numbers:
            criteria = tuple(int(digit) - 1 for digit in re.findall(r"[1-9]", numbers))
            items.append(_Item(criteria, None))
        else:
            digit = found["digit"]
            met = digit.strip() == "1" if digit else bool(found["yes"] or found["y"])
            items.append(_Item((), met))
    if any(n >= count for item in items for n in item.criteria):
        items = [
            _Item(tuple(n if n < count else -1 for n in item.criteria), item.verdict)
            for item in items
        ]
    return items


def _pairs(items: Sequence[_Item]) -> list[tuple[tuple[int, ...], bool]]:
    """Each verdict with the criteria that it is about: those before it, back to the last verdict.

    One that has its verdict and is mentioned again on the way to the next is not judged anew.
    """
    if items[0].verdict is not None and items[-1].verdict is None:  # "yes for criterion 1"
        items = list(reversed(items))
    pairs, pending, done = [], (), set()
    for item in items:
        if item.verdict is None:
            pending += item.criteria
        elif pending:
            fresh = tuple(number for number in pending if number not in done) or pending
            pairs.append((fresh, item.verdict))
            done.update(fresh)
            pending = ()
    return pairs


def _without_subjects(
    plain: str, verdicts: Sequence[bool], names: Sequence[str], text: str
) -> tuple[list[bool] | None, str | None]:
    if _NONE.search(plain):
        return [False] * len(names), None
    if len(verdicts) == len(names):
        return list(verdicts), None
    if _ALL.search(plain) and not _NOT_ALL.search(plain) and len(set(verdicts)) == 1:
        return [verdicts[0]] * len(names), None
    return None, f"tells no criterion from another: {quote(text)}"
