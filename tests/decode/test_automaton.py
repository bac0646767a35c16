"""Patterns over tokens: admitted is what the pattern says, spelled as the tokenizer does."""

import itertools
import re

import pytest

from surgzoo.core.pattern import Among, Either, Field, Listed, Many, Text, either, then
from surgzoo.decode.automaton import Tokens, compile_pattern, digits_of
from surgzoo.models.qwen2_5_vl import config as configs
from surgzoo.tasks import answers

PROCESSOR = configs.tiny().processor()
VOCABULARY = PROCESSOR.vocabulary()
TOKENS = Tokens(VOCABULARY)


def texts(states, most=10_000):
    """All that an automaton without a loop admits, by its tokens."""
    found, open_ = [], [((), 0)]
    while open_:
        said, number = open_.pop()
        found += [said] if states[number].ends else []
        open_ += [((*said, token), after) for token, after in states[number].edges]
        assert len(found) <= most
    return found


def spell(said):
    return b"".join(VOCABULARY.pieces[token] for token in said).decode()


def follow(states, text):
    """The state after a text as the tokenizer spells it; None where it is not admitted."""
    number = 0
    for token in VOCABULARY.encode(text):
        number = dict(states[number].edges).get(token)
        if number is None:
            return None
    return states[number]


PATTERNS = (
    (either("grasper", "hook", "grasper tip", "bipolar forceps"), None),
    (answers.some_of(("hook", "clipper", "grasper", "irrigator")), None),
    (then("a", either("b", "bc", ""), Among("xyz")), None),
    (answers.verdicts(3), 8),
    (answers.seconds(), 10_000),
    (either("Ödem", "naïve", "日本"), 3),
)


@pytest.mark.parametrize(("pattern", "count"), PATTERNS)
def test_each_text_once_in_the_tokenizers_own_spelling(pattern, count):
    states = compile_pattern(pattern, TOKENS)
    found = texts(states)
    said = [spell(tokens) for tokens in found]
    assert len(set(said)) == len(said)
    assert all(list(tokens) == VOCABULARY.encode(text) for tokens, text in zip(found, said))  # noqa: B905
    assert set(said) == set(expand(pattern)) and count in (None, len(said))


def expand(pattern):
    """The texts of a pattern, written a second time."""
    match pattern:
        case Text(text):
            return [text]
        case Among(characters):
            return list(characters)
        case Either(options):
            return [text for option in options for text in expand(option)]
        case Listed(items, between):
            sizes = range(1, len(items) + 1)
            chosen = itertools.chain(*(itertools.combinations(items, n) for n in sizes))
            return list(map(between.join, chosen))
        case _:
            return list(map("".join, itertools.product(*map(expand, pattern.parts))))


def test_boxes_are_admitted_as_tasks_write_them():
    states = compile_pattern(answers.boxes_of(("hook",), BOX), TOKENS)
    for text in ("(0,0),(1,1)", "(12,3),(450,1000)", "(999,99),(1000,100); (1,2),(3,4)"):
        assert follow(states, text).ends
    wrong = ("(1000,0),(1000,1)", "(01,0),(5,5)", "(1,2),(3,1001)", "(1,2)", "(1,2),(3,4);", "none")
    for text in wrong:
        state = follow(states, text)
        assert state is None or not state.ends
    floats = compile_pattern(answers.boxes_of(("liver", "fat"), FRACTIONS), TOKENS)
    for text in ("liver [0.282, 0.452, 0.447, 1.000]; fat [0.000, 0.001, 0.010, 0.011]", "none"):
        assert follow(floats, text).ends
    assert follow(floats, "spleen [0.282, 0.452, 0.447, 0.752]") is None


BOX = answers.thousandths("(", ",", "),(", ")")
FRACTIONS = answers.fractions("[", ", ", "]")


def test_what_a_number_can_still_become():
    """Of the compared fields, by brute force over all numbers that the automaton spells."""
    states = compile_pattern(BOX, TOKENS)
    for number, state in enumerate(states):
        if state.field > 2:
            rest = [digits_of(spell(said).encode()) for said in inside(states, number)]
            assert state.largest == max(rest)
    start = follow(states, "(5,6),(")
    assert start.field == 3 and start.largest == (4, 1000)
    assert follow(states, "(5,6),(10").largest == (2, 0)
    assert follow(states, "(5,6),(9").largest == (2, 99)
    # The longest x2 and y2 must fit: 4 + "," + 4 + ")".
    assert start.left == 10


def inside(states, number):
    """The ways to the end of the number that is open."""
    field, found, open_ = states[number].field, [], [((), number)]
    while open_:
        said, here = open_.pop()
        for token, after in states[here].edges:
            if states[after].field == field:
                open_.append(((*said, token), after))
            else:
                found.append(said)
    return found


def test_equal_endings_are_one_state():
    """A thousand numbers need no thousand states; the longer list no square of them."""
    assert len(compile_pattern(BOX, TOKENS)) < 40
    names = tuple(
        f"{a} {b}" for a in ("hook", "grasper", "clipper") for b in ("left", "right", "up")
    )
    assert len(compile_pattern(answers.some_of(names), TOKENS)) < 20 * len(names)


def test_many_ends_after_each():
    states = compile_pattern(Many(Text("hook"), ", "), TOKENS)
    assert re.fullmatch(r"hook(, hook)*", "hook, hook, hook")
    for text in ("hook", "hook, hook", "hook, hook, hook, hook"):
        assert follow(states, text).ends
    assert not follow(states, "hook,").ends and follow(states, ", hook") is None


def test_what_cannot_be_compiled_is_said():
    poor = VOCABULARY._replace(pieces=tuple(p if p == b"a" else None for p in VOCABULARY.pieces))
    with pytest.raises(ValueError, match="cannot spell Text"):
        compile_pattern(Text("ab"), Tokens(poor))
    with pytest.raises(ValueError, match="put text after x2 and y2"):
        compile_pattern(then("(", Field("x2", Among("123"))), TOKENS)
    with pytest.raises(ValueError, match="leads into x1 or y1"):
        compile_pattern(either(Field("x1", Among("1")), Field("y1", Among("2"))), TOKENS)
    with pytest.raises(ValueError, match="a field is one of x1, y1, x2, y2"):
        Field("z1", Among("1"))
    with pytest.raises(ValueError, match="without options"):
        either()
    with pytest.raises(TypeError, match="is no pattern"):
        compile_pattern(then(3), TOKENS)
