"""Every registered task over a built database: read back, scored as truth and as shuffled truth.

Chance is computed here once more, from the counts of the answers and not by shuffling.
"""

import collections
import dataclasses
import itertools
import random

import numpy as np
import pytest

from surgzoo.db import schema
from surgzoo.db.conversation_store import ConversationStore
from surgzoo.evaluate import check
from surgzoo.evaluate.pixels import Judge
from surgzoo.tasks import tasks
from surgzoo.tasks.captioning import named
from surgzoo.tasks.pixels import PixelTask
from surgzoo.tasks.visual_question_answering import normal

pytestmark = pytest.mark.slow

NAMES = tasks.names()
BEST = {"desmoking": 100.0}  # dB; the headline of every other task is a fraction
PIXELS = (
    "instrument_segmentation",
    "tissue_segmentation",
    "depth_estimation",
    "desmoking",
    "next_frame",
    "video_generation",
)


@pytest.fixture(scope="module")
def checked(whole_database):
    return {item.task: item for item in check.check(whole_database, NAMES)}


@pytest.fixture(scope="module")
def asked(whole_database):
    return {name: list(ConversationStore.open(whole_database, name)) for name in NAMES}


# ---- parse back ----------------------------------------------------------------------------------


def same(a, b):
    """The tests' own comparison: equal, but that numbers of a box may be off by a thousandth."""
    if isinstance(a, dict):
        return set(a) == set(b) and all(same(a[key], b[key]) for key in a)
    if isinstance(a, (list, tuple)):
        return len(a) == len(b) and all(itertools.starmap(same, zip(a, b, strict=True)))
    if isinstance(a, float):
        return a == pytest.approx(b, abs=1.001e-3)
    return a == b and type(a) is type(b)


@pytest.mark.parametrize("name", NAMES)
def test_every_conversation_is_read_back(name, asked, checked):
    task = tasks.get(name)()
    assert len(asked[name]) >= 60
    for conversation in asked[name]:
        if isinstance(task, PixelTask):
            assert conversation.target == task.render(conversation.answer)
            continue
        parsed, error = task.parse(conversation.target, conversation)
        assert error is None, conversation.id
        assert same(parsed, conversation.answer), conversation.id
    assert checked[name].conversations == checked[name].read_back == len(asked[name])


def test_the_database_holds_every_way_to_put_a_question(asked):
    everything = list(itertools.chain.from_iterable(asked.values()))
    assert sum(bool(c.choices) for c in everything) > 100
    assert sum(len(c.turns) > 2 for c in everything) > 100
    assert sum(c.thinking is not None for c in everything) > 100


# ---- truth and shuffled truth --------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
def test_truth_scores_the_best_there_is(name, checked):
    found = checked[name]
    assert found.headline == tasks.get(name)().headline
    assert found.best == BEST.get(name, 1.0)
    assert found.truth == pytest.approx(found.best, rel=1e-9)


@pytest.mark.parametrize("name", NAMES)
def test_shuffled_truth_is_near_chance_and_far_from_truth(name, checked):
    found = checked[name]
    assert found.shuffled == pytest.approx(found.chance, abs=check.NEAR * found.best)
    # Depth comes nearest, as the maps of one camera are much alike after scale and shift.
    assert found.shuffled < 0.8 * found.truth
    assert found.problem is None


# ---- chance, from the counts of the answers ------------------------------------------------------


def agreement(values):
    """How often two answers agree that are drawn independently: the sum of squared shares."""
    counts = np.array(list(collections.Counter(values).values()))
    return float(((counts / counts.sum()) ** 2).sum())


def overlap(bags):
    """Micro F1 of pairs of bags: what two of them share on average, over their mean size."""
    counts = [collections.Counter(bag) for bag in bags]
    shared = 0.0
    for item in set().union(*counts):
        held = np.array([count[item] for count in counts])
        shared += np.minimum.outer(held, held).mean()
    return shared / np.mean([count.total() for count in counts])


def criteria(answers):
    votes = collections.defaultdict(list)
    for answer in answers:
        for name, met in answer:
            votes[name].append(met)
    return np.mean([agreement(met) for met in votes.values()])


def seconds(answers):
    truth, said = np.meshgrid(answers, answers)
    return (np.abs(truth - said) <= np.maximum(0.5, 0.2 * truth)).mean()


def box_iou(conversations):
    """Questions about one class: the mean over true boxes of the best IoU that any answer's boxes
    of that class have with it; an upper bound of the matched one, and equal for single boxes."""
    values = []
    for conversation in conversations:
        if len(conversation.options) != 1:
            continue
        for name, box in conversation.answer:
            values += [
                max((iou(box, b) for n, b in other.answer if n == name), default=0.0)
                for other in conversations
            ]
    return np.mean(values)


