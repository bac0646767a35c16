import math

import pytest
from hypothesis import given
from task_records import boxes as some_box
from task_records import encode, instrument, instruments, task

from surgzoo.db import boxes
from surgzoo.db.schema import Box, FrameAnnotations
from surgzoo.tasks.base import Scored

TASK = task("instrument_localization")
HOOK, LEFT, RIGHT = (0.643, 0.0, 0.92, 0.298), (0.1, 0.2, 0.3, 0.4), (0.5, 0.2, 0.7, 0.4)


def questions(*annotated):
    return encode(TASK.name, FrameAnnotations(instruments=annotated))


def test_one_question_a_class_and_one_for_all():
    grasper, hook, everything = questions(
        instrument("hook", HOOK), instrument("grasper", RIGHT), instrument("grasper", LEFT)
    )
    assert [c.id[-1] for c in (grasper, hook, everything)] == ["0", "1", "2"]
    assert grasper.options == ("grasper",)
    assert "grasper" in grasper.prompt
    assert grasper.target == "(100,200),(300,400); (500,200),(700,400)"
    assert grasper.answer == [["grasper", list(LEFT)], ["grasper", list(RIGHT)]]
    assert hook.target == "(643,0),(920,298)"
    assert len(everything.options) == 6
    assert everything.target == (
        "grasper (100,200),(300,400); grasper (500,200),(700,400); hook (643,0),(920,298)"
    )


def test_missing_boxes_make_no_incomplete_answers():
    assert questions(instrument("hook")) == []
    assert questions(instrument("hook", HOOK), instrument("hook")) == []
    (hook,) = questions(instrument("hook", HOOK), instrument("grasper"))
    assert hook.options == ("hook",)


def test_a_frame_without_instruments_has_the_answer_none():
    (everything,) = questions()
    assert (everything.answer, everything.target) == ([], "none")
    assert len(everything.options) == 6


def test_the_answer_keeps_the_annotation_and_the_text_its_thousandths():
    exact = (0.12345, 0.2, 0.3, 0.4)
    grasper, _ = questions(instrument("grasper", exact))
    assert grasper.answer == [["grasper", list(exact)]]
    assert grasper.target == "(123,200),(300,400)"


@given(instruments)
def test_render_and_parse_round_trip(annotated):
    """Exact on the thousandths that text can hold, in the same order, in both forms."""
    for conversation in questions(*annotated):
        for text in (conversation.target, TASK.render(conversation.answer)):
            answer, error = TASK.parse(text, conversation)
            assert error is None
            assert [name for name, _ in answer] == [name for name, _ in conversation.answer]
            for (_, got), (_, wanted) in zip(answer, conversation.answer, strict=True):
                assert boxes.to_thousand(Box(*got)) == boxes.to_thousand(Box(*wanted))


@given(some_box)
def test_float_and_list_forms_are_the_same_box(box):
    conversation, _ = questions(instrument("hook", box))
    integers = list(boxes.to_thousand(Box(*box)))
    expected = TASK.parse(conversation.target, conversation).answer
    for text in (
        str(integers),
        f"The hook is at {integers}.",
        "[" + ", ".join(f"{v / 1000:.3f}" for v in integers) + "]",
        f"({integers[2]},{integers[3]}),({integers[0]},{integers[1]})",
    ):
        (name, got), *rest = TASK.parse(text, conversation).answer
        assert (name, rest) == ("hook", [])
        assert got == pytest.approx(expected[0][1])


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("hook (1,2),(3,4); grasper (5,6),(7,8)", ["grasper", "hook"]),
        ("hook (1,2),(3,4), (5,6),(7,8)", ["hook", "hook"]),
        (
            "The Hook is at [1,2,3,4] and the two graspers at [5,6,7,8] and [1,2,3,9].",
            ["grasper", "grasper", "hook"],
        ),
        ('```json\n[{"bbox_2d": [1, 2, 3, 4], "label": "hook"}]\n```', ["hook"]),
        ("<|object_ref_start|>hook<|object_ref_end|><|box_start|>(1,2),(3,4)<|box_end|>", ["hook"]),
        ("hook (1,2),(3,4); trocar (5,6),(7,8)", ["hook", "trocar"]),
        ("hook (1,2),(3,4); grasper (5,6),(7", ["hook"]),  # cut off: not said
        ("No tools detected", []),
    ],
)
def test_all_form_is_tolerant(text, names):
    conversation = questions(instrument("hook", HOOK))[-1]
    answer, error = TASK.parse(text, conversation)
    assert error is None
    assert [name for name, _ in answer] == names


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("(1,2),(3,4)", ["hook"]),
        ("Bounding box coordinates: (1,2),(3,4); (5,6),(7,8)", ["hook", "hook"]),
        ("hook (1,2),(3,4); grasper (5,6),(7,8)", ["hook", "grasper"]),
        ("Coords: (1,2),(3,4)", ["hook"]),
        ("Sure! The tool tip lies around (1,2),(3,4)", ["hook"]),
        ("not present", []),
        ("There is no hook.", []),
    ],
)
def test_class_form_is_tolerant(text, names):
    conversation, _ = questions(instrument("hook", HOOK))
    answer, error = TASK.parse(text, conversation)
    assert error is None
    assert [name for name, _ in answer] == names


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("(1,2),(3,4)", "a box without an instrument: "),
        ("hook on the left", "gives no box: "),
        ("hook (9,1),(5,3)", "the corners of a box are swapped on one axis: "),
        ("hook (0,0),(854,1480)", "a box reaches outside the image: "),
        ("hook (1,1),(1,1)", "a box has no area: "),
    ],
)
def test_reasons(text, reason):
    conversation = questions(instrument("hook", HOOK))[-1]
    answer, error = TASK.parse(text, conversation)
    assert answer is None
    assert error.startswith(reason)


def test_golden_metrics():
    grasper, hook, everything = questions(instrument("hook", HOOK), instrument("grasper", LEFT))
    below = [0.1, 0.3, 0.3, 0.5]  # IoU 1/3 with LEFT
    scored = [
        Scored(grasper, [["grasper", below], ["grasper", list(RIGHT)]]),
        Scored(hook, [["hook", list(HOOK)]]),
        Scored(everything, None),
    ]
    metrics = TASK.metrics(scored)
    assert metrics["miou"] == pytest.approx((1 / 3 + 1) / 2)
    assert metrics["miou_strict"] == pytest.approx((1 / 3 + 1) / 3)
    assert metrics["ap50"] == pytest.approx((0 + 1) / 2)
    assert metrics["miou_all"] == metrics["miou_strict_all"] == metrics["ap50_all"] == 0.0
    assert metrics["parsed"] == pytest.approx(2 / 3)


def test_what_no_box_can_measure_is_nan():
    (empty,) = questions()
    metrics = TASK.metrics([Scored(empty, [])])
    assert math.isnan(metrics["miou"]) and math.isnan(metrics["miou_all"])
    assert metrics["miou_strict_all"] == 1.0


def test_reward_charges_false_positives():
    hook, everything = questions(instrument("hook", HOOK))
    assert TASK.reward(hook, "(643,0),(920,298)") == pytest.approx(1.0)
    assert TASK.reward(hook, "(643,0),(920,298); (1,1),(5,5)") == pytest.approx(0.5)
    assert TASK.reward(everything, "grasper (643,0),(920,298)") == 0.0
    assert TASK.reward(questions()[0], "none") == 1.0
    assert TASK.reward(questions()[0], "?") == 0.0
