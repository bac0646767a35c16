"""A set of labels a frame: micro and macro precision, recall and F1, and exact match.

A prediction is a set of hashable labels, or None where the answer could not be read. Such an answer
is scored as one wrong label and nothing else: every true label is missed, and one false positive of
no class is added. A model that talks nonsense on empty frames is therefore not scored as silent.
A predicted label outside the vocabulary is a false positive too.

0 / 0: where nothing was to be found and nothing was predicted the value is 1, elsewhere it is 0.
"""

from __future__ import annotations

import collections
from collections.abc import Collection, Hashable, Sequence
from typing import NamedTuple

import numpy as np

UNPARSED = "<unparsed>"  # the wrong label that an unread answer stands for


class Counts(NamedTuple):
    """True positives, false positives and false negatives of each label."""

    tp: collections.Counter
    fp: collections.Counter
    fn: collections.Counter

    @property
    def present(self) -> list[Hashable]:
        """Labels that are in the truth at least once."""
        return sorted(set(self.tp) | set(self.fn), key=repr)


class Rates(NamedTuple):
    """Fractions in [0, 1]."""

    precision: float
    recall: float
    f1: float


def counts(
    truth: Sequence[Collection[Hashable]], prediction: Sequence[Collection[Hashable] | None]
) -> Counts:
    """Counts over frames; a label counts once a frame. Raises ValueError if the lengths differ."""
    if len(truth) != len(prediction):
        raise ValueError(f"{len(truth)} true sets but {len(prediction)} predictions")
    tp, fp, fn = [], [], []
    for wanted, given in zip(truth, prediction, strict=True):
        wanted, given = set(wanted), {UNPARSED} if given is None else set(given)
        tp += wanted & given
        fp += given - wanted
        fn += wanted - given
    return Counts(*map(collections.Counter, (tp, fp, fn)))  # counted at once: C, not Python


def rates(tp: int, fp: int, fn: int) -> Rates:
    """Precision, recall and F1 of three counts; 1 when all are 0."""
    if tp + fp + fn == 0:
        return Rates(1.0, 1.0, 1.0)
    return Rates(tp / max(tp + fp, 1), tp / max(tp + fn, 1), 2 * tp / (2 * tp + fp + fn))


def micro(counted: Counts) -> Rates:
    """Every label instance counts the same."""
    return rates(counted.tp.total(), counted.fp.total(), counted.fn.total())


def f1_parts(counted: Counts) -> tuple[float, float]:
    """Numerator and denominator of the micro F1."""
    twice = 2 * counted.tp.total()
    return twice, twice + counted.fp.total() + counted.fn.total()


def per_class(counted: Counts) -> dict[Hashable, Rates]:
    """Rates of each label that is in the truth."""
    return {
        label: rates(counted.tp[label], counted.fp[label], counted.fn[label])
        for label in counted.present
    }


def macro(counted: Counts) -> Rates:
    """Mean over the labels that are in the truth.

    A label that is predicted but never true has no recall; its false positives count in `micro`
    alone. With no label in the truth at all, `micro`.
    """
    values = per_class(counted)
    if not values:
        return micro(counted)
    return Rates(*(float(value) for value in np.mean(list(values.values()), axis=0)))


def exact_match(
    truth: Sequence[Collection[Hashable]], prediction: Sequence[Collection[Hashable] | None]
) -> float:
    """Share of frames whose predicted set equals the true one. NaN when there is no frame."""
    if len(truth) != len(prediction):
        raise ValueError(f"{len(truth)} true sets but {len(prediction)} predictions")
    hits = [
        given is not None and set(wanted) == set(given)
        for wanted, given in zip(truth, prediction, strict=True)
    ]
    return float(np.mean(hits)) if hits else float("nan")


def set_f1(truth: Collection[Hashable], prediction: Collection[Hashable] | None) -> float:
    """F1 of one frame; 1 when both sets are empty, 0 for an unread answer."""
    return micro(counts([truth], [prediction])).f1
