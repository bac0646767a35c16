"""Answers with scores: the metrics that a text alone cannot give."""

import dataclasses

import ivtmetrics
import numpy as np
import pytest
from sklearn.metrics import average_precision_score, top_k_accuracy_score
from task_records import dataset, task

from surgzoo.tasks.base import Scored

SCORED = {
    "instrument_recognition": {"ap"},
    "tissue_recognition": {"ap"},
    "safety_assessment": {"ap"},
    "triplet_recognition": {
        *(f"{name}_ap_from_scores" for name in ("i", "v", "t", "iv", "it", "ivt")),
        *(f"{name}_global_ap_from_scores" for name in ("i", "v", "t", "iv", "it", "ivt")),
        *(f"ivt_top{k}" for k in (5, 10, 15, 20)),
        "ivt_ap_from_scores_absent_as_zero",
    },
}


def random_scores(data, seed=0):
    rng = np.random.default_rng(seed)
    return [
        Scored(
            item, item.answer, dict(zip(item.options, rng.random(len(item.options)), strict=True))
        )
        for item in data
    ]


@pytest.mark.parametrize("name", SCORED)
def test_only_where_all_answers_have_scores(name):
    scored = random_scores(dataset(name))
    plain = task(name).metrics([item._replace(scores=None) for item in scored])
    found = task(name).metrics(scored)
    added = {key for key in set(found) - set(plain) if "/" not in key}
    assert added == SCORED[name]
    assert {key: found[key] for key in plain} == plain  # nothing else changes its meaning
    one_without = [scored[0]._replace(scores=None), *scored[1:]]
    assert task(name).metrics(one_without).keys() == plain.keys()


@pytest.mark.parametrize("name", SCORED)
def test_true_labels_first_is_the_ceiling(name):
    def sure(item):
        if name == "safety_assessment":
            return {label: float(met) for label, met in item.answer}
        if name == "triplet_recognition":
            return {", ".join(parts): 1.0 for parts in item.answer if ", ".join(parts)}
        return {label: 1.0 for label in item.answer}

    found = task(name).metrics([Scored(c, c.answer, sure(c)) for c in dataset(name)])
    for key in SCORED[name] - {"ivt_ap_from_scores_absent_as_zero"}:
        assert found[key] == pytest.approx(1), key


def test_instruments_against_scikit_learn():
    scored = random_scores(dataset("instrument_recognition"))
    found = task("instrument_recognition").metrics(scored)
    values = []
    for label in scored[0].conversation.options:
        asked = [item for item in scored if label in item.conversation.options]
        truth = [label in item.conversation.answer for item in asked]
        if any(truth):
            oracle = average_precision_score(truth, [item.scores[label] for item in asked])
            assert found[f"ap/{label}"] == pytest.approx(oracle)
            values.append(oracle)
        else:
            assert f"ap/{label}" not in found
    others = [v for key, v in found.items() if key.startswith("ap/")]
    assert found["ap"] == pytest.approx(np.mean(others))
    assert set(np.round(values, 9)) <= set(np.round(others, 9))


def test_a_frame_of_a_source_without_the_label_is_no_negative():
    """Else a confident score there, or its lack, would move the average precision."""
    one = next(c for c in dataset("instrument_recognition") if c.answer)
    label = one.answer[0]
    rest = tuple(name for name in one.options if name != label)
    other = dataclasses.replace(one, id="other", options=rest, answer=[])
    scored = [Scored(one, one.answer, {label: 0.5}), Scored(other, [], {label: 0.9})]
    assert task("instrument_recognition").metrics(scored)[f"ap/{label}"] == 1


def test_a_label_that_is_not_scored_has_0():
    data = dataset("instrument_recognition")
    full = [
        Scored(c, c.answer, {name: 0.0 for name in c.options} | {c.options[0]: 0.5}) for c in data
    ]
    short = [Scored(c, c.answer, {c.options[0]: 0.5}) for c in data]
    rule = task("instrument_recognition")
    assert rule.metrics(full) == rule.metrics(short)


def test_criteria_against_scikit_learn():
    scored = random_scores(dataset("safety_assessment"))
    found = task("safety_assessment").metrics(scored)
    names = scored[0].conversation.options
    values = []
    for place, name in enumerate(names):
        truth = [item.conversation.answer[place][1] for item in scored]
        values.append(average_precision_score(truth, [item.scores[name] for item in scored]))
        assert found[f"ap/{name}"] == pytest.approx(values[-1])
    assert found["ap"] == pytest.approx(np.mean(values))


@pytest.mark.filterwarnings("ignore:No positive class")
def test_triplets_against_ivtmetrics():
    """Over the options of the question, whose order is that of ivtmetrics' table."""
    scored = random_scores(dataset("triplet_recognition"))
    options = scored[0].conversation.options
    inside = [
        item
        for item in scored
        if all(", ".join(parts) in options for parts in item.conversation.answer)
    ]
    found = task("triplet_recognition").metrics(inside)
    truth = np.array(
        [[[*o.split(", ")] in item.conversation.answer for o in options] for item in inside], int
    )
    scores = np.array([[item.scores[o] for o in options] for item in inside])
    assert truth.any()
    values, tops = [], {}
    recognition = ivtmetrics.Recognition(num_class=100)
    for video in dict.fromkeys(item.conversation.video for item in inside):
        rows = [item.conversation.video == video for item in inside]
        values.append(
            [
                average_precision_score(t, s) if t.any() else np.nan
                for t, s in zip(truth[rows].T, scores[rows].T, strict=True)
            ]
        )
        recognition.update(truth[rows], scores[rows])
        recognition.video_end()
    table = np.array(values)
    seen = ~np.isnan(table).all(axis=0)
    assert found["ivt_ap_from_scores"] == pytest.approx(np.nanmean(table[:, seen], axis=0).mean())
    for k in (5, 10, 15, 20):
        tops[k] = recognition.topK(k)
        assert found[f"ivt_top{k}"] == pytest.approx(tops[k])
    assert found["ivt_ap_from_scores_absent_as_zero"] < found["ivt_ap_from_scores"]


def test_next_action_top_3_against_scikit_learn():
    from footage_records import encode, segment

    items = encode(
        "next_action",
        segments=[
            segment("action", name, 3 * n, 3 * n + 2)
            for n, name in enumerate(("dissection", "clipping", "cutting", "clipping", "packaging"))
        ],
    )
    scored = random_scores(items)
    rule = task("next_action")
    names = list(items[0].options)
    oracle = top_k_accuracy_score(
        [names.index(item.answer) for item in items],
        [[item.scores[name] for name in names] for item in scored],
        k=3,
        labels=range(len(names)),
    )
    assert rule.metrics(scored)["top3_accuracy"] == pytest.approx(oracle)
    assert "top3_accuracy" not in rule.metrics([item._replace(scores=None) for item in scored])
    equal = [item._replace(scores={}) for item in scored]  # the first three options
    expected = np.mean([item.answer in names[:3] for item in items])
    assert rule.metrics(equal)["top3_accuracy"] == pytest.approx(expected)
