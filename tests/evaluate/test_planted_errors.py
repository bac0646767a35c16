"""What a metric does with answers whose errors are known: all 19 tasks, expected values by hand.

A tenth of the true answers is replaced, and what the headline metric then has to be is worked out
here from counts, without the metric's code.
"""

import dataclasses

import numpy as np
import pytest

from surgzoo.db.conversation_store import ConversationStore
from surgzoo.evaluate import baselines, check
from surgzoo.evaluate.intervals import stacked
from surgzoo.metrics import bootstrap
from surgzoo.tasks import tasks
from surgzoo.tasks.base import Scored
from surgzoo.tasks.captioning import named
from surgzoo.tasks.pixels import PixelTask

pytestmark = pytest.mark.slow

NAMES = tasks.names()
PIXELS = [name for name in NAMES if issubclass(tasks.get(name), PixelTask)]
MOST = 150  # conversations a task; of pixels 30, as each costs a decoding


@pytest.fixture(scope="module")
def asked(whole_database):
    """Task -> (task, conversations spread over the database, judge of pixels)."""
    out = {}
    for name in NAMES:
        store = ConversationStore.open(whole_database, name)
        most = 30 if name in PIXELS else MOST
        items = [store[i] for i in range(0, len(store), max(1, len(store) // most))]
        out[name] = tasks.get(name)(), items, check.judge_of(store, whole_database)
    return out


def truth(task, items, judge):
    return check.paired(task, items, [item.answer for item in items], judge)


def planted(task, items, judge):
    """The truth with every tenth answer wrong, and what the headline must then be."""
    said = truth(task, items, judge)
    wrong = range(0, len(items), 10)
    share = len(wrong) / len(items)
    form = task.answer_form
    if form == "pixels":
        bad = [None] * len(wrong)  # an image that is missing
        best = task.metrics(said)[task.headline]
        expected = (1 - share) * best + share * task.worst[task.headline]
    elif form in ("label", "seconds", "vqa"):
        other = {"label": "something else", "seconds": 1e6, "vqa": {"text": "no", "box": None}}
        bad = [other[form]] * len(wrong)
        same = sum(form == "vqa" and items[n].answer["text"].lower() == "no" for n in wrong)
        expected = 1 - (len(wrong) - same) / len(items)
    elif form == "criteria":
        bad = [[[name, not met] for name, met in items[n].answer] for n in wrong]
        names = sorted({name for item in items for name, _ in item.answer})
        of = {
            name: [n for n, item in enumerate(items) if name in dict(item.answer)] for name in names
        }
        expected = np.mean([1 - sum(n in wrong for n in of[k]) / len(of[k]) for k in names])
    elif form == "boxes":
        bad = [[]] * len(wrong)  # "none there"
        one = [n for n, item in enumerate(items) if len(item.options) == 1]
        boxes = sum(len(items[n].answer) for n in one)
        expected = 1 - sum(len(items[n].answer) for n in one if n in wrong) / boxes
    else:  # labels, triplets, captions: nothing is named where something is
        bad = ["Nothing."] * len(wrong) if form == "text" else [[]] * len(wrong)
        facts = (
            [set(named(item.answer, item.options)) for item in items]  # each once
            if form == "text"
            else [item.answer for item in items]
        )
        total = sum(map(len, facts))
        gone = sum(len(facts[n]) for n in wrong)
        expected = 2 * (total - gone) / (2 * (total - gone) + gone)
    for n, answer in zip(wrong, bad, strict=True):
        said[n] = Scored(items[n], answer)
    return said, expected


@pytest.mark.parametrize("name", NAMES)
def test_truth_is_the_ceiling_and_a_tenth_of_errors_moves_it_as_predicted(name, asked):
    task, items, judge = asked[name]
    best = task.metrics(truth(task, items, judge))[task.headline]
    assert best == pytest.approx(100 if name == "desmoking" else 1)
    said, expected = planted(task, items, judge)
    assert 0.5 * best < expected < 0.99 * best  # the prediction means something
    assert task.metrics(said)[task.headline] == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("name", NAMES)
def test_the_tally_is_the_headline_and_adds_up(name, asked):
    task, items, judge = asked[name]
    rng = np.random.default_rng(0)
    answers = [items[i].answer for i in rng.permutation(len(items))]
    said = check.paired(task, items, answers, judge)
    said[1::7] = [Scored(item.conversation, None) for item in said[1::7]]  # unread
    parts = [said[:5], said[5:20], said[20:]]
    tallies = stacked({str(n): task.tally(part) for n, part in enumerate(parts)})
    headline = task.metrics(said)[task.headline]
    assert bootstrap.value(tallies.sum(axis=0)) == pytest.approx(headline)
    whole = stacked({"": task.tally(said)})
    np.testing.assert_allclose(tallies.sum(axis=0), whole[0])


@pytest.mark.parametrize("name", NAMES)
def test_an_unread_answer_is_wrong(name, asked):
    task, items, _ = asked[name]
    nothing = [Scored(item, None) for item in items]
    worst = task.worst[task.headline] if name in PIXELS else 0.0
    assert task.metrics(nothing)[task.headline] == pytest.approx(worst)


# ---- trivial baselines, from counts --------------------------------------------------------------


def share(values, wanted):
    return sum(value == wanted for value in values) / len(values)


def fitted(name, asked, rule):
    """(task, test conversations, what the baseline says, fitted on the other half)."""
    task, items, _ = asked[name]
    half = len(items) // 2
    fit = next(b.fit for b in baselines.BASELINES[task.answer_form] if b.name == rule)
    return task, items[half:], fit([item.answer for item in items[:half]])


@pytest.mark.parametrize("name", [n for n in NAMES if tasks.get(n).answer_form == "label"])
def test_majority_scores_the_share_of_its_label(name, asked):
    task, items, said = fitted(name, asked, "majority")
    found = task.metrics([Scored(item, said) for item in items])["accuracy"]
    assert found == pytest.approx(share([item.answer for item in items], said))


def test_majority_of_criteria_scores_the_mean_share(asked):
    task, items, said = fitted("safety_assessment", asked, "majority")
    found = task.metrics([Scored(item, said) for item in items])["criterion_accuracy"]
    shares = [share([dict(item.answer)[name] for item in items], met) for name, met in said]
    assert found == pytest.approx(np.mean(shares))


def test_median_scores_the_durations_near_it(asked):
    task, items, said = fitted("action_remaining", asked, "median")
    found = task.metrics([Scored(item, said) for item in items])["within_20_percent"]
    near = [abs(said - item.answer) <= max(0.5, 0.2 * item.answer) for item in items]
    assert found == pytest.approx(np.mean(near))


def test_the_frequent_set_scores_its_overlap(asked):
    for name in ("instrument_recognition", "triplet_recognition"):
        task, items, said = fitted(name, asked, "frequent set")
        said = [tuple(x) if isinstance(x, list) else x for x in said]
        both = size = 0
        for item in items:
            wanted = [tuple(x) if isinstance(x, list) else x for x in item.answer]
            both += len(set(wanted) & set(said))
            size += len(set(wanted)) + len(set(said))
        found = task.metrics([Scored(item, said) for item in items])[task.headline]
        assert found == pytest.approx(2 * both / size)


def test_the_mean_box_scores_its_overlap(asked):
    task, items, _ = asked["instrument_localization"]
    items = [item for item in items if len(item.options) == 1]
    name = items[0].options[0]
    items = [item for item in items if item.options == (name,) and len(item.answer) == 1]
    ((_, box),) = baselines.mean_box([item.answer for item in items])
    overlaps = []
    for item in items:
        ((_, true),) = item.answer
        sides = [max(0.0, min(box[k + 2], true[k + 2]) - max(box[k], true[k])) for k in (0, 1)]
        common = sides[0] * sides[1]
        areas = [(b[2] - b[0]) * (b[3] - b[1]) for b in (box, true)]
        overlaps.append(common / (sum(areas) - common))
    said = [Scored(item, [[name, box]]) for item in items]
    assert task.metrics(said)["miou"] == pytest.approx(np.mean(overlaps))
    moved = dataclasses.replace(items[0], answer=[[name, [0, 0, 0, 0]]])
    assert task.metrics([Scored(moved, [[name, box]])])["miou"] == 0
