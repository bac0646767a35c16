"""Where in the operation: phases, steps, the procedure and safety criteria of a sentence."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Literal

from surgzoo.db.reasoning.grammar import VALUES
from surgzoo.db.reasoning.lexicon import Lexicon, Reading, criteria
from surgzoo.db.reasoning.text import DENIALS, Mention, Sentence
from surgzoo.db.words import bag

Order = Literal["before", "after", "previous", "next"]

_CUES = {"phase": "phase", "phases": "phase", "step": "step", "steps": "step"}
_CUES |= {"action": "action", "actions": "action", "stage": "phase"}
# Between "the phase" and its name.
_LEADING = bag("is was of the a named called as current : , being now therefore thus")
_BEFORE = {  # words before a name -> where the stage lies
    "after": "before",
    "following": "before",
    "completed": "before",
    "finished": "before",
    "completing": "before",
    "follows": "previous",
    "followed": "next",  # "followed by"
    "previous": "previous",
    "preceding": "previous",
    "before": "after",
    "until": "after",
    "precedes": "next",
    "preceded": "previous",  # "preceded by"
    "next": "next",
    "upcoming": "next",
    "towards": "after",
    "toward": "after",
}
_PASSED = bag("the a is was of by phase step to prior with : current")
_OVER = bag("over complete completed done finished ended behind")
_DENIALS = DENIALS | bag("rather instead")

_MET = bag("met achieved satisfied fulfilled attained reached yes established")
_UNMET = bag("unmet no unachieved unsatisfied unfulfilled missing lacking incomplete")
_NOT = bag("not never isnt arent hasnt havent nor neither none without")
_LINKS = bag(", and or nor the criterion criteria for of a")
_ALL = bag("all each every both")
_QUANTIFIERS = _ALL | bag("none no neither one")
_ORDINALS = {"first": 1, "second": 2, "third": 3, "fourth": 4, "fifth": 5, "sixth": 6}
_TALK = bag("criterion criteria cvs safety critical")


def read(sentence: Sentence, words: Lexicon, source: str | None, fact: Callable) -> Iterator:
    """Phases, steps, actions (where the sentence calls them so), procedures and criteria."""
    taken: set[int] = set()
    for result, indices in _criteria(sentence, source, fact):
        taken.update(indices)
        yield result
    for mention in sentence.mentions:
        if mention.first in taken:
            continue
        kind = _called(sentence, mention) or _only(mention)
        if kind is None:
            continue
        concepts = mention.concepts(kind)
        if not concepts and (part := _part(sentence, mention, kind, words)):
            concepts = part.concepts
        order = _order(sentence, mention) if kind in ("phase", "step") else None
        value = concepts or (sentence.at(mention.first),)
        negated = _denied(sentence, mention.first)
        yield fact(kind, value, mention.first, mention.stop, negated=negated, order=order)


def _called(sentence: Sentence, mention: Mention) -> str | None:
    """What the words beside a name call it: "the clipping and cutting phase", "the step is ..."."""
    if (cue := _CUES.get(sentence.at(mention.stop))) and cue != "action":
        return cue
    index = mention.first - 1
    while sentence.at(index) in _LEADING:
        index -= 1
    if mention.first - 1 - index <= 4 and (cue := _CUES.get(sentence.at(index))):
        # "the phase, a hook is ..." names no phase
        comma = sentence.at(mention.first - 1) == "," or sentence.at(index + 1) == ","
        if not comma or cue in mention.kinds():
            return cue if cue in mention.kinds() or _named(sentence, index, mention) else None
    return None


def _named(sentence: Sentence, cue: int, mention: Mention) -> bool:
    """Whether "is" or a colon stands between the cue and the name and nothing follows the name."""
    between = {sentence.at(i) for i in range(cue + 1, mention.first)}
    return bool(between & {"is", "was", ":", "of", "called", "named"}) and not (
        between & {"the", "a"}
    )


def _only(mention: Mention) -> str | None:
    """A name that can mean nothing but a phase, a step or a procedure."""
    kinds = mention.kinds()
    if len(kinds) == 1 and (kind := next(iter(kinds))) in ("phase", "step", "procedure"):
        return kind
    return None


def _part(sentence: Sentence, mention: Mention, kind: str, words: Lexicon) -> Reading | None:
    """ "the clipping phase": the one phase that has the words."""
    said = [sentence.words[i].stem for i in range(mention.first, mention.stop)]
    return words.partly(kind, said)


def _order(sentence: Sentence, mention: Mention) -> Order | None:
    index = mention.first - 1
    passed = 0
    while passed <= 4 and index >= 0:
        word = sentence.at(index)
        if word in _BEFORE:
            return _BEFORE[word]
        if word == "prior":
            return "after"
        if word not in _PASSED:
            break
        if word == "is" and sentence.at(index - 1) in ("phase", "step"):
            # "the next phase is X", "the phase is X"
            cue = sentence.at(index - 2)
            return _BEFORE.get(cue)
        index -= 1
        passed += 1
    stop = mention.stop + (sentence.at(mention.stop) in _CUES)
    after = [sentence.at(stop + offset) for offset in range(4)]
    if after[0] in ("is", "was", "has", "been", "being") and _OVER.intersection(after[1:4]):
        return None if "not" in after else "before"
    if after[0] in ("follows", "comes") or after[:2] == ["will", "follow"]:
        return "next"
    if after[0] in ("precedes", "preceded"):
        return "previous"
    if after[0] in ("will", "should", "can"):
        return "after"
    return None


def _denied(sentence: Sentence, index: int) -> bool:
    """ "not the preparation phase", "rather than preparation"."""
    back = index - 1
    while sentence.at(back) in ("the", "a", "than", "of", "in", "yet", "any", "being"):
        back -= 1
    return sentence.at(back) in _DENIALS


# ---- criteria ------------------------------------------------------------------------------------


def _criteria(sentence: Sentence, source: str | None, fact: Callable) -> Iterator:
    """Criteria with their state, and sums like "two of the three criteria are met"."""
    texts = {word.text for word in sentence.words}
    if not texts & (_TALK | _MET | {"unmet", "c1", "c2", "c3"}):
        return
    found = [*_named_criteria(sentence), *_numbered_criteria(sentence, source)]
    found.sort()
    states: list[str] = [""] * len(found)
    for place in reversed(range(len(found))):
        first, stop, _, denied = found[place]
        end = found[place + 1][0] if place + 1 < len(found) else len(sentence.words)
        state = _state(sentence, stop, end)
        between = {sentence.at(i) for i in range(stop, end)}
        joined = between <= _LINKS
        if state is None and place + 1 < len(found) and joined:
            state = states[place + 1] or None
        if state is None:
            state = _state(sentence, 0, first, last=True)
        if state is not None and denied:
            state = "not met" if state == "met" else "met"
        states[place] = state or ""
    for (first, stop, concept, _), state in zip(found, states, strict=True):
        yield fact("criterion", (concept, state), first, stop), range(first, stop)
    covered = {i for first, stop, *_ in found for i in range(first, stop)}
    for value, index in _sums(sentence, covered):
        yield fact("criteria", value, _quantified(sentence, index), index + 1), ()


def _named_criteria(sentence: Sentence) -> Iterator[tuple[int, int, str, bool]]:
    for mention in sentence.mentions:
        for concept in mention.concepts("criterion")[:1]:
            denied = sentence.at(mention.first - 1) in ("neither", "nor")
            denied |= sentence.at(mention.first - 2) in ("neither", "nor")
            yield mention.first, mention.stop, concept, denied


def _numbered_criteria(sentence: Sentence, source) -> Iterator[tuple[int, int, str, bool]]:
    """ "criterion 2", "C2": by the source's own order."""
    known = criteria(source) if source else ()
    covered = sentence.covered()
    stop = -1  # of the last number
    for index, word in enumerate(sentence.words):
        short = word.text[:1] == "c" and word.text[1:].isdecimal()
        listed = stop > 0 and sentence.joins(stop, index)  # "criteria 1, 2 and 3"
        long = sentence.at(index - 1) in ("criterion", "criteria") or listed
        ordinal = _ORDINALS.get(word.text) if sentence.at(index + 1) == "criterion" else None
        number = int(word.text[1:]) if short else ordinal or (_value(word.text) if long else None)
        if number is None or index in covered or sentence.at(index + 1) == "of":
            continue
        stop = index + 1 + (ordinal is not None)
        concept = known[number - 1] if 0 < number <= len(known) else str(number)
        yield index, stop, concept, False


