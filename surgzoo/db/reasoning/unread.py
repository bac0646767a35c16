"""What a sentence says beside the facts that were read out of it: words that no rule knows.

A word list that names what is wrong can never be complete ("a LigaSure", "the duodenum", "several
graspers", "is about to cut"), so this one names what is harmless. A word counts as read if it is
part of a name or of a fact, if it states nothing (PLAIN), or if it is of a sort that a fact of the
sentence accounts for: "not" beside a denial, "after" beside an order of phases. All others are left
over, and a text with such a word does not pass the check.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator

from surgzoo.db.reasoning.text import DENIALS, Sentence
from surgzoo.db.words import bag, stems

# Stems of words that state nothing that a label could contradict.
PLAIN = stems(
    "a an the this that these those it its they them their there here we our one who which what "
    "where when while whereas as such same other another "
    "of in on at to by with within into from for during via using "
    "and or but so thus hence therefore since because then also too moreover furthermore "
    "additionally meanwhile simultaneously together overall well "
    "is are was were be been being am have has had having do does can could "
    "see seen visible visibly view image picture frame scene video footage field show shown reveal "
    "display depict feature include contain present observe observed notice noticed identify "
    "identified recognize recognise distinguish detect find found tell told made "
    "locate located position positioned situated place placed sit lie lies lying occupy appear "
    "come came area region part portion quadrant corner side spot pool "
    "surgical laparoscopic endoscopic surgeon operator assistant team surgery operation procedure "
    "intervention workflow activity current currently now presently moment point stage ongoing "
    "continue keep proceed perform performed conduct carry carried underway "
    "instrument tool device tissue organ structure anatomy anatomical target phase step action "
    "basic laparoscopy case use used employ name named called "
    "indicate suggest imply mean confirm support fit match correspond belong align consistent "
    "conclude infer determine assess evaluate evaluation assessment evidence clue observation "
    "finding context contextual reasoning understanding perception perceptual grounding "
    "relational relation level task given based regard regarding concerning respect term note "
    "careful carefully gentle gently clearly steadily actively precisely smoothly aside apart "
    "happen occur remain stretch last take need different distinct separate surrounding thereby"
)
# Rows of words that state nothing, though their words may.
_PHRASES = tuple(
    tuple(phrase.split())
    for phrase in (
        "nothing of note",
        "under way",
        "made out",
        "along with",
        "beside this",
        "at the same time",
        "moved on",
        "off the tissue",
        "in all",
    )
)
# Words that an order of phases or steps accounts for ...
_ORDER = bag(
    "after following completed finished completing follow follows followed previous preceding "
    "before until precedes next upcoming towards toward preceded prior over complete done ended "
    "behind will should just first"
)
# ... a criterion ...
_CRITERIA = bag(
    "criterion criteria cvs critical safety met achieved satisfied fulfilled attained reached yes "
    "established unmet unachieved unsatisfied unfulfilled missing lacking incomplete fails fail "
    "yet"
)
_SMOKE = bag("free clear absence lack absent cleared dims veils fills obscures clouds sign signs")
_DENYING = DENIALS | bag("nothing none nowhere nobody")
_NOT_MET = ("not met", "none", "not all")


def unread(sentence: Sentence, facts: Collection) -> Iterator[int]:
    """The words of a sentence, by index, that neither its facts nor the lists account for.

    `facts` are those read out of this sentence.
    """
    known = sentence.covered() | sentence.moment | _phrases(sentence)
    spans = [(fact.start, fact.end) for fact in facts]
    accounted = _accounted(facts)
    denials = sum(map(_denies, facts))
    for index, word in enumerate(sentence.words):
        if word.gap or index in known:
            continue
        if word.text in _DENYING:
            denials -= 1
            if denials < 0:
                yield index
            continue
        read = any(start <= word.start and word.end <= end for start, end in spans)
        if not read and word.stem not in PLAIN and word.text not in accounted:
            yield index


def _accounted(facts: Collection) -> set[str]:
    """The words that mean something by the facts of their sentence alone."""
    kinds = {fact.kind for fact in facts}
    words: set[str] = set()
    if any(fact.order for fact in facts):
        words |= _ORDER
    if kinds & {"criterion", "criteria"}:
        words |= _CRITERIA
    if "smoke" in kinds:
        words |= _SMOKE
    if "nothing done" in kinds:
        words |= {"done"}
    if any(map(_denies, facts)):
        words |= {"lacks", "lacking", "absent", "missing"}
    return words


def _denies(fact) -> bool:
    match fact.kind:
        case "idle" | "nothing done":
            return True
        case "number":
            return fact.value[2] == "0"
        case "criterion":
            return fact.value[1] == "not met"
        case "criteria":
            return fact.value[0] in _NOT_MET or fact.value[0].startswith("-")
        case _:
            return fact.negated


def _phrases(sentence: Sentence) -> set[int]:
    words = [word.text for word in sentence.words]
    return {
        index + offset
        for phrase in _PHRASES
        for index in range(len(words))
        if tuple(words[index : index + len(phrase)]) == phrase
        for offset in range(len(phrase))
    }
