"""The tables of the report: headline, breakdown, all metrics; and the headline as plain text."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

from surgzoo.evaluate.baselines import BASELINES, strongest
from surgzoo.evaluate.compare import Comparison
from surgzoo.evaluate.operating import ClassRow
from surgzoo.evaluate.report import markdown, words
from surgzoo.evaluate.report.words import figure, seconds, signed, title
from surgzoo.evaluate.scores import Row, Scores
from surgzoo.tasks import tasks

GROUPS = {
    "source": "By source",
    "specialty": "By specialty",
    "procedure": "By procedure",
}

Baselines = Mapping[str, Mapping[str, Scores]]  # task -> baseline -> scores


@dataclasses.dataclass(frozen=True)
class Headline:
    """One task: the model's headline metric beside the strongest trivial baseline."""

    row: Row
    baseline: str | None
    about: str  # what that baseline does
    baseline_value: float | None

    @property
    def unit(self) -> str | None:
        """Of the metric; None for a fraction."""
        return unit(self.row.task, self.row.headline)

    @property
    def margin(self) -> float | None:
        if self.row.value is None or self.baseline_value is None:
            return None
        return self.row.value - self.baseline_value


@dataclasses.dataclass(frozen=True)
class MetricTable:
    """All metrics of one task: a line for each, a column for the model and each baseline."""

    task: str
    headline: str
    columns: list[str]
    lines: list[tuple[str, list[float | None]]]
    details: list[tuple[str, list[float | None]]]  # metrics of single classes: "f1/grasper"


def unit(task: str, metric: str) -> str | None:
    """The unit in which a metric is shown; None for a fraction, which is shown in percent."""
    return tasks.get(task).scales.get(metric)


def headlines(scores: Scores, baselines: Baselines) -> list[Headline]:
    """One line a task."""
    lines = []
    for row in scores.select("all"):
        rivals = baselines.get(row.task, {})
        best = strongest(rivals, row.task)
        about = next((b.about for form in BASELINES.values() for b in form if b.name == best), "")
        value = None if best is None else rivals[best].row(row.task).value
        lines.append(Headline(row, best, about, value))
    return lines


def breakdown(scores: Scores, baselines: Baselines, group: str) -> list[tuple[str, list[Headline]]]:
    """(name of the group, a headline for each of its tasks); [] for one group alone."""
    groups: dict[str, list[Headline]] = {}
    overall = {line.row.task: line for line in headlines(scores, baselines)}
    for row in scores.select(group):
        whole = overall[row.task]
        value = None
        if whole.baseline is not None:
            rival = baselines[row.task][whole.baseline]
            value = rival.row(row.task, group, row.name).value
        line = dataclasses.replace(whole, row=row, baseline_value=value)
        groups.setdefault(row.name, []).append(line)
    return list(groups.items()) if len(groups) > 1 else []


def metric_tables(scores: Scores, baselines: Baselines) -> list[MetricTable]:
    """One table a task."""
    tables = []
    for row in scores.select("all"):
        columns = {"model": row}
        columns |= {name: s.row(row.task) for name, s in baselines.get(row.task, {}).items()}
        lines = [
            (name, [column.metrics.get(name) for column in columns.values()])
            for name in row.metrics
        ]
        tables.append(
            MetricTable(
                row.task,
                row.headline,
                list(columns),
                [line for line in lines if "/" not in line[0]],
                [line for line in lines if "/" in line[0]],
            )
        )
    return tables


def summary(scores: Scores, baselines: Baselines) -> str:
    """The headline table for a terminal, also valid Markdown. Percent where no unit is given."""
    head = (
        "task",
        "metric",
        "model",
        "95 %",
        "baseline",
        "margin",
        "answers",
        "unparsed",
        "latency",
    )
    lines = [
        (
            title(line.row.task),
            title(line.row.headline),
            figure(line.row.value, line.unit),
            interval(line.row),
            f"{figure(line.baseline_value, line.unit)} ({line.baseline})" if line.baseline else "–",
            signed(line.margin, line.unit),
            f"{line.row.predicted}/{line.row.expected}",
            str(line.row.unparsed),
            seconds(line.row.latency),
        )
        for line in headlines(scores, baselines)
    ]
    text = markdown.table(head, lines, {2, 5, 6, 7, 8})
    text += "\n" + "".join(f"\n{note}\n" for note in notes(scores))
    return text + "".join(f"\n{classes(task, found)}\n" for task, found in scores.classes.items())


