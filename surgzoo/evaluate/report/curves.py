"""Training curves from the loop's `metrics.jsonl`: lines {"step": .., "loss": .., ..}."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Sequence
from pathlib import Path

MAX_POINTS = 400  # a polyline needs no more than the width of the page
SMOOTHING = 0.02  # of all points, to either side: what the smooth line is the mean of

Point = tuple[float, float]


@dataclasses.dataclass(frozen=True)
class Curve:
    """One quantity over steps. `points` are in [0, 1]: x to the right, y down, as in SVG."""

    name: str
    points: list[Point]
    smooth: list[Point]
    first: float
    last: float
    lowest: float
    steps: int
    x_ticks: list[tuple[float, str]]
    y_ticks: list[tuple[float, str]]

    @staticmethod
    def line(points: Sequence[Point]) -> str:
        """Points of an SVG polyline in a view box of 1000 x 1000."""
        return " ".join(f"{1000 * x:.0f},{1000 * y:.0f}" for x, y in points)

    @property
    def alt(self) -> str:
        return (
            f"{self.name} over {self.steps:,} steps: from {self.first:.3g} to {self.last:.3g}, "
            f"lowest {self.lowest:.3g}."
        )


def curves(path: Path) -> list[Curve]:
    """A curve for every key that is "loss" or ends with it. [] when there is no file.

    Raises ValueError, naming file and line, for a line that is not JSON; a torn last one is left
    out.
    """
    if not path.exists():
        return []
    series: dict[str, list[Point]] = {}
    lines = path.read_text(encoding="utf-8").split("\n")
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            values = json.loads(line)
            step = values["step"]
        except (ValueError, KeyError, TypeError) as error:
            if number == len(lines):  # no line break behind it: cut off
                break
            raise ValueError(f"{path}:{number}: not a line of metrics ({error!r})") from None
        for name, value in values.items():
            is_number = isinstance(value, int | float) and math.isfinite(value)
            if name.endswith("loss") and is_number:
                series.setdefault(name, []).append((float(step), float(value)))
    return [_curve(name, points) for name, points in series.items() if len(points) > 1]


def _curve(name: str, points: list[Point]) -> Curve:
    steps = [step for step, _ in points]
    values = [value for _, value in points]
    x_ticks, y_ticks = _round_numbers(steps[0], steps[-1], 5), _round_numbers(0, max(values), 5)
    left, right = steps[0], max(steps[-1], steps[0] + 1)
    bottom, top = min(0.0, min(values)), max(values)
    top = top if top > bottom else bottom + 1

    def place(step: float, value: float) -> Point:
        return (step - left) / (right - left), 1 - (value - bottom) / (top - bottom)

    reach = max(1, round(SMOOTHING * len(values)))  # a centred mean does not lag behind a fall
    means = [
        sum(near) / len(near)
        for near in (values[max(0, i - reach) : i + reach + 1] for i in range(len(values)))
    ]
    smooth = [place(step, mean) for step, mean in zip(steps, means, strict=True)]
    return Curve(
        name=name,
        points=_thin([place(*point) for point in points]),
        smooth=_thin(smooth),
        first=values[0],
        last=values[-1],
        lowest=min(values),
        steps=int(steps[-1]),
        x_ticks=[(place(tick, 0)[0], f"{tick:,g}") for tick in x_ticks],
        y_ticks=[(place(left, tick)[1], f"{tick:g}") for tick in y_ticks],
    )


def _thin(points: list[Point]) -> list[Point]:
    stride = math.ceil(len(points) / MAX_POINTS)
    return [*points[:-1:stride], points[-1]]


def _round_numbers(low: float, high: float, about: int) -> list[float]:
    """Multiples of 1, 2 or 5 times a power of ten inside [low, high]."""
    if high <= low:
        return [low]
    rough = (high - low) / about
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(m * power for m in (1, 2, 5, 10) if m * power >= rough)
    first = math.ceil(low / step - 1e-9)
    last = math.floor(high / step + 1e-9)
    return [round(k * step, 10) for k in range(first, last + 1)]
