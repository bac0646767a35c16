"""A mixture of three tasks on synthsurg's `small`, and how its batches are taken and compared."""

import itertools

import numpy as np

from surgzoo.data.config import Part
from surgzoo.data.mixture import Pools
from surgzoo.data.turns import unit_of

TASKS = ("phase_recognition", "instrument_recognition", "instrument_localization")


def parts(weights=(1.0, 1.0, 1.0)):
    return tuple(
        Part("synthsurg", task, weight, config="small")
        for task, weight in zip(TASKS, weights, strict=True)
    )


def draw(config, stores):
    """The stream of a language model's rows-to-be, and the conversations of each part."""
    pools = Pools(config, stores, unit_of(config))
    return pools.stream(), pools.sizes


def take(batches, count):
    return list(itertools.islice(batches, count))


def same(a, b):
    return a.keys() == b.keys() and all(np.array_equal(a[key], b[key]) for key in a)
