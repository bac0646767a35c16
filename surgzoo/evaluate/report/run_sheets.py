"""The tables of one run's page as data, for its CSV files and links."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

from surgzoo.evaluate.operating import ClassRow
from surgzoo.evaluate.report import sheets, tables
from surgzoo.evaluate.report.calibration import Calibration
from surgzoo.evaluate.report.confusion import Confusion
from surgzoo.evaluate.report.gallery import VERDICTS, Given, Judged, reply, target
from surgzoo.evaluate.report.instruments import LabelScore
from surgzoo.evaluate.report.latency import Latency
from surgzoo.evaluate.report.sheets import Cell, Sheet
from surgzoo.evaluate.report.words import interval, signed, slug, title
from surgzoo.evaluate.scores import Scores
from surgzoo.evaluate.truth import Truth


def headline_sheet(scores: Scores, baselines: tables.Baselines) -> Sheet:
    """The headline of each task."""
    head = ("task", "metric", "unit", "model", "low", "high", "baseline", "baseline value")
    counts = ("margin", "questions", "answers", "unparsed", "mean latency, s")
    rows = [
        _headline_cells(line, sheets.words(line.row.task, title(line.row.task)))
        for line in tables.headlines(scores, baselines)
    ]
    return Sheet("scores", "Scores", (*head, *counts), rows)


def group_sheet(scores: Scores, baselines: tables.Baselines) -> Sheet:
    """The headline of each task on each source, specialty, procedure and video."""
    rows = []
    for group in (*tables.GROUPS, "video"):
        overall = {line.row.task: line for line in tables.headlines(scores, baselines)}
        for row in scores.select(group):
            line = dataclasses.replace(overall[row.task], row=row)
            value = None
            if line.baseline is not None:
                rival = baselines[row.task][line.baseline]
                value = rival.row(row.task, group, row.name).value
            line = dataclasses.replace(line, baseline_value=value)
            first = (sheets.words(group), sheets.words(row.name), sheets.words(row.task))
            rows.append((*first, *_headline_cells(line, None)))
    head = ("group", "name", "task", "metric", "unit", "model", "low", "high", "baseline")
    counts = ("baseline value", "margin", "questions", "answers", "unparsed", "mean latency, s")
    return Sheet("groups", "By source, specialty, procedure and video", (*head, *counts), rows)


def _headline_cells(line: tables.Headline, first: Cell | None) -> tuple[Cell, ...]:
    row = line.row
    low, high = row.interval or (None, None)
    cells = (
        sheets.words(row.headline),
        sheets.words("fraction" if line.unit is None else line.unit),
        sheets.measured(row.value, line.unit),
        sheets.measured(low, line.unit),
        sheets.measured(high, line.unit),
        sheets.words(line.baseline or ""),
        sheets.measured(line.baseline_value, line.unit),
        Cell(signed(line.margin, line.unit), line.margin),
        sheets.whole(row.expected),
        sheets.whole(row.predicted),
        sheets.whole(row.unparsed),
        sheets.duration(row.latency),
    )
    return cells if first is None else (first, *cells)


def metric_sheet(scores: Scores, baselines: tables.Baselines) -> Sheet:
    """Every metric of every task, of the model and of each baseline: one number a line."""
    rows = [
        (
            sheets.words(table.task),
            sheets.words(name),
            sheets.words(column),
            sheets.measured(value, tables.unit(table.task, name)),
            sheets.words(tables.unit(table.task, name) or "fraction"),
        )
        for table in tables.metric_tables(scores, baselines)
        for name, values in (*table.lines, *table.details)
        for column, value in zip(table.columns, values, strict=True)
    ]
    return Sheet("metrics", "All metrics", ("task", "metric", "of", "value", "unit"), rows)


def label_sheet(found: Mapping[str, list[LabelScore]]) -> Sheet:
    """Precision, recall and F1 of each label."""
    rows = [
        (
            sheets.words(task),
            sheets.words(line.label),
            sheets.whole(line.support),
            *map(sheets.share, (line.precision, line.recall, line.f1)),
        )
        for task, lines in found.items()
        for line in lines
    ]
    return Sheet("labels", "Labels", ("task", "label", "seen", "precision", "recall", "F1"), rows)


def confusion_sheet(matrix: Confusion) -> Sheet:
    """Counts: a row a true label, a column a predicted one, unparsed answers last."""
    names = (*matrix.labels, "unparsed")
    rows = [
        (
            sheets.words(matrix.labels[row]),
            *(sheets.whole(int(matrix.counts[row][column])) for column in matrix.columns),
        )
        for row in matrix.rows
    ]
    name = f"confusion_{slug(matrix.task)}_{slug(matrix.title)}"
    heading = f"Confusion, {title(matrix.task)}, {title(matrix.title)}"
    head = ("truth", *(names[column] for column in matrix.columns))
    return Sheet(name, heading, head, rows)


def latency_sheet(found: list[Latency]) -> Sheet:
    """How long answers took."""
    rows = [
        (
            sheets.words(line.task, title(line.task)),
            sheets.whole(line.answers),
            *map(sheets.duration, (line.median, line.p95, line.mean, line.slowest)),
        )
        for line in found
    ]
    head = ("task", "answers", "median, s", "95th percentile, s", "mean, s", "slowest, s")
    return Sheet("latency", "Latency", head, rows)


def calibration_sheet(found: list[Calibration]) -> Sheet:
    """Confidence and share right of each bin."""
    rows = [
        (
            sheets.words(line.task),
            sheets.share(bin.low),
            sheets.share(bin.high),
            sheets.whole(bin.count),
            sheets.share(bin.confidence),
            sheets.share(bin.right),
        )
        for line in found
        for bin in line.bins
    ]
    head = ("task", "from", "to", "statements", "mean confidence", "share right")
    return Sheet("calibration", "Calibration", head, rows)


def class_table(task: str, found: Sequence[ClassRow]) -> Sheet:
    """One task's part of `class_sheet`, as it is read."""
    rows = []
    for row in found:
        metrics = (row.auroc, row.sensitivity, row.specificity, row.youden)
        shown = (
            sheets.measured(one.value, soft=interval(one.interval) if one.interval else "")
            for one in metrics
        )
        counts = map(sheets.whole, (row.items, row.positives))
        rows.append((sheets.words(row.name), *counts, *shown))
    head = ("class", "questions", "positive", "AUROC", "sensitivity", "specificity", "Youden")
    return Sheet(f"classes_{slug(task)}", title(task), head, rows)


