import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import accuracy_score, precision_recall_fscore_support
from task_records import boxes as some_box
from task_records import dataset, encode, task

from surgzoo.datasets.surg_sigma_db.gates import Limits, round_trip
from surgzoo.db import boxes
from surgzoo.db.schema import Box, FrameAnnotations, Question
from surgzoo.evaluate.check import misread
from surgzoo.tasks import tasks
from surgzoo.tasks.base import Scored
from surgzoo.tasks.visual_question_answering import normal

TASK = task("visual_question_answering")
BOX = (0.1, 0.2, 0.3, 0.4)


def questions(*asked):
    return encode(TASK.name, FrameAnnotations(questions=asked))


def test_the_sources_own_questions_in_its_order():
    first, second = questions(
        Question("What is the state of the {hook}?", "Tool  manipulation"),
        Question("Where is it?", "left-top", Box(*BOX)),
    )
    assert first.prompt == "What is the state of the {hook}?"
    assert first.answer == {"text": "Tool manipulation", "box": None}
    assert first.target == "Tool manipulation"
    assert second.target == "left-top (100,200),(300,400)"
    assert [c.id.rsplit("/", 1)[1] for c in (first, second)] == ["0", "1"]
    assert questions() == []


def test_a_question_without_an_answer_is_not_asked():
    (kept,) = questions(Question("What?", " "), Question("Where?", "", Box(*BOX)))
    assert kept.prompt == "Where?" and kept.id.endswith("/1")
    assert TASK.parse(kept.target, kept) == (kept.answer, None)


def test_any_of_the_accepted_answers_is_right():
    plain, several = questions(
        Question("?", "No"), Question("?", "Yes", accepted=("It is  used", "A clip applier"))
    )
    assert "accepted" not in plain.answer
    assert several.answer["accepted"] == ["It is used", "A clip applier"]
    assert several.target == "Yes" and misread(TASK, several) is None
    texts = ["yes", "clip applier.", "it is used", "no", ""]
    assert [TASK.reward(several, text) for text in texts] == [1.0, 1.0, 1.0, 0.0, 0.0]
    assert TASK.reward(plain, "it is used") == 0.0
    scored = [Scored(several, TASK.parse(text, several).answer) for text in texts]
    assert TASK.metrics(scored)["accuracy"] == pytest.approx(3 / 5)
    assert TASK.tally(scored) == {"": (3, 5)}
    assert TASK.metrics(scored[:3])["macro_f1"] == 1.0
    assert round_trip(several, TASK, Limits()) is None


def test_registered_as_an_extension():
    assert tasks.entry(TASK.name).origin == "surgzoo's extensions"
    assert TASK.number is None


words = st.text("abcdefgh -", min_size=1).filter(str.strip)


@given(words, st.none() | some_box)
def test_render_and_parse_round_trip(text, box):
    (conversation,) = questions(Question("?", text, None if box is None else Box(*box)))
    answer, error = TASK.parse(conversation.target, conversation)
    assert error is None
    if box is None:
        assert answer == conversation.answer
    else:
        assert normal(answer["text"]) == normal(conversation.answer["text"])
        assert boxes.to_thousand(Box(*answer["box"])) == boxes.to_thousand(Box(*box))


@pytest.mark.parametrize(
    ("text", "expected", "box"),
    [
        ("Yes.", "yes", None),
        ("Answer: left-top", "left top", None),
        ("The answer is: left_top", "left top", None),
        ("The grasper", "grasper", None),
        ("grasper [0.1, 0.2, 0.3, 0.4]", "grasper", BOX),
        ("(100,200),(300,400) grasper", "", BOX),
        ("<think>hm</think><answer>grasper at (100,200),(300,400)</answer>", "grasper at", BOX),
        ("2", "2", None),
    ],
)
def test_tolerant(text, expected, box):
    (conversation,) = questions(Question("?", "grasper", Box(*BOX)))
    answer, error = TASK.parse(text, conversation)
    assert error is None
    assert normal(answer["text"]) == expected
    assert answer["box"] == (None if box is None else pytest.approx(box))


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("Left-Top", "left top", True),
        ("the grasper.", "Grasper", True),
        ("it's idle", "its idle", True),
        ("1.5", "1.5.", True),
        ("1.5", "15", False),
        ("grasper", "graspers", False),
        ("A", "a", True),
        ("A", "", False),
    ],
)
def test_normal(one, other, same):
    assert (normal(one) == normal(other)) == same