def _state(sentence: Sentence, start: int, stop: int, last: bool = False) -> str | None:
    """ "met" or "not met" as the words from start to stop say it; None if they do not."""
    found = None
    for index in range(start, stop):
        word = sentence.at(index)
        before = [sentence.at(index - back) for back in range(1, 5) if index - back >= start]
        if word in _MET:
            negative = bool(_NOT.intersection(before)) or before[:2] == ["be", "to"]
            found = "not met" if negative else "met"
        elif (
            word in _UNMET
            or (word == "not" and index + 1 == stop)
            or (word == "not" and sentence.at(index + 1) in (",", "and", "but"))
            or word in ("fails", "fail")
        ):
            found = "not met"
        if found and not last:
            return found
    return found


def _sums(sentence: Sentence, covered: set[int]) -> Iterator[tuple[tuple[str, str], int]]:
    """ "all criteria", "none of the three criteria", "two of the three criteria", "the CVS"."""
    for index, word in enumerate(sentence.words):
        single = word.text == "criterion" and sentence.at(index - 1) in _QUANTIFIERS
        if (not single and word.text not in ("criteria", "cvs", "view")) or index in covered:
            continue
        if index + 1 in covered and _value(sentence.at(index + 1)) is not None:
            continue  # "criteria 1 and 2": each is named
        if word.text == "view" and sentence.at(index - 1) != "critical":
            continue
        state = _state(sentence, index + 1, len(sentence.words))
        if state is None:
            continue
        if word.text not in ("criteria", "criterion"):
            if not any(i > index for i in covered) and sentence.at(index + 1) != "criteria":
                yield ("all" if state == "met" else "not all", ""), index
            continue
        before = [sentence.at(i) for i in range(max(0, index - 6), index)]
        if "of" in before and not (_QUANTIFIERS | set(VALUES)) & set(before):
            continue  # "of the criteria, X is met": each is named
        if "not" in before and state == "not met":
            continue  # "not all are unmet": too intricate
        numbers = [n for w in before if (n := _value(w)) is not None]
        of = str(numbers.pop()) if numbers and before[-1] not in ("no",) else ""
        if "none" in before or "no" in before or "neither" in before:
            met = "none" if state == "met" or "none" in before else "all"
        elif _ALL & set(before) and "not" in before:
            met = "not all"
        elif _ALL & set(before):
            met = "all" if state == "met" else "not all"
        elif numbers:
            met = str(numbers[0])
            if state != "met":
                met = f"-{met}"
        elif of:
            met = of if state == "met" else f"-{of}"
            of = ""
        elif covered:
            continue
        else:
            met = "all" if state == "met" else "none"
        yield (met, of), index


def _quantified(sentence: Sentence, index: int) -> int:
    """Where "all three criteria" begins that ends at an index."""
    while (before := sentence.at(index - 1)) and (
        before in _QUANTIFIERS or before in ("of", "the", "safety") or _value(before) is not None
    ):
        index -= 1
    return index


def _value(word: str) -> int | None:
    if word in VALUES and word != "no":
        return VALUES[word]
    return int(word) if word.isdecimal() else None
