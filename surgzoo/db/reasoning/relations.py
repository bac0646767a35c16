"""Who does what to what in a sentence: the instrument, verb and target that belong together."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence

from surgzoo.db.reasoning.lexicon import NOMINALS
from surgzoo.db.reasoning.text import BE, DENIALS, Mention, Sentence
from surgzoo.db.words import bag

_TARGETS = ("target", "tissue")
_DETERMINERS = bag("the a an this that its each no")
_BY = bag("by with using via")
_ADVERBS = bag("being now also then not gently carefully currently still actively")
# An object stands before any of these.
_ENDS = bag("while whereas then but with by using via as which who so , : ( )")
_DENIALS = DENIALS | bag("than instead")
_PEOPLE = bag("surgeon assistant operator hand")
_ALL_TOOLS = bag("instruments tools devices")  # "the instruments are idle": each of them
_IDLE = bag("idle inactive unused resting")


def read(sentence: Sentence, fact: Callable, taken: Collection[int] = ()) -> Iterator:
    """The relations of a sentence; mentions that begin at a place in `taken` are read already.

    A verb of which neither subject nor object can be told is left to be read as a bare name.
    """
    objects: set[int] = set()
    for mention in sentence.mentions:
        if "verb" in mention.kinds() and sentence.words[mention.first].start not in taken:
            yield from _relation(sentence, mention, objects, fact)
    yield from _contacts(sentence, objects, fact)


def is_noun(sentence: Sentence, mention: Mention) -> bool:
    """ "the suture" is a thing, "sutures" after an instrument is not."""
    things = mention.kinds() - {"verb", "action"}
    return bool(things) and sentence.at(mention.first - 1) in _DETERMINERS


def _relation(sentence: Sentence, verb: Mention, objects: set[int], fact: Callable) -> Iterator:
    if is_noun(sentence, verb):
        return
    if sentence.at(verb.first) in NOMINALS:
        agents, acted = _after_noun(sentence, verb)
    elif _passive(sentence, verb):
        acted = _chain(sentence, _before(sentence, verb.first, _TARGETS, ()))
        agents = _by(sentence, verb.stop)
        objects.update(item.first for item in agents)  # it is no subject of what comes next
        agents = agents or _leading_tool(sentence, verb.first)
    else:
        acted = _object(sentence, verb)
        agents = _subject(sentence, verb, objects)
        if not agents:
            agents = _by(sentence, acted[-1].stop if acted else verb.stop)
    objects.update(item.first for item in acted)
    if not agents and not acted:
        acted = _tool_acted_on(sentence, verb)
    if not agents and not acted:
        return
    negated = any(
        sentence.at(verb.first - back) in _DENIALS
        for back in range(1, 4)
        if not any(m.first <= verb.first - back < m.stop for m in sentence.mentions)
        and not _crossed(sentence, verb.first - back, verb.first)
    )
    for agent in agents or [None]:
        for item in acted or [None]:
            value = (
                "|".join(agent.concepts("instrument")) if agent else "",
                "|".join(verb.concepts("verb")),
                "|".join(item.concepts(*_TARGETS) or item.concepts("instrument")) if item else "",
            )
            yield fact("relation", value, verb.first, verb.stop, negated=negated)


def _crossed(sentence: Sentence, first: int, stop: int) -> bool:
    """Whether a name or a comma stands between two words."""
    return any(
        sentence.words[i].gap or any(m.first <= i < m.stop for m in sentence.mentions)
        for i in range(first + 1, stop)
    )


def _passive(sentence: Sentence, verb: Mention) -> bool:
    word = sentence.at(verb.first)
    if not (word.endswith(("ed", "en", "wn")) or word in ("cut", "held", "put")):
        return False
    back = verb.first - 1
    while sentence.at(back) in _ADVERBS and sentence.at(back) not in BE:
        back -= 1
    if sentence.at(back) in BE or sentence.at(verb.stop) == "by":
        return True
    # "with the gallbladder retracted, ..."
    before = _before(sentence, verb.first, (*_TARGETS, "instrument"), ())
    return not _object(sentence, verb) and bool(before and before.concepts(*_TARGETS))


def _object(sentence: Sentence, verb: Mention) -> list[Mention]:
    """The targets right after a verb, joined ones with it."""
    for index in range(verb.stop, len(sentence.words)):
        found = next((m for m in sentence.mentions if m.first == index), None)
        if found is not None:
            if not found.concepts(*_TARGETS):
                return []
            if "verb" in found.kinds() and not is_noun(sentence, found):
                return []
            return _joined_after(sentence, found)
        if sentence.at(index) in _ENDS:
            return []
    return []


def _tool_acted_on(sentence: Sentence, verb: Mention) -> list[Mention]:
    """ "the gallbladder retracts the grasper": wrong, as no label has an instrument as target."""
    following = next((m for m in sentence.mentions if m.first >= verb.stop), None)
    between = {sentence.at(i) for i in range(verb.stop, following.first)} if following else set()
    tool = between and between <= _DETERMINERS and following.concepts("instrument")
    return [following] if tool else []


def _joined_after(sentence: Sentence, first: Mention) -> list[Mention]:
    chain = [first]
    later = [m for m in sentence.mentions if m.first >= first.stop]
    for place, mention in enumerate(later):
        joined = sentence.joins(chain[-1].stop, mention.first) and mention.concepts(*_TARGETS)
        # "the cystic duct and the gallbladder is retracted": the second begins a clause of its own
        ahead = later[place + 1] if place + 1 < len(later) else None
        own = ahead is not None and "verb" in ahead.kinds() and ahead.first - mention.stop <= 2
        if not joined or own or sentence.at(mention.stop) in BE:
            break
        chain.append(mention)
    return chain


def _subject(sentence: Sentence, verb: Mention, objects: set[int]) -> list[Mention]:
    """The instruments before a verb; none if a person stands nearer."""
    found = _before(sentence, verb.first, ("instrument",), objects)
    if found is None:
        return []
    if any(sentence.at(i) in _PEOPLE for i in range(found.stop, verb.first)):
        return []
    return _chain(sentence, found, objects)


def _before(
    sentence: Sentence, index: int, kinds: Sequence[str], objects: Collection[int]
) -> Mention | None:
    for mention in reversed(sentence.mentions):
        usable = mention.stop <= index and mention.first not in objects
        verb = "verb" in mention.kinds() and not is_noun(sentence, mention)
        if usable and not verb and mention.concepts(*kinds):
            return mention
    return None


def _chain(
    sentence: Sentence, last: Mention | None, objects: Collection[int] = ()
) -> list[Mention]:
    """A mention and those of its kind joined before it: "the hook and the grasper"."""
    if last is None:
        return []
    kinds = ("instrument",) if last.concepts("instrument") else _TARGETS

    def usable(earlier: Mention) -> bool:
        verb = "verb" in earlier.kinds()
        return earlier.first not in objects and bool(earlier.concepts(*kinds)) and not verb

    earlier = [m for m in sentence.mentions if m.stop <= last.first]
    return sentence.chain([*earlier, last], usable)


def _by(sentence: Sentence, start: int) -> list[Mention]:
    """ "... by the hook", "... using the hook": the instrument, unless it does something else."""
    for index in range(start, min(start + 6, len(sentence.words))):
        if sentence.at(index) in _BY:
            following = [m for m in sentence.mentions if m.first > index]
            near = bool(following) and following[0].first - index <= 3
            if not near or not following[0].concepts("instrument"):
                return []
            other = following[1] if len(following) > 1 else None
            acts = (
                other is not None
                and "verb" in other.kinds()
                and (other.first == following[0].stop and sentence.at(other.first).endswith("ing"))
            )
            return [] if acts else [following[0]]
        if sentence.at(index) in ("while", ",", "and"):
            return []
    return []


def _leading_tool(sentence: Sentence, index: int) -> list[Mention]:
    """ "With the hook, the cystic duct is dissected"."""
    for mention in sentence.mentions:
        if mention.stop <= index and mention.concepts("instrument"):
            before = {sentence.at(mention.first - 1), sentence.at(mention.first - 2)}
            if before & _BY:
                return [mention]
    return []


def _after_noun(sentence: Sentence, noun: Mention) -> tuple[list[Mention], list[Mention]]:
    """ "dissection of the cystic duct by the hook": instruments and targets."""
    acted: list[Mention] = []
    stop = noun.stop
    if sentence.at(noun.stop) in ("of", "on"):
        acted = _object(sentence, Mention(noun.first, noun.stop + 1, noun.readings))
        stop = acted[-1].stop if acted else stop
    return _by(sentence, stop), acted


def _contacts(sentence: Sentence, objects: set[int], fact: Callable) -> Iterator:
    """Instruments that rest or touch nothing, and what else is said of touch."""
    covered = sentence.covered()
    for index, word in enumerate(sentence.words):
        if index in covered:
            continue
        following = [sentence.at(index + offset) for offset in (1, 2)]
        denied = any(sentence.at(index - back) in _DENIALS for back in (1, 2))
        idle = word.text in _IDLE or (word.text == "off" and "tissue" in following)
        touch = word.stem in ("touch", "contact")
        if touch and (following[0] in ("nothing", "no") or denied):
            idle, denied = True, False
        if word.text == "nothing" and "done" in [sentence.at(index + n) for n in (1, 2, 3)]:
            yield fact("nothing done", (), index, index + 1)
        if not idle and not touch:
            continue
        verb = Mention(index, index + 1, ())
        agents = _subject(sentence, verb, objects)
        if idle:
            if not agents and any(sentence.at(i) in _ALL_TOOLS for i in range(index)):
                yield fact("nothing done", (), index, index + 1, negated=denied)
                continue
            for agent in agents or [None]:
                value = ("|".join(agent.concepts("instrument")) if agent else "",)
                yield fact("idle", value, index, index + 1, negated=denied)
        else:
            for agent in agents or [None]:
                for item in _object(sentence, verb) or [None]:
                    value = (
                        "|".join(agent.concepts("instrument")) if agent else "",
                        "",
                        "|".join(item.concepts(*_TARGETS)) if item else "",
                    )
                    yield fact("relation", value, index, index + 1)