def test_reasons():
    (conversation,) = questions(Question("?", "grasper", Box(*BOX)))
    assert TASK.parse(" ", conversation) == (None, "is empty")
    answer, error = TASK.parse("grasper (9,1),(5,3)", conversation)
    assert answer is None
    assert error.startswith("the corners of a box are swapped")


def test_golden_metrics():
    yes, no, place = questions(
        Question("?", "Yes"), Question("?", "No"), Question("?", "left", Box(*BOX))
    )
    metrics = TASK.metrics(
        [
            Scored(yes, {"text": "yes.", "box": None}),
            Scored(no, {"text": "Yes", "box": None}),
            Scored(place, {"text": "left", "box": [0.1, 0.3, 0.3, 0.5]}),  # IoU 1/3
            Scored(place, None),
        ]
    )
    assert metrics["accuracy"] == pytest.approx(2 / 4)
    assert metrics["macro_recall"] == pytest.approx((1 + 0 + 1 / 2) / 3)
    assert metrics["macro_precision"] == pytest.approx((1 / 2 + 0 + 1) / 3)
    assert metrics["miou"] == pytest.approx((1 / 3 + 0) / 2)
    assert metrics["parsed"] == pytest.approx(3 / 4)
    assert metrics["bleu1"] == pytest.approx(2 / 3 * math.exp(1 - 4 / 3))  # yes, yes, left; none
    assert metrics["rouge_1"] == metrics["rouge_l"] == pytest.approx(2 / 4)
    assert metrics["meteor"] == pytest.approx(2 / 4 * 0.5)
    # No mIoU: 1.2 x 1.1 over 2 x 1.2 x 1.2 less that, and 0 for the missing box.
    assert metrics["miou_legacy_vqla"] == pytest.approx(1.32 / (2.88 - 1.32) / 2)
    alone = TASK.metrics([Scored(yes, None)])
    assert math.isnan(alone["miou"]) and math.isnan(alone["miou_legacy_vqla"])
    assert alone["bleu1"] == alone["meteor"] == 0 and math.isnan(alone["cider_d"])


def test_a_box_without_words_is_not_scored_as_text():
    word, box = questions(Question("?", "Yes"), Question("?", "", Box(*BOX)))
    both = [Scored(word, word.answer), Scored(box, {"text": "", "box": None})]
    assert TASK.metrics(both)["rouge_1"] == 1
    assert math.isnan(TASK.metrics(both[1:])["rouge_1"])


def test_metrics_are_those_of_scikit_learn():
    data = dataset(TASK.name)
    answers = [c.answer for c in data[2:] + data[:2]]
    metrics = TASK.metrics([Scored(c, a) for c, a in zip(data, answers, strict=True)])
    truth, said = [c.answer["text"] for c in data], [a["text"] for a in answers]
    rates = precision_recall_fscore_support(truth, said, labels=sorted(set(truth)), average="macro")
    assert metrics["accuracy"] == pytest.approx(accuracy_score(truth, said))
    found = [metrics[f"macro_{name}"] for name in ("precision", "recall", "f1")]
    assert found == pytest.approx(rates[:3])


def test_reward_halves_for_a_missed_box():
    plain, place = questions(Question("?", "Yes"), Question("?", "left", Box(*BOX)))
    assert TASK.reward(plain, "yes") == 1.0
    assert TASK.reward(plain, "no") == 0.0
    assert TASK.reward(place, "left") == 0.5
    assert TASK.reward(place, "left (100,200),(300,400)") == pytest.approx(1.0)
    assert TASK.reward(place, " ") == 0.0
