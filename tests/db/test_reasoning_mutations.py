"""Wrong facts planted in composed traces are caught, and traces without one pass."""

import collections
import random
import typing

import pytest
from reasoning_records import KINDS, SOURCES, plant, random_labels

from surgzoo.db.reasoning import Labels, compose, facts, verify
from surgzoo.db.reasoning.read import Kind
from surgzoo.db.store import Store

CAUGHT = 0.99
RICH = ("cholect50", "synthsurg")


def planted(labels, identity, rng, level=3):
    """The composed trace, and (kind, trace with one wrong fact) for every kind it states."""
    text = compose(labels, labels.video, level, identity)
    if text is None:
        return None, []
    mutants = ((kind, plant(kind, rng, text, labels)) for kind in KINDS)
    return text, [(kind, mutant) for kind, mutant in mutants if mutant not in (None, text)]


def catches(kind, mutant, labels):
    """Whether the check finds the wrong fact; a stumble over a word nearby does not count."""
    problems = verify(mutant, labels, labels.video)
    return any((problem.fact.kind == "unknown") == (kind == "unknown") for problem in problems)


def test_random_records_of_every_source():
    rng = random.Random(0)
    tried, caught, missed = collections.Counter(), collections.Counter(), []
    stated = set()
    for index in range(60):
        # Every source a few times, those that label everything more often.
        for source in SOURCES if index < 3 else RICH:
            for count in (1, 4):
                labels = random_labels(rng, source, count, silent=0.05)
                text, mutants = planted(labels, str(index), rng, rng.choice((2, 3, 3, 3)))
                if text is None:
                    continue
                assert verify(text, labels, labels.video) == [], text
                read = [text, *(mutant for _, mutant in mutants)]
                stated |= {fact.kind for said in read for fact in facts(said, source)}
                for kind, mutant in mutants:
                    tried[kind] += 1
                    found = catches(kind, mutant, labels)
                    caught[kind] += found
                    if not found:
                        missed.append((kind, mutant))
    assert sum(tried.values()) >= 1000
    assert min(tried[kind] for kind in KINDS) >= 40, tried
    assert stated == set(typing.get_args(Kind)), "a kind of fact that no trace here states"
    rates = {kind: caught[kind] / tried[kind] for kind in KINDS}
    assert min(rates.values()) >= CAUGHT, (rates, missed[:3])


@pytest.fixture(scope="module")
def footages(small_data):
    store = Store.open(small_data, "synthsurg", "small")
    return [store.footage(stored) for stored in store.videos]


def test_rendered_operations(footages):
    rng = random.Random(0)
    tried, caught = collections.Counter(), collections.Counter()
    for footage in footages:
        for index in range(0, len(footage.shots), 8):
            views = [
                Labels.of_frame(footage, index),
                Labels(footage.video, (footage.shots[index],)),
                Labels.of_clip(footage, min(index, len(footage.shots) - 6), 6),
            ]
            for number, labels in enumerate(views):
                text, mutants = planted(labels, f"{index}/{number}", rng)
                assert verify(text, labels, footage.video) == [], text
                for kind, mutant in mutants:
                    tried[kind] += 1
                    caught[kind] += catches(kind, mutant, labels)
    assert sum(tried.values()) >= 200
    assert min(tried[kind] for kind in KINDS) >= 5, tried
    assert all(caught[kind] >= CAUGHT * tried[kind] for kind in KINDS), (tried, caught)


def test_the_sources_own_captions_hold(footages):
    for footage in footages:
        for index, shot in list(enumerate(footage.shots))[::3]:
            labels = Labels.of_frame(footage, index)
            problems = verify(shot.annotations.caption, labels, footage.video)
            assert not problems, (shot.annotations.caption, problems)
