"""How long answers took: median, 95th percentile and a histogram, task by task."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping

import numpy as np

from surgzoo.evaluate.grade import Graded
from surgzoo.evaluate.report.words import seconds

BINS = 14  # of equal width up to the 99th percentile; one more holds what is longer


@dataclasses.dataclass(frozen=True)
class Latency:
    """Seconds from question to answer. `counts[i]` answers took `edges[i]` to `edges[i + 1]`; the
    last bin has no upper edge."""

    task: str
    answers: int  # with a time
    mean: float
    median: float
    p95: float
    slowest: float
    edges: list[float]
    counts: list[int]

    @property
    def alt(self) -> str:
        """The histogram in words."""
        return (
            f"{self.answers:,} answers; half took at most {seconds(self.median)}, 95 % at most "
            f"{seconds(self.p95)}, the slowest {seconds(self.slowest)}."
        )


def latencies(graded: Mapping[str, Graded]) -> list[Latency]:
    """One entry a task whose predictions state a latency."""
    times: dict[str, list[float]] = {}
    for item in graded.values():
        if item.prediction.latency is not None:
            times.setdefault(item.conversation.task, []).append(item.prediction.latency)
    return [_latency(task, np.array(values)) for task, values in times.items()]


def _latency(task: str, values: np.ndarray) -> Latency:
    median, p95, p99 = (float(v) for v in np.quantile(values, (0.5, 0.95, 0.99)))
    width = _round_up(max(p99, 1e-3) / BINS)
    bins = max(1, math.ceil(p99 / width))
    places = np.minimum((values / width).astype(int), bins)
    counts = np.bincount(places, minlength=bins + 1).tolist()
    return Latency(
        task=task,
        answers=len(values),
        mean=float(values.mean()),
        median=median,
        p95=p95,
        slowest=float(values.max()),
        edges=[round(width * i, 6) for i in range(bins + 1)],
        counts=counts,
    )


def _round_up(value: float) -> float:
    """1, 2 or 5 times a power of ten, at least `value`."""
    power = 10.0 ** math.floor(math.log10(value))
    return next(m * power for m in (1, 2, 5, 10) if m * power >= value * (1 - 1e-9))