def class_sheet(scores: Scores) -> Sheet:
    """Each answer against all others."""
    rows = []
    for task, found in scores.classes.items():
        for row in found:
            cells = [sheets.words(task), sheets.words(row.name)]
            cells += map(sheets.whole, (row.items, row.positives))
            for one in (row.auroc, row.sensitivity, row.specificity, row.youden):
                cells += map(sheets.share, (one.value, *(one.interval or (None, None))))
            rows.append((*cells, sheets.words(row.said), sheets.share(row.threshold)))
    head = ["task", "class", "questions", "positive"]
    for name in ("AUROC", "sensitivity", "specificity", "Youden"):
        head += [name, f"{name} low", f"{name} high"]
    return Sheet("classes", "Each answer against the others", (*head, "said by", "threshold"), rows)


def verdict_sheet(verdicts: Mapping[str, Mapping[str, int]]) -> Sheet:
    """How many answers are right, partly right, wrong and unparsed."""
    rows = [
        (sheets.words(task), *(sheets.whole(numbers[word]) for word in VERDICTS))
        for task, numbers in verdicts.items()
    ]
    return Sheet("verdicts", "Answers", ("task", *VERDICTS), rows)


def worst_sheet(truth: Truth, found: list[Judged]) -> Sheet:
    """The answers with the lowest reward."""
    rows = []
    for judged in found:
        conversation = judged.item.conversation
        task = truth.tasks[conversation.task]
        rows.append(
            (
                sheets.words(conversation.id),
                sheets.words(conversation.task),
                sheets.share(judged.quality),
                sheets.words(target(task, conversation)),
                sheets.words(reply(task, Given(judged)).said),
            )
        )
    return Sheet("worst", "Worst cases", ("id", "task", "reward", "truth", "answer"), rows)


def unparsed_sheet(scores: Scores) -> Sheet:
    """Why answers could not be read."""
    rows = [
        (sheets.words(row.task), sheets.words(reason), sheets.whole(number))
        for row in scores.select("all")
        for reason, number in row.reasons.items()
    ]
    return Sheet("unparsed", "Unparsed answers", ("task", "reason", "answers"), rows)
