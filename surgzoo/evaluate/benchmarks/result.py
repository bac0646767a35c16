"""The result of a benchmark: benchmark.json, and the same as a table in Markdown."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from surgzoo.evaluate.benchmarks.definition import Combine, Protocol
from surgzoo.evaluate.findings import Finding
from surgzoo.evaluate.report import markdown
from surgzoo.evaluate.report.words import figure, interval, title


@dataclasses.dataclass(frozen=True)
class SetResult:
    """One set.

    Attributes:
      status: "scored", "not prepared" or "not answered"; `why` with the way out.
      value: the headline `metric`, a fraction or in `unit`. interval: its 95 % interval.
      baselines: trivial baseline -> its headline on the same questions.
      asked, answered, unparsed: numbers of questions. Those without an answer count as wrong.
      operations: how many the questions are about.
    """

    name: str
    source: str
    task: str
    split: str
    scheme: str
    sampling: str
    metric: str
    status: str
    why: str = ""
    value: float | None = None
    unit: str | None = None
    interval: tuple[float, float] | None = None
    metrics: dict[str, float | None] = dataclasses.field(default_factory=dict)
    shown: tuple[str, ...] = ()
    baselines: dict[str, float | None] = dataclasses.field(default_factory=dict)
    asked: int = 0
    answered: int = 0
    unparsed: int = 0
    operations: int = 0
    prompt: str = ""
    wording: str = ""
    facts: str = ""
    ours: str = ""

    @property
    def baseline(self) -> tuple[str, float] | None:
        """The strongest trivial baseline."""
        known = {name: value for name, value in self.baselines.items() if value is not None}
        return max(known.items(), key=lambda pair: pair[1]) if known else None


@dataclasses.dataclass(frozen=True)
class Total:
    """How sets add up.

    `value` is None unless all `of` parts have a score; `partial` is the same over the `counted`
    ones alone, and is never the benchmark's number. Both in percent for a sum, else fractions.
    """

    name: str
    combine: Combine
    counted: int
    of: int
    value: float | None
    partial: float | None
    deviation: float | None = None  # sample deviation over folds

    @property
    def text(self) -> str:
        """ "Arena 291.4 (6 of 6)", or with the label "partial"."""
        parts = {"sum": "sets", "folds": "folds", "tasks": "tasks", "none": "sets"}[self.combine]
        shown = self.value if self.value is not None else self.partial
        number = "–" if shown is None else f"{shown if self.combine == 'sum' else 100 * shown:.2f}"
        if self.deviation is not None:
            number += f" ± {100 * self.deviation:.2f}"
        if self.value is not None:
            return f"{self.name} {number} ({self.of} of {self.of} {parts})"
        return f"{self.name}, partial ({self.counted} of {self.of} {parts}): {number}"


@dataclasses.dataclass(frozen=True)
class BenchmarkResult:
    """What benchmark.json holds."""

    benchmark: str
    protocol: Protocol
    models: tuple[str, ...]
    sets: tuple[SetResult, ...]
    totals: tuple[Total, ...]
    findings: tuple[Finding, ...]
    facts: str
    ours: str
    surgzoo: str

    def set(self, name: str) -> SetResult:
        """Raises KeyError when there is no such set."""
        for item in self.sets:
            if item.name == name:
                return item
        raise KeyError(f"{self.benchmark} has no set '{name}'")

    def save(self, path: str | Path) -> None:
        """Writes benchmark.json, and the Markdown beside it under the same name."""
        text = json.dumps(dataclasses.asdict(self), indent=1, ensure_ascii=False, allow_nan=False)
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        Path(path).write_text(text + "\n", encoding="utf-8")
        Path(path).with_suffix(".md").write_text(self.markdown(), encoding="utf-8")

    @classmethod
    def load(cls, path: str | Path) -> BenchmarkResult:
        """Reads what `save` wrote."""
        values = json.loads(Path(path).read_text(encoding="utf-8"))
        sets = tuple(
            SetResult(
                **{
                    **item,
                    "interval": item["interval"] and tuple(item["interval"]),
                    "shown": tuple(item["shown"]),
                }
            )
            for item in values.pop("sets")
        )
        totals = tuple(Total(**item) for item in values.pop("totals"))
        findings = tuple(
            Finding(**{**item, "items": tuple(item["items"])}) for item in values.pop("findings")
        )
        models = tuple(values.pop("models"))
        return cls(models=models, sets=sets, totals=totals, findings=findings, **values)

    def table(self) -> str:
        """Sets, totals and findings, for a terminal; also valid Markdown."""
        head = ("set", "metric", "score", "95 %", "baseline", "asked", "answered", "unparsed")
        rows = [_cells(item) for item in self.sets]
        text = [markdown.table(head, rows)]
        lacking = [item for item in self.sets if item.status != "scored"]
        if lacking:
            text.append("\n".join(f"- {item.name}: {item.status}. {item.why}" for item in lacking))
        if self.totals:
            text.append("\n".join(f"**{total.text}**" for total in self.totals))
        if self.findings:
            notes = [f"{n}. {f.kind}: {f.text}" for n, f in enumerate(self.findings, 1)]
            text.append("\n".join(["Findings", "", *notes]))
        return "\n\n".join(text)

    def markdown(self) -> str:
        """The table, all shown metrics, the prompts and where everything is from."""
        name = ", ".join(self.models) or "no model"
        text = [f"# {self.benchmark} ({self.protocol}): {name}", self.table()]
        details = [
            (item.name, title(key), figure(item.metrics[key]))
            for item in self.sets
            for key in item.shown
            if key in item.metrics
        ]
        if details:
            text += ["## Other metrics", markdown.table(("set", "metric", "value"), details)]
        text.append("## Questions")
        text += [_about(item) for item in self.sets]
        text += ["## Facts", self.facts, self.ours, f"surgzoo {self.surgzoo}"]
        return "\n\n".join(part for part in text if part) + "\n"


def totals(
    combine: Combine, name: str, sets: Sequence[SetResult], parts: Sequence[str] = ()
) -> tuple[Total, ...]:
    """The combined numbers of a benchmark's sets; a partial one is labelled and has no `value`.

    `parts` as in `Benchmark`.
    """
    if combine == "none" or not sets:
        return ()
    if combine == "sum":
        values = [None if s.value is None else 100 * s.value for s in sets]
        known = [value for value in values if value is not None]
        return (_total(name, combine, values, sum(known) if known else None),)
    if combine == "folds":
        out = []
        for group, members in _grouped(sets).items():
            values = [s.value for s in members]
            known = [value for value in values if value is not None]
            mean = float(np.mean(known)) if known else None
            total = _total(f"{group}: {name}", combine, values, mean)
            spread = float(np.std(known, ddof=1)) if len(known) > 1 else None
            out.append(dataclasses.replace(total, deviation=spread))
        return tuple(out)
    values, groups = [], _grouped([s for s in sets if s.unit is None])
    for part in dict.fromkeys([*parts, *groups]):
        known = [s.value for s in groups.get(part, ())] or [None]
        lacks = any(value is None for value in known)
        values.append(None if lacks else float(np.mean(known)))
    known = [value for value in values if value is not None]
    return (_total(name, combine, values, float(np.mean(known)) if known else None),)


def _total(
    name: str, combine: Combine, values: Sequence[float | None], number: float | None
) -> Total:
    counted = sum(value is not None for value in values)
    whole = counted == len(values)
    return Total(
        name, combine, counted, len(values), number if whole else None, None if whole else number
    )


def _grouped(sets: Sequence[SetResult]) -> dict[str, list[SetResult]]:
    """Sets by the part of their name before "/"."""
    out: dict[str, list[SetResult]] = {}
    for item in sets:
        out.setdefault(item.name.partition("/")[0], []).append(item)
    return out


def _cells(item: SetResult) -> tuple[str, ...]:
    if item.status != "scored":
        return (item.name, title(item.metric), "–", "–", "–", "–", "–", "–")
    best = item.baseline
    return (
        item.name,
        title(item.metric),
        figure(item.value, item.unit),
        interval(item.interval, item.unit),
        "–" if best is None else f"{figure(best[1], item.unit)} ({best[0]})",
        f"{item.asked:,}",
        f"{item.answered:,}",
        f"{item.unparsed:,}",
    )


def _about(item: SetResult) -> str:
    lines = [
        f"### {item.name}",
        f"{item.source}, {item.split} ({item.scheme}); {item.sampling}; {item.operations} "
        f"operations." + (f" Words of the question: {item.wording}." if item.wording else ""),
    ]
    if item.prompt:
        lines.append("\n".join(f"> {line}" for line in item.prompt.splitlines()))
    lines += [item.facts, item.ours and f"This project's choice: {item.ours}"]
    return "\n\n".join(line for line in lines if line)
