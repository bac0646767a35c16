"""How questions are put: phrasings, listed choices, a first exchange."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from task_records import NAMES, context, encode, frame, instrument, label, random_annotations, task

from surgzoo.db.footage import Shot
from surgzoo.db.schema import FrameAnnotations
from surgzoo.tasks import reading, wording

ALWAYS_OPEN = (  # their answers cannot be listed
    "instrument_localization",
    "tissue_localization",
    "safety_assessment",
    "visual_question_answering",
)
ALONE = ("visual_question_answering",)  # anything asked first might answer it
PHASES = ("preparation", "calot triangle dissection", "clipping and cutting")


@given(st.integers(0, 99), st.sets(st.sampled_from("abcdefghijklm"), max_size=6))
def test_choices_hold_all_that_is_right(seed, right):
    right = sorted(right)
    listed = wording.choices("id", seed, right, tuple("abcdefghijklm"))
    assert set(right) <= set(listed)
    assert len(listed) == len(set(listed)) == wording.MOST_CHOICES
    assert listed == wording.choices("id", seed, right, tuple("abcdefghijklm"))


def test_no_choices_where_nothing_can_be_chosen():
    assert wording.choices("id", 0, ["a"], ("a",)) == ()
    assert wording.choices("id", 0, [], ("a",)) == ()
    assert wording.choices("id", 0, list("abcdefgh"), tuple("abcdefghi")) == ()


def test_the_right_choice_is_at_every_place():
    places = {wording.choices(str(n), 0, ["a"], tuple("abcd")).index("a") for n in range(60)}
    assert places == {0, 1, 2, 3}


@pytest.mark.parametrize("name", NAMES)
def test_every_protocol_asks_for_the_same_answer(name):
    rng = random.Random(0)
    seen = set()
    for index in range(40):
        annotations = random_annotations(rng)
        open_ones = encode(name, annotations, index)
        for protocol in ("choice", "dialogue", "mixed"):
            others = encode(name, annotations, index, protocol=protocol)
            assert [c.id for c in others] == [c.id for c in open_ones]
            assert [c.answer for c in others] == [c.answer for c in open_ones]
            for c in others:
                assert task(name).reward(c, c.target) == pytest.approx(1.0, abs=0.05), c.target
                assert task(name).parse(c.target, c).error is None
                seen.add((protocol, len(c.turns) > 2, bool(c.choices)))
                for letter, choice in zip(wording.LETTERS, c.choices, strict=False):
                    assert f"\n{letter}. {choice}" in c.prompt
    lists, leads = name not in ALWAYS_OPEN, name not in ALONE
    assert ("choice", False, lists) in seen and ("dialogue", leads, False) in seen
    assert {("mixed", leads, False), ("mixed", False, False)} <= seen
    assert (("mixed", False, True) in seen) == lists


def test_only_the_first_phrasings():
    annotations = FrameAnnotations(phase=label("phase", "preparation"))
    few = {
        encode("phase_recognition", annotations, index, phrasings=2)[0].prompt
        for index in range(30)
    }
    assert few == set(task("phase_recognition").templates[:2])


def test_a_first_exchange_is_about_something_annotated():
    shot = Shot(frame(), FrameAnnotations(instruments=(instrument("hook"),)))
    kinds = ("procedure", "phase", "instruments")
    answers = (wording.lead(kinds, str(n), 0, context().video, shot)[1] for n in range(30))
    assert {turn.text for turn in answers} == {"cholecystectomy", "hook"}
    assert wording.lead(("phase",), "id", 0, context().video, shot) is None


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("B", "calot triangle dissection"),
        ("b.", "calot triangle dissection"),
        ("(B)", "calot triangle dissection"),
        ("B. calot triangle dissection", "calot triangle dissection"),
        ("B) Calot triangle dissection", "calot triangle dissection"),
        ("calot triangle dissection (B)", "calot triangle dissection"),
        ("The answer is (C).", "clipping and cutting"),
        ("Answer: A.", "preparation"),
        ("Answer: B", "calot triangle dissection"),
        ("The answer is **B**", "calot triangle dissection"),
        ("The correct option is C because the clips are set", "clipping and cutting"),
        ("I choose B", "calot triangle dissection"),
        ("Option C", "clipping and cutting"),
        ("'B'", "calot triangle dissection"),
        (r"\boxed{B}", "calot triangle dissection"),
        ("**B.** it is under way", "calot triangle dissection"),
        ("B - Calot triangle dissection", "calot triangle dissection"),
        ("C because clips are set", "clipping and cutting"),
        ("<think>B or C</think><answer>C</answer>", "clipping and cutting"),
        ("preparation", "preparation"),
    ],
)
def test_letters_are_read(text, answer):
    said, error = reading.spoken(text, PHASES)
    assert error is None
    items = reading.vocabulary(PHASES).scan(said)
    assert [item.text for item in items if item.kind == "name"] == [answer]


@pytest.mark.parametrize(
    "text",
    [
        "A, C",
        "a and c",
        "A. grasper, C. scissors",
        "(A) (C)",
        "A C",
        "A and C.",
        "Answer: A, C",
        "The answers are A and C.",
        "A/C",
        "A & C",
        "AC",
        "Both A and C",
    ],
)
def test_several_letters(text):
    choices = ("grasper", "hook", "scissors")
    said, _ = reading.spoken(text, choices)
    items = reading.vocabulary(choices).scan(said)
    assert [item.text for item in items if item.kind == "name"] == ["grasper", "scissors"]


def test_an_article_is_no_letter():
    for text in ("There is a hook.", "A hook", "The answer is a hook", "Option: a hook"):
        assert reading.spoken(text, ("grasper", "hook"))[0] == text
