"""Trivial baselines, fitted on the training split and scored like a model."""

import dataclasses
from typing import get_args

import pytest

from surgzoo.evaluate import baselines
from surgzoo.evaluate.score import score_predictions
from surgzoo.evaluate.truth import load_truth
from surgzoo.tasks.base import AnswerForm


def test_fits():
    assert baselines.majority(["a", "b", "b"]) == "b"
    assert baselines.frequent_set([["a", "b"], ["b", "a"], ["a"]]) == ["a", "b"]
    assert baselines.prior([["a", "b"], ["a"], ["c"], ["a"]]) == ["a"]
    assert baselines.prior([[["i", "v", "t"]], [["i", "v", "t"]], []]) == [["i", "v", "t"]]
    boxes = [[["a", [0, 0, 0.2, 0.2]]], [["a", [0.2, 0.2, 0.4, 0.4]], ["b", [0, 0, 1, 1]]]]
    ((name, box),) = baselines.mean_box(boxes)
    assert name == "a"
    assert box == pytest.approx([0.1, 0.1, 0.3, 0.3])
    assert baselines.mean_box([[], []]) == []
    criteria = [[["a", True], ["b", True]], [["a", True], ["b", False]], [["a", False]]]
    assert baselines.majority_criteria(criteria) == [["a", True], ["b", False]]
    answers = [{"text": "yes", "box": None}, {"text": "no", "box": [0, 0, 1, 1]}]
    assert baselines.majority_answer([*answers, answers[0]]) == {"text": "yes", "box": None}


def test_every_answer_form_may_have_baselines():
    assert set(baselines.BASELINES) == set(get_args(AnswerForm))


def test_scores(truth, data_dir):
    scores = baselines.score_baselines(truth, data_dir)
    assert {task: set(found) for task, found in scores.items()} == {
        "instrument_recognition": {"frequent set", "prior"},
        "instrument_localization": {"mean box"},
        "phase_recognition": {"majority"},
        "triplet_recognition": {"frequent set", "prior"},
    }
    for task, found in scores.items():
        for item in found.values():
            row = item.row(task)
            assert row.missing == 0
            assert row.unparsed == 0
            assert 0.2 < row.value < 1
    assert scores["phase_recognition"]["majority"].row("phase_recognition").value == 7 / 20


def test_strongest(truth, data_dir):
    found = baselines.score_baselines(truth, data_dir)["phase_recognition"]
    assert baselines.strongest(found, "phase_recognition") == "majority"
    assert baselines.strongest({}, "phase_recognition") is None


def test_training_split_without_a_kind_of_question(truth):
    alone = dataclasses.replace(
        truth, tasks={"phase_recognition": truth.tasks["phase_recognition"]}
    )
    nothing = dataclasses.replace(alone, conversations={})
    with pytest.warns(UserWarning, match=r"phase_recognition, toyscope.fps1 \(cholecystectomy\)"):
        out = baselines.baseline_predictions(nothing, alone)
    assert out == {"phase_recognition": {"majority": []}}


def test_fitted_on_the_training_split_also_when_all_videos_are_scored(truth, data_dir):
    """The truth of all videos is read once, and gives what reading the training split gives."""
    everything = load_truth(data_dir, truth.stores, truth.tasks, split="all")
    training = load_truth(data_dir, truth.stores, truth.tasks, split="train")
    wanted = baselines.baseline_predictions(training, everything)
    scores = baselines.score_baselines(everything, data_dir)
    for task, rules in wanted.items():
        for name, items in rules.items():
            alone = dataclasses.replace(everything, tasks={task: everything.tasks[task]})
            assert scores[task][name] == score_predictions(items, alone)
