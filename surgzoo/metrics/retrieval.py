"""Retrieval: at which place of the ranking the first right candidate of a query stands.

Recall at K is the share of queries with a right candidate among the first K (with one right
candidate a query it is top-K accuracy). A query may have several right ones, as pictures that are
described in the same words have; one of them is enough.

Candidates that score as high as the best right one are put before it: a model that finds all alike
gets the worst rank, not the best.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float, Int

from surgzoo.metrics.ranking import check


def first_right(
    scores: Float[np.ndarray, "Q C"], right: Bool[np.ndarray, "Q C"]
) -> Int[np.ndarray, " Q"]:
    """Rank of each query's best right candidate, from 1 on.

    Raises ValueError where shapes differ, a score is no number, or a query has no right candidate.
    """
    right, scores = check(right, scores)
    if not right.any(axis=1).all():
        query = int(np.argmin(right.any(axis=1)))
        raise ValueError(f"query {query} has no right candidate: its rank would mean nothing")
    best = np.where(right, scores, -np.inf).max(axis=1, keepdims=True)
    return 1 + ((scores >= best) & ~right).sum(axis=1)


def recall(ranks: Int[np.ndarray, " Q"], k: int) -> float:
    """Share of the queries with a rank of at most `k`. Raises ValueError for k < 1 or no query."""
    ranks = np.asarray(ranks)
    if k < 1 or not len(ranks):
        raise ValueError(f"recall at {k} of {len(ranks)} queries: both must be at least 1")
    return float((ranks <= k).mean())


def chance_recall(right: Int[np.ndarray, " Q"], candidates: int, k: int) -> float:
    """Recall at `k` that candidates in a random order have on average.

    `right` counts the right candidates of each query. Of C candidates with r right ones the first
    k hold none with the probability C-r over k / C over k. Raises ValueError for a count of none,
    or of more than there are.
    """
    right = np.asarray(right)
    if k < 1 or not len(right) or right.min() < 1 or right.max() > candidates:
        raise ValueError(f"counts of right candidates from 1 to {candidates} are needed, and k > 0")
    missed = np.ones(len(right))
    for place in range(min(k, candidates)):
        missed *= np.maximum(candidates - right - place, 0) / (candidates - place)
    return float(1 - missed.mean())


def chance_rank(right: Int[np.ndarray, " Q"], candidates: int) -> float:
    """Median over queries of the rank that a random order gives on average, (C + 1) / (r + 1)."""
    return float(np.median((candidates + 1) / (np.asarray(right) + 1)))
