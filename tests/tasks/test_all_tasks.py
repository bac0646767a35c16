"""What holds for every task."""

import dataclasses
import itertools
import json
import random
from math import isnan, nan

import pytest
from hypothesis import given, settings
from task_records import NAMES, dataset, encode, perfect, random_annotations, task, texts

from surgzoo.db import schema
from surgzoo.db.schema import FrameAnnotations
from surgzoo.tasks import tasks
from surgzoo.tasks.base import Scored

HEADLINES = {
    "instrument_recognition": "f1",
    "instrument_localization": "miou",
    "phase_recognition": "accuracy",
    "triplet_recognition": "ivt_f1",
    "tissue_recognition": "f1",
    "tissue_localization": "miou",
    "step_recognition": "accuracy",
    "action_recognition": "accuracy",
    "safety_assessment": "criterion_accuracy",
    "visual_question_answering": "accuracy",
}
# Of answers in one word the truth itself stays below the top, and there is no BLEU-2.
NEARLY = {"meteor": (0.5, 0.9), "cider_d": (2.5, 5)} | {f"bleu{k}": (nan, nan) for k in (2, 3, 4)}
UNTEMPLATED = ("visual_question_answering",)  # the question is the source's own
DATA = {name: dataset(name) for name in NAMES}
LISTED = {name: dataset(name, frames=1, protocol="choice")[:2] for name in NAMES}


def test_registered_under_their_own_names():
    assert set(HEADLINES) == set(NAMES)
    for name in NAMES:
        assert name in tasks
        assert task(name).name == name
        assert task(name).headline == HEADLINES[name]


def test_official_numbers_and_levels():
    """Annotation guideline of SurgΣ-DB and Surg-R1's hierarchy."""
    assert {name: task(name).number for name in NAMES if task(name).number} == {
        "action_recognition": 8,
        "triplet_recognition": 9,
        "safety_assessment": 11,
    }
    assert {name: task(name).reasoning for name in NAMES} == {
        "instrument_recognition": 1,
        "instrument_localization": 1,
        "tissue_recognition": 1,
        "tissue_localization": 1,
        "action_recognition": 2,
        "triplet_recognition": 2,
        "phase_recognition": 3,
        "step_recognition": 3,
        "safety_assessment": 3,
        "visual_question_answering": 0,
    }


@pytest.mark.parametrize("name", NAMES)
def test_truth_as_prediction_scores_one(name):
    metrics = task(name).metrics(perfect(DATA[name]))
    assert next(iter(metrics)) == HEADLINES[name]
    for key, value in metrics.items():
        low, high = NEARLY.get(key, (0.0, 0.0) if key.endswith("_std") else (1.0, 1.0))
        assert low - 1e-9 <= value <= high + 1e-9 or (isnan(low) and isnan(value)), key


@pytest.mark.parametrize("name", NAMES)
def test_target_text_as_prediction_scores_nearly_one(name):
    """Nearly, because text boxes are rounded to thousandths."""
    scored = [Scored(c, task(name).parse(c.target, c).answer) for c in DATA[name]]
    metrics = task(name).metrics(scored)
    assert metrics["parsed"] == 1.0
    assert metrics[HEADLINES[name]] == pytest.approx(1.0, abs=0.02)
    for conversation in DATA[name]:
        assert task(name).reward(conversation, conversation.target) == pytest.approx(1.0, abs=0.05)


@pytest.mark.parametrize("name", NAMES)
def test_shuffled_truth_scores_clearly_lower(name):
    answers = [c.answer for c in DATA[name]]
    random.Random(1).shuffle(answers)
    scored = [Scored(c, answer) for c, answer in zip(DATA[name], answers, strict=True)]
    assert task(name).metrics(scored)[HEADLINES[name]] < 0.6


@pytest.mark.parametrize("name", NAMES)
def test_unparsed_answers_are_counted_as_wrong(name):
    data = DATA[name]
    half = [Scored(c, c.answer if i % 2 else None) for i, c in enumerate(data)]
    metrics = task(name).metrics(half)
    assert metrics["parsed"] == pytest.approx(0.5, abs=0.01)
    assert metrics[HEADLINES[name]] < 0.8
    nothing = task(name).metrics([Scored(c, None) for c in data])
    assert nothing["parsed"] == 0.0
    assert nothing[HEADLINES[name]] == 0.0


