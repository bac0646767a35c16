import pytest
from hypothesis import given
from task_records import encode, instrument, instruments, task

from surgzoo.db.schema import FrameAnnotations
from surgzoo.tasks.base import Scored

TASK = task("instrument_recognition")


def question(*names, source="cholect50"):
    annotations = FrameAnnotations(instruments=tuple(map(instrument, names)))
    (conversation,) = encode(TASK.name, annotations, source=source)
    return conversation


def test_conversation_lists_classes_in_the_order_of_the_source():
    conversation = question("hook", "grasper", "grasper")
    assert conversation.answer == ["grasper", "hook"]
    assert conversation.target == "grasper, hook"
    assert question().answer == []
    assert question().target == "none"


@given(instruments)
def test_render_and_parse_round_trip(annotated):
    (conversation,) = encode(TASK.name, FrameAnnotations(instruments=annotated))
    assert TASK.parse(TASK.render(conversation.answer), conversation) == (conversation.answer, None)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Grasper, Hook.", ["grasper", "hook"]),
        ("The image shows a hook, and two graspers.", ["grasper", "hook"]),
        ('["hook", "grasper"]', ["grasper", "hook"]),
        ("- hook\n- specimen_bag", ["hook", "specimen bag"]),
        ("There is no hook, only a grasper.", ["grasper"]),
        ("No tools detected", []),
        ("none", []),
        ("[]", []),
        ("grasper, scalpel", ["grasper", "scalpel"]),  # said, and outside the vocabulary
        ("The grasper is used to hold tissue, while blood is visible", ["grasper"]),  # prose
    ],
)
def test_tolerant(text, expected):
    assert TASK.parse(text, question(source="cholec80")) == (expected, None)


def test_reasons():
    answer, error = TASK.parse("Sorry, I cannot tell.", question())
    assert (answer, error) == (None, "names no known instrument: 'Sorry, I cannot tell.'")


def test_golden_metrics():
    scored = [
        Scored(question("grasper", "hook"), ["grasper"]),
        Scored(question("grasper"), ["grasper", "scalpel"]),
        Scored(question(), None),
        Scored(question(), []),
    ]
    metrics = TASK.metrics(scored)
    assert metrics["precision"] == pytest.approx(2 / 4)
    assert metrics["recall"] == pytest.approx(2 / 3)
    assert metrics["f1"] == pytest.approx(4 / 7)
    assert metrics["macro_f1"] == pytest.approx((1 + 0) / 2)
    assert metrics["exact_match"] == 1 / 4
    assert metrics["parsed"] == 3 / 4


def test_reward():
    assert TASK.reward(question("grasper", "hook"), "hook") == pytest.approx(2 / 3)
    assert TASK.reward(question(), "none") == 1.0
    assert TASK.reward(question(), "hook") == 0.0
    assert TASK.reward(question(), "???") == 0.0
