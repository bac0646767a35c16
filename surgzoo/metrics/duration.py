"""Predicted durations in seconds: absolute error, and the share within a tolerance.

A prediction of None (an answer that could not be read) is outside every tolerance and has no error.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def errors(truth: Sequence[float], prediction: Sequence[float | None]) -> np.ndarray:
    """Absolute errors in seconds, NaN where nothing was read. ValueError if the lengths differ."""
    if len(truth) != len(prediction):
        raise ValueError(f"{len(truth)} true durations but {len(prediction)} predictions")
    said = np.array([np.nan if value is None else value for value in prediction], float)
    return np.abs(said - np.asarray(truth, float))


def mean_error(found: np.ndarray) -> float:
    """Mean absolute error in seconds over the answers that were read; NaN when none was."""
    found = found[~np.isnan(found)]
    return float(found.mean()) if found.size else float("nan")


def within(found: np.ndarray, tolerance: float | Sequence[float]) -> float:
    """Share of all answers that are off by `tolerance` seconds (one, or one each) or less."""
    return float(np.mean(np.nan_to_num(found, nan=np.inf) <= np.asarray(tolerance) + 1e-9))