def iou(a, b):
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    if width <= 0 or height <= 0:
        return 0.0
    both = width * height
    areas = [(x2 - x1) * (y2 - y1) for x1, y1, x2, y2 in (a, b)]
    return both / (sum(areas) - both)


def expected(name, conversations):
    task = tasks.get(name)()
    answers = [conversation.answer for conversation in conversations]
    if task.answer_form == "label":
        return agreement(answers)
    if task.answer_form == "vqa":
        return agreement([normal(answer["text"]) for answer in answers])
    if task.answer_form == "labels":
        return overlap(answers)
    if task.answer_form == "triplets":
        return overlap([[tuple(item) for item in answer] for answer in answers])
    if task.answer_form == "text":
        return overlap([set(named(c.answer, c.options)) for c in conversations])
    if task.answer_form == "criteria":
        return criteria(answers)
    if task.answer_form == "seconds":
        return seconds(answers)
    return box_iou(conversations[:: max(1, len(conversations) // 400)])


@pytest.mark.parametrize("name", [name for name in NAMES if name not in PIXELS])
def test_chance_is_what_the_counts_of_the_answers_say(name, asked, checked):
    assert checked[name].chance == pytest.approx(expected(name, asked[name]), abs=0.03)


@pytest.mark.parametrize("name", PIXELS)
def test_pixels_are_compared_with_those_of_other_questions(name, asked, whole_database, checked):
    """All ordered pairs of eight conversations, in place of counts."""
    task = tasks.get(name)()
    judge = check.judge_of(ConversationStore.open(whole_database, name), whole_database)
    some = random.Random(2).sample(asked[name], 8)
    pairs = list(itertools.product(some, some))
    found = task.metrics(
        check.paired(task, [a for a, _ in pairs], [b.answer for _, b in pairs], judge)
    )
    # An eighth of these pairs are a conversation with itself: the truth.
    others = (8 * found[task.headline] - checked[name].best) / 7
    assert checked[name].shuffled == pytest.approx(others, abs=0.12 * checked[name].best)


# ---- what is not sound is said -------------------------------------------------------------------


def test_a_damaged_text_is_found(whole_database):
    store = ConversationStore.open(whole_database, "phase_recognition")
    task, items = tasks.get("phase_recognition")(), list(store)
    turns = (*items[3].turns[:-1], dataclasses.replace(items[3].turns[-1], text="hilar clamping"))
    items[3] = dataclasses.replace(items[3], turns=turns)
    found = check.check_task(task, items, Judge({}, None))
    assert found.read_back == len(items) - 1
    assert found.unread[0][0] == items[3].id and "not read back" in found.problem


def test_answers_that_are_all_alike_are_found(whole_database):
    items = list(ConversationStore.open(whole_database, "phase_recognition"))
    alike = [dataclasses.replace(items[0], id=c.id) for c in items]
    found = check.check_task(tasks.get("phase_recognition")(), alike, Judge({}, None))
    assert found.truth == found.shuffled == 1.0
    assert "almost like the truth" in found.problem


def test_verdicts():
    good = check.Checked("t", "accuracy", 90, 90, 90, 1.0, 1.0, 0.3, 0.31)
    assert good.problem is None
    assert "0.9000 and not 1" in dataclasses.replace(good, truth=0.9).problem
    assert "not near chance" in dataclasses.replace(good, shuffled=0.5).problem
    few = dataclasses.replace(good, scored=2, shuffled=1.0)  # a deal of two changes little
    assert few.problem is None and "0.9000" in dataclasses.replace(few, truth=0.9).problem
    assert check.table([few]).endswith("read back; too few to shuffle")
    lines = check.table([good, dataclasses.replace(good, task="longer", truth=0.5)]).splitlines()
    assert lines[1].endswith("sound") and lines[2].startswith("longer") and "0.5000" in lines[2]


def test_nothing_to_check_is_an_error():
    with pytest.raises(ValueError, match="no conversation to check"):
        check.check_task(tasks.get("phase_recognition")(), [], Judge({}, None))


def test_answers_that_no_metric_counts_are_not_called_sound(asked):
    items = [item for item in asked["instrument_localization"] if len(item.options) > 1][:3]
    none = [
        dataclasses.replace(
            item, answer=[], thinking=None, turns=(item.turns[0], schema.Turn("assistant", "none"))
        )
        for item in items
    ]
    found = check.check_task(tasks.get("instrument_localization")(), none, None)
    assert found.read_back == 3 and "nothing to score" in found.problem
