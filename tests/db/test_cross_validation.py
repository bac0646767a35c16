"""Folds over operations: nothing shared, labels spread, the same in any order."""

import random

import numpy as np
import pytest

from surgzoo.db import identity, splits


def many(seed=0):
    """Videos of three sources, of which two show the same operations, with rare labels."""
    rng = np.random.default_rng(seed)
    names = [("cholec80", f"video{i:02d}") for i in range(1, 61)]
    names += [("cholect50", f"VID{i:02d}") for i in range(1, 40)]
    names += [("heico", f"v{i}") for i in range(30)]
    return {name: tuple(int(n) for n in rng.poisson([20, 5, 0.3])) for name in names}


def test_operations_stay_together_and_all_are_there():
    videos = many()
    folds = splits.cross_validation(videos)
    assert len(folds) == 10
    assert sorted(name for fold in folds for name in fold) == sorted(videos)
    seen = [{identity.canonical(*name) for name in fold} for fold in folds]
    assert sum(map(len, seen)) == len(set().union(*seen)) == 90
    # One operation of two sources, to see that the test above can fail.
    fold = next(fold for fold in folds if ("cholec80", "video07") in fold)
    assert ("cholect50", "VID07") in fold


def test_labels_are_spread():
    videos = many()

    def loads(folds):
        return np.array([np.sum([videos[name] for name in fold], axis=0) for fold in folds])

    found = loads(splits.cross_validation(videos))
    names = sorted(videos)
    random.Random(0).shuffle(names)
    by_chance = loads([names[i::10] for i in range(10)])
    assert (found.std(axis=0) < by_chance.std(axis=0)).all()
    assert found[:, 2].min() >= 1  # the rare label is in every fold
    sizes = [len({identity.canonical(*n) for n in f}) for f in splits.cross_validation(videos)]
    assert max(sizes) - min(sizes) <= 3


def test_order_does_not_matter_and_the_seed_does():
    videos = many()
    turned = dict(reversed(videos.items()))
    assert splits.cross_validation(videos) == splits.cross_validation(turned)
    plain = dict.fromkeys(videos, ())
    one, other = (splits.cross_validation(plain, seed=seed) for seed in (0, 1))
    assert one != other
    sizes = [len({identity.canonical(*name) for name in fold}) for fold in one]
    assert sizes == [9] * 10


def test_the_parts_of_a_fold():
    folds = splits.cross_validation(many(), 3)
    for number in range(3):
        parts = splits.fold_splits(folds, number)
        assert parts["test"] == folds[number]
        assert sorted(sum(parts.values(), ())) == sorted(many())
    assert splits.fold_splits(folds, 2)["val"] == folds[0]
    with pytest.raises(IndexError, match="fold 3 of 3"):
        splits.fold_splits(folds, 3)
    with pytest.raises(ValueError, match="nothing to train on"):
        splits.fold_splits(folds[:2], 0)


def test_errors():
    with pytest.raises(ValueError, match="2 operations cannot be cut into 10 folds"):
        splits.cross_validation({("heico", "a"): (), ("heico", "b"): ()})
    with pytest.raises(ValueError, match="some videos count 1 labels, others 2"):
        splits.cross_validation({("heico", "a"): (1,), ("heico", "b"): (1, 2)}, 2)
    with pytest.raises(ValueError, match="holds no number"):
        splits.cross_validation({("cholec80", "x"): (), ("cholec80", "1"): ()}, 2)