@pytest.mark.parametrize("name", NAMES)
def test_not_annotated_makes_no_question(name):
    assert encode(name, FrameAnnotations()) == []


@pytest.mark.parametrize("name", [n for n in NAMES if task(n).level == "image"])
def test_a_derived_label_says_so(name):
    """What a frame says of the field that the task reads, and of no other."""
    known = random_annotations(random.Random(0))
    for how in ("by a model", None):
        derived = {task(name).reads: how} if how else {"another": "x", "": "y"}
        items = encode(name, dataclasses.replace(known, derived=derived))
        assert items and {c.derived for c in items} == {how}


@pytest.mark.parametrize("name", NAMES)
def test_no_answers_is_an_error(name):
    with pytest.raises(ValueError, match="no scored answers"):
        task(name).metrics([])


@pytest.mark.parametrize("name", NAMES)
def test_wording_depends_on_the_seed_and_nothing_else_does(name):
    rng = random.Random(0)
    questions = set()
    for index in range(30):
        annotations = random_annotations(rng)
        a, b = (encode(name, annotations, index, seed=seed) for seed in (0, 1))
        assert encode(name, annotations, index, seed=0) == a
        assert [(c.id, c.answer, c.options, c.target) for c in a] == [
            (c.id, c.answer, c.options, c.target) for c in b
        ]
        questions.update(c.prompt for c in a + b)
    assert len(questions) > 8 or name in UNTEMPLATED


@pytest.mark.parametrize("name", NAMES)
def test_conversations_survive_json(name):
    """What is written to disk and read again is scored the same."""
    again = [schema.from_json(schema.Conversation, schema.to_json(c)) for c in DATA[name]]
    assert again == DATA[name]
    metrics = task(name).metrics(perfect(again))
    json.dumps({key: metrics[key] for key in metrics.keys() - NEARLY.keys()}, allow_nan=False)


@pytest.mark.parametrize("name", NAMES)
def test_metrics_are_defined_on_one_video_and_one_frame(name):
    metrics = task(name).metrics(perfect(DATA[name][:1]))
    assert metrics["parsed"] == 1.0
    whole = task(name).metrics(perfect(DATA[name]))
    overall = [{key for key in found if "/" not in key} for found in (metrics, whole)]
    assert overall[0] == overall[1]


@pytest.mark.parametrize("name", NAMES)
@settings(deadline=None, max_examples=150)
@given(text=texts)
def test_parse_never_raises_and_says_why(name, text):
    for conversation in (*DATA[name][:3], *LISTED[name]):
        answer, error = task(name).parse(text, conversation)
        assert (answer is None) == (error is not None and error != "")
        assert 0.0 <= task(name).reward(conversation, text) <= 1.0
        if answer is not None:
            json.dumps(answer, allow_nan=False)
            task(name).metrics([Scored(conversation, answer)])


@pytest.mark.parametrize("name", NAMES)
def test_long_nonsense_is_read_in_time(name):
    for conversation, text in itertools.product(
        (DATA[name][0], LISTED[name][0]),
        (
            "A " * 9000,
            "answer is A and " * 3000,
            "<think>" * 3000,
            "hook (1,2),( " * 3000,
            "word " * 8000,
            "(" * 9000,
            "[1 " * 5000,
            "1," * 9000,
            "criterion 1 " * 3000,
        ),
    ):
        task(name).parse(text, conversation)


@pytest.mark.parametrize("name", NAMES)
def test_thinking_is_not_the_answer(name):
    conversation = DATA[name][0]
    thought = "<think>none. preparation? scissors cut liver (1,1),(2,2)</think>"
    expected = task(name).parse(conversation.target, conversation)
    for text in (
        f"{thought}<answer>{conversation.target}</answer>",
        f"{thought}\n{conversation.target}<|im_end|>",
        f"<answer>gut</answer> no: <answer> {conversation.target} </answer>",
    ):
        assert task(name).parse(text, conversation) == expected
    assert (
        task(name).parse("<think>the hook", conversation).error == "thinks without ever answering"
    )
    assert task(name).parse(" ", conversation).error == "is empty"