def classes(task: str, found: Sequence[ClassRow]) -> str:
    """Each answer of a task against all others, for a terminal, also valid Markdown."""
    head = (title(task), "of", "positive", "AUROC", "95 %")
    head += ("sensitivity", "95 %", "specificity", "95 %", "Youden")
    lines = [
        (
            row.name,
            f"{row.items:,}",
            f"{row.positives:,}",
            *(
                text
                for one in (row.auroc, row.sensitivity, row.specificity)
                for text in (words.percent(one.value), words.interval(one.interval))
            ),
            words.percent(row.youden.value),
        )
        for row in found
    ]
    table = markdown.table(head, lines, {1, 2, 3, 5, 7, 9})
    return f"{said(found)}\n\n{table}"


def said(found: Sequence[ClassRow]) -> str:
    """What sensitivity and specificity are about, in a sentence."""
    if found[0].said == "answer":
        how = "at the answer itself (the highest score); no validation answers chose a threshold"
    else:
        how = "at the threshold of each class with the best Youden index on the validation split"
    return f"Each answer against all others, {how}. By chance AUROC is 50.0 and Youden 0.0."


def interval(row: Row) -> str:
    """ "71.2–80.4", or a dash for too few videos."""
    return words.interval(row.interval, unit(row.task, row.headline))


def notes(scores: Scores) -> list[str]:
    """What a reader must know before believing the numbers."""
    out = []
    missing = sum(row.missing for row in scores.select("all"))
    expected = sum(row.expected for row in scores.select("all"))
    if missing:
        effect = "counted as wrong" if scores.missing == "wrong" else "left out of the scores"
        out.append(f"{missing:,} of {expected:,} questions have no prediction; they are {effect}.")
    if scores.unknown:
        out.append(f"{len(scores.unknown):,} predictions name no question and were left out.")
    if scores.outside:
        out.append(
            f"{scores.outside:,} predictions are on videos outside split '{scores.split}' and were "
            "left out."
        )
    return out + decoding(scores)


def decoding(scores: Scores) -> list[str]:
    """How answers were decoded, where it was not greedily; [] where nobody says."""
    by_way: dict[str, list[str]] = {}
    for task, ways in scores.decoding.items():
        for way in ways:
            if way != "greedy":
                by_way.setdefault(way, []).append(title(task))
    out = [f"How answers were decoded: {way} ({', '.join(of)})." for way, of in by_way.items()]
    if any("constrained" in way for way in by_way):
        out.append(
            "Constrained answers can be read by construction: 'unparsed' says nothing of the "
            "model, and scores compare with constrained ones alone."
        )
    return out


def differences(found: Sequence[Comparison], names: tuple[str, str] = ("first", "second")) -> str:
    """A line a task, for a terminal, also valid Markdown."""
    lines = []
    for item in found:
        kind = unit(item.task, item.headline)
        scale, digits = (100, 1) if kind is None else (1, 2)
        bounds = "–"
        if item.interval is not None:
            bounds = " to ".join(
                f"{scale * v:+.{digits}f}".replace("-", "−") for v in item.interval
            )
        lines.append(
            (
                title(item.task),
                title(item.headline),
                figure(item.first, kind),
                figure(item.second, kind),
                signed(item.difference, kind),
                bounds,
                "–" if item.p is None else f"{item.p:.3f}" if item.p >= 0.001 else "<0.001",
                f"{item.answers:,} / {item.operations}",
                item.verdict,
            )
        )
    head = ("task", "metric", *names, "difference", "95 %", "p", "answers / operations", "verdict")
    text = markdown.table(head, lines, {2, 3, 4, 6, 7}) + "\n"
    for name, lacking in zip(names, _lacking(found), strict=True):
        if lacking:
            text += f"\n{lacking:,} answers of {name} were left out: the other file lacks them.\n"
    return text


def _lacking(found: Sequence[Comparison]) -> tuple[int, int]:
    return sum(item.only_first for item in found), sum(item.only_second for item in found)
