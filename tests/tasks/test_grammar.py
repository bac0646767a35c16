"""The grammar of phrasings."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from surgzoo.tasks import grammar


@pytest.mark.parametrize(
    ("frame", "expected"),
    [
        ("Which tool?", ("Which tool?",)),
        (
            "(which|what) (tool|organ)?",
            ("Which tool?", "Which organ?", "What tool?", "What organ?"),
        ),
        ("Name it[ now].", ("Name it.", "Name it now.")),
        ("Name [all ]the tools.", ("Name the tools.", "Name all the tools.")),
        (
            "Where is the {tool} [here|(in|on) it]?",
            (
                "Where is the {tool}?",
                "Where is the {tool} here?",
                "Where is the {tool} in it?",
                "Where is the {tool} on it?",
            ),
        ),
        ("(a|a)", ("A",)),
        ("(|x) y", ("Y", "X y")),
        ("", ("",)),
    ],
)
def test_golden(frame, expected):
    assert grammar.expand(frame) == expected


@pytest.mark.parametrize("frame", ["(a|b", "a]", "a|b", "[a)", "(a]", "a (b", "((a)", "a)"])
def test_broken_frames_are_quoted(frame):
    with pytest.raises(grammar.GrammarError) as caught:
        grammar.expand(frame)
    assert f"'{frame}'" in str(caught.value)


words = st.lists(st.sampled_from("abcdefgh"), min_size=1, max_size=4, unique=True)


@given(st.lists(words, min_size=1, max_size=4))
def test_the_number_of_readings_is_the_product(groups):
    frame = " ".join(f"({'|'.join(group)})" for group in groups)
    readings = grammar.expand(frame)
    product = 1
    for group in groups:
        product *= len(group)
    assert len(readings) == product
    assert all(
        word.lower() in group
        for text in readings
        for word, group in zip(text.split(), groups, strict=True)
    )


def test_phrasings_keep_the_short_ones_first_and_drop_what_is_the_same():
    made = grammar.phrasings(("What is it?", "Say it."), "(What|which) is (it|that)?")
    assert made == ("What is it?", "Say it.", "What is that?", "Which is it?", "Which is that?")
    assert made.short == 2


def test_too_many_phrasings_are_an_error():
    with pytest.raises(grammar.GrammarError, match=r"4 phrasings beside 'A\?', more than 3"):
        grammar.phrasings(("A?",), "(b|c|d)", most=3)


def test_few_are_short_ones():
    made = grammar.phrasings(("What is it?", "Say it."), "(What|which) is (it|that)?")
    assert grammar.first(made, 1) == ("What is it?",)
    assert grammar.first(made, grammar.MOST_SHORT) == made[:2]
    assert grammar.first(made, grammar.MOST_SHORT + 1) == made
    assert grammar.first(made, None) == made
    assert grammar.first(("a", "b", "c"), 2) == ("a", "b")
