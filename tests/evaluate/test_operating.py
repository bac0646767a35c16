"""Each answer against all others: scikit-learn, thresholds from validation alone, what is shown."""

import json

import numpy as np
import pytest
import sklearn.metrics

from surgzoo.evaluate import operating
from surgzoo.evaluate.predictions import PredictionsError
from surgzoo.evaluate.report import report
from surgzoo.evaluate.score import score
from surgzoo.evaluate.scores import Scores
from surgzoo.evaluate.truth import load_truth

TASK = "phase_recognition"


def guesses(truth, seed):
    """Answers with scores that know something."""
    rng = np.random.default_rng(seed)
    lines = []
    for id, item in truth.conversations.items():
        if item.task != TASK:
            continue
        right = np.array([name == item.answer for name in item.options])
        given = np.round(rng.dirichlet(np.ones(len(right)) + 1.5 * right), 3)
        text = item.options[int(given.argmax())]
        lines.append(
            {"id": id, "text": text, "scores": dict(zip(item.options, given.tolist(), strict=True))}
        )
    return lines


@pytest.fixture(scope="module")
def validation(data_dir, tmp_path_factory):
    path = tmp_path_factory.mktemp("val") / "val.jsonl"
    found = load_truth(data_dir, ["toyscope.fps1"], [TASK], split="val")
    path.write_text("".join(json.dumps({"model": "toy", **g}) + "\n" for g in guesses(found, 1)))
    return path


def columns(truth, lines, name):
    """Of the lines whose question admits a name: whether it is true, said, and its score."""
    asked = [(truth.conversations[line["id"]], line) for line in lines]
    mine = [(item, line) for item, line in asked if name in item.options]
    return (
        np.array([item.answer == name for item, _ in mine]),
        np.array([line["text"] == name for _, line in mine]),
        np.array([line["scores"][name] for _, line in mine]),
    )


def test_areas_and_the_answer_as_operating_point(data_dir, truth, write):
    lines = guesses(truth, 0)
    scores = score(write(lines), data_dir)
    *rows, mean = scores.classes[TASK]
    names = {n for i in truth.conversations.values() if i.task == TASK for n in i.options}
    assert {row.name for row in rows} == names
    areas = []
    for row in rows:
        true, said, given = columns(truth, lines, row.name)
        assert (row.items, row.positives, row.threshold) == (len(true), true.sum(), None)
        assert row.said == "answer"
        if not true.any():
            assert row.auroc.value is row.sensitivity.value is None
            continue
        areas.append(sklearn.metrics.roc_auc_score(true, given))
        assert row.auroc.value == pytest.approx(areas[-1])
        recall = sklearn.metrics.recall_score(true, said)
        against = sklearn.metrics.recall_score(~true, ~said)
        assert row.sensitivity.value == pytest.approx(recall)
        assert row.specificity.value == pytest.approx(against)
        assert row.youden.value == pytest.approx(recall + against - 1)
        low, high = row.auroc.interval
        assert low <= areas[-1] <= high
    assert len({row.items for row in rows}) > 1 or len(areas) == len(rows)
    assert mean.name == operating.MACRO
    assert mean.auroc.value == pytest.approx(np.mean(areas))
    assert mean.auroc.interval[0] <= mean.auroc.value <= mean.auroc.interval[1]


def test_thresholds_come_from_validation(data_dir, truth, validation, write):
    lines = guesses(truth, 0)
    plain = score(write(lines), data_dir)
    scores = score(write(lines), data_dir, validation=validation)
    there = load_truth(data_dir, ["toyscope.fps1"], [TASK], split="val")
    chosen = guesses(there, 1)
    *rows, _ = scores.classes[TASK]
    judged = 0
    for row, before in zip(rows, plain.classes[TASK], strict=False):
        assert row.said == "threshold"
        assert row.auroc == before.auroc
        true, _, given = columns(there, chosen, row.name)
        if not true.any() or true.all():
            assert row.threshold is row.sensitivity.value is None
            continue
        false, hit, at = sklearn.metrics.roc_curve(true, given, drop_intermediate=False)
        assert row.threshold == at[np.isclose(hit - false, (hit - false).max())][0]
        true, _, given = columns(truth, lines, row.name)
        recall = sklearn.metrics.recall_score(true, given >= row.threshold)
        assert row.sensitivity.value == pytest.approx(recall)
        judged += 1
    assert judged > 2
    with pytest.raises(ValueError, match="to be judged on 'test', not on 'val'"):
        score(validation, data_dir, split="val", validation=validation)
    other = write([{**line, "model": "else"} for line in lines])
    with pytest.raises(PredictionsError, match="answers of toy; those that are scored are of else"):
        score(other, data_dir, validation=validation)
    bare = write([{"id": g["id"], "text": g["text"]} for g in chosen], "bare.jsonl")
    with pytest.raises(PredictionsError, match="no answers with scores on split 'val'"):
        score(write(lines), data_dir, validation=bare)


def test_only_where_every_answer_has_scores(data_dir, truth, perfect, write):
    lines = guesses(truth, 0)
    assert score(write(lines[:-1]), data_dir).classes
    assert score(write(lines[:-1]), data_dir, missing="wrong").classes == {}
    lines[3] = {key: lines[3][key] for key in ("id", "text")}
    assert score(write(lines), data_dir).classes == {}
    assert score(write(perfect), data_dir).classes == {}


def test_saved_shown_and_on_the_page(data_dir, truth, write, tmp_path):
    path = write(guesses(truth, 0))
    page = report(path, data_dir, tmp_path / "page", max_examples=2)
    saved = Scores.load(page.with_name("scores.json"))
    assert saved.classes == score(path, data_dir).classes
    mean = saved.classes[TASK][-1].auroc.value
    for text in (page.read_text(), page.with_name("summary.md").read_text()):
        assert "Each answer against all others, at the answer itself" in text
        assert f"{100 * mean:.1f}" in text
    table = (page.parent / "tables" / "classes.csv").read_text().splitlines()
    assert table[0].startswith("task,class,questions,positive,AUROC,AUROC low")
    assert f"{mean:.6g}" in table[-1]


def test_few_operations_get_no_interval(data_dir, validation):
    scores = score(validation, data_dir, split="val")
    assert scores.classes[TASK][-1].auroc.value > 0.5
    assert all(row.auroc.interval is None for row in scores.classes[TASK])
