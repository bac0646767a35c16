import re

import pytest
from hypothesis import given
from task_records import boxes as some_box
from task_records import encode, task, tissue, tissues

from surgzoo.db import boxes
from surgzoo.db.schema import Box, FrameAnnotations
from surgzoo.tasks.base import Scored

TASK = task("tissue_localization")
DUCT, LEFT, RIGHT = (0.282, 0.452, 0.447, 0.752), (0.1, 0.2, 0.3, 0.4), (0.5, 0.2, 0.7, 0.4)


def questions(*annotated, index=0):
    return encode(TASK.name, FrameAnnotations(tissues=annotated), index)


def test_one_question_a_class_and_one_for_all():
    liver, duct, everything = questions(
        tissue("cystic_duct", DUCT), tissue("liver", RIGHT), tissue("liver", LEFT)
    )
    assert liver.options == ("liver",)
    assert liver.target == "[0.100, 0.200, 0.300, 0.400]; [0.500, 0.200, 0.700, 0.400]"
    assert duct.target == "[0.282, 0.452, 0.447, 0.752]"
    assert len(everything.options) == 15
    assert everything.target == (
        "liver [0.100, 0.200, 0.300, 0.400]; liver [0.500, 0.200, 0.700, 0.400]; "
        "cystic duct [0.282, 0.452, 0.447, 0.752]"
    )
    assert questions()[0].target == "none"
    assert questions(tissue("liver")) == []


def test_a_class_with_one_box_may_be_asked_for_by_its_area():
    areas = set()
    for index in range(60):
        two, one, _ = questions(
            tissue("cystic_duct", DUCT), tissue("liver", LEFT), tissue("liver", RIGHT), index=index
        )
        areas |= set(re.findall(r"(?:top|middle|bottom)-\w+", one.prompt))
        assert not re.search(r"(?:top|middle|bottom)-\w+", two.prompt)
        assert "cystic duct" in one.prompt and "liver" in two.prompt
    assert areas == {"middle-center"}  # the middle of the duct is at 0.36, 0.60


@given(tissues)
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
def test_the_text_of_a_box_holds_three_decimals(box):
    text = boxes.to_float_text(Box(*box))
    assert re.fullmatch(r"\[(?:[01]\.\d{3}, ){3}[01]\.\d{3}\]", text)
    assert tuple(map(float, text[1:-1].split(", "))) == pytest.approx(box)


@pytest.mark.parametrize(
    "text",
    [
        "(282,452),(447,752)",
        "[0.282,0.452,0.447,0.752]",
        "The cystic duct is at [0.282, 0.452, 0.447, 0.752].",
        '{"tissue": "cystic duct", "bbox": [0.282, 0.452, 0.447, 0.752]}',
        '[{"organ": "cystic_duct", "bbox_2d": [282, 452, 447, 752]}]',
    ],
)
def test_tolerant(text):
    for conversation in questions(tissue("cystic_duct", DUCT))[:1]:
        answer, error = TASK.parse(text, conversation)
        assert error is None
        ((name, box),) = answer
        assert name == "cystic duct"
        assert box == pytest.approx(DUCT)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("[0.1, 0.2, 0.3, 0.4]", "a box without a tissue: "),
        ("on the left", "gives no box: "),
        ("liver [0.5, 0.2, 0.3, 0.4]", "the corners of a box are swapped on one axis: "),
    ],
)
def test_reasons(text, reason):
    answer, error = TASK.parse(text, questions(tissue("liver", LEFT))[-1])
    assert answer is None
    assert error.startswith(reason)


def test_nothing_there():
    liver, everything = questions(tissue("liver", LEFT))
    assert TASK.parse("The liver is not visible.", liver) == ([], None)
    assert TASK.parse("No organs in view", everything) == ([], None)


def test_golden_metrics():
    liver, duct, everything = questions(tissue("cystic_duct", DUCT), tissue("liver", LEFT))
    below = [0.1, 0.3, 0.3, 0.5]  # IoU 1/3 with LEFT
    metrics = TASK.metrics(
        [
            Scored(liver, [["liver", below]]),
            Scored(duct, None),
            Scored(everything, [["liver", list(LEFT)], ["gut", list(RIGHT)]]),
        ]
    )
    assert metrics["miou"] == pytest.approx((1 / 3 + 0) / 2)
    assert metrics["miou_strict"] == pytest.approx((1 / 3 + 0 + 0) / 3)
    assert metrics["miou_all"] == pytest.approx(1 / 2)
    assert metrics["miou_strict_all"] == pytest.approx(1 / 3)
    assert metrics["parsed"] == pytest.approx(2 / 3)
