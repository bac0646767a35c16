"""One page for several predictions files: who leads, by how much, and where they disagree."""

from __future__ import annotations

import collections
import dataclasses
import itertools
import string
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from surgzoo.evaluate import compare
from surgzoo.evaluate.baselines import score_baselines, strongest
from surgzoo.evaluate.grade import Graded, grade
from surgzoo.evaluate.predictions import PredictionsError, read_predictions
from surgzoo.evaluate.report import gallery, sheets, tables, words
from surgzoo.evaluate.report.build import PREDICTIONS_FILE, environment, findings, render, sources
from surgzoo.evaluate.report.sheets import Cell, Sheet
from surgzoo.evaluate.score import score_graded
from surgzoo.evaluate.scores import Policy, Row, Scores
from surgzoo.evaluate.truth import Truth, load_truth, named, uncollected
from surgzoo.tasks.wording import Wording

BASELINE = "trivial baseline"
UNLIKE = (
    "The models did not answer the same questions. The leaderboard has each on its own answers; "
    "the differences below are on the questions that both of a pair answered."
)


@dataclasses.dataclass(frozen=True)
class Run:
    """One predictions file. `letter` stands for the model where there is no room for its name."""

    letter: str
    model: str
    folder: Path
    graded: Mapping[str, Graded]
    scores: Scores
    judged: Mapping[str, gallery.Judged]

    @property
    def name(self) -> str:
        return f"{self.letter} {self.model}"


@dataclasses.dataclass(frozen=True)
class Pair:
    """Two runs, their differences, and how often each of them is right, task by task."""

    first: Run
    second: Run
    differences: list[compare.Comparison]
    agreement: Sheet


def compare_report(
    runs: Sequence[str | Path],
    data_dir: str | Path,
    out: str | Path,
    *,
    split: str = "test",
    scheme: str = "default",
    wording: Wording | None = None,
    missing: Policy = "report",
    baselines: bool = True,
    max_examples: int = 72,
    title: str = "",
    date: str = "",
) -> Path:
    """Scores several predictions files and writes a page, `comparison.md` and `tables/`.

    Args:
      runs: predictions files, or folders with `predictions.jsonl`; at least two.
      data_dir: where the sources were prepared.
      out: the path of the page, or a folder for `comparison.html`.
      split, scheme, wording, missing, baselines, date: as in `report`.
      max_examples: upper limit of frames on which the models disagree.
      title: the head of the page; default the models' names.

    Returns the path of the page. Raises as `score` does, and ValueError for fewer than two files.
    """
    if not 2 <= len(runs) <= len(string.ascii_uppercase):
        raise ValueError(f"a comparison is of 2 to 26 predictions files, not of {len(runs)}")
    paths = [Path(run) / PREDICTIONS_FILE if Path(run).is_dir() else Path(run) for run in runs]
    out = Path(out)
    page = out if out.suffix == ".html" else out / "comparison.html"
    page.parent.mkdir(parents=True, exist_ok=True)

    truth, found = _read(paths, data_dir, split, scheme, wording, missing)
    rivals = score_baselines(truth, data_dir) if baselines and split != "train" else {}
    pairs = [_pair(a, b, truth) for a, b in itertools.combinations(found, 2)]

    board = leaderboard(found, rivals)
    by_task = task_sheet(found, rivals)
    groups = [sheet for group in tables.GROUPS if (sheet := group_sheet(found, rivals, group)).rows]
    data = [
        board,
        by_task,
        score_sheet(found, rivals),
        *groups,
        *(difference_sheet(pair) for pair in pairs),
        *(pair.agreement for pair in pairs),
    ]
    notes = [
        f"{run.name}: {note}"
        for run, path in zip(found, paths, strict=True)
        for note in (*tables.notes(run.scores), *findings(path))
    ]
    if any(run.graded.keys() != found[0].graded.keys() for run in found):
        notes.insert(0, UNLIKE)
    html = render(
        "comparison.html",
        title=title or " · ".join(run.model for run in found),
        date=date,
        data=sources(truth),
        runs=found,
        split=split,
        scheme=scheme,
        notes=notes,
        leaderboard=board,
        by_task=by_task,
        groups=groups,
        pairs=[(pair, difference_sheet(pair)) for pair in pairs],
        examples=disagreements(truth, found, max_examples),
        environment=environment(),
        sheets=data,
    )
    page.write_text(html, encoding="utf-8")
    text = "\n".join([by_task.markdown, *(difference_sheet(pair).markdown for pair in pairs)])
    text += "".join(f"\n{note}\n" for note in notes)
    page.with_name("comparison.md").write_text(text, encoding="utf-8")
    sheets.write(data, page.parent, prefix="comparison_")
    return page


@uncollected()
def _read(
    paths: Sequence[Path],
    data_dir: str | Path,
    split: str,
    scheme: str,
    wording: Wording | None,
    missing: Policy,
) -> tuple[Truth, list[Run]]:
    """The truth of everything that some file answers, read once, and the graded files."""
    files = [list(read_predictions(path)) for path in paths]
    for path, items in zip(paths, files, strict=True):
        if not items:
            raise PredictionsError(f"{path} holds no prediction")
    about = named(item.id for items in files for item in items)
    truth = load_truth(data_dir, *about, split=split, scheme=scheme, wording=wording)
    gradings = [grade(items, truth, p.parent) for items, p in zip(files, paths, strict=True)]
    scores = [score_graded(grading, truth, missing=missing) for grading in gradings]
    runs = []
    for number, (path, model) in enumerate(zip(paths, _names(paths, scores), strict=True)):
        graded = gradings[number].graded
        judged = gallery.judge_all(truth, graded)
        letter = string.ascii_uppercase[number]
        runs.append(Run(letter, model, path.parent, graded, scores[number], judged))
    return truth, runs


def _names(paths: Sequence[Path], scores: Sequence[Scores]) -> list[str]:
    """The models' names; the file's where there is none or two are the same."""
    names = [", ".join(filter(None, one.models)) for one in scores]
    counts = collections.Counter(names)
    return [
        name if name and counts[name] == 1 else f"{name} ({path.parent.name}/{path.stem})".strip()
        for name, path in zip(names, paths, strict=True)
    ]


# ---- tables --------------------------------------------------------------------------------------

Baselines = tables.Baselines


def _rows(run: Run, group: str = "all") -> dict[tuple[str, str], Row]:
    return {(row.name, row.task): row for row in run.scores.select(group)}


def _baseline(rivals: Baselines, task: str, group: str = "all", name: str = "all") -> Cell:
    """The strongest trivial baseline on a group."""
    best = strongest(rivals.get(task, {}), task)
    if best is None:
        return Cell("–", None)
    row = rivals[task][best].row(task, group, name)
    return sheets.measured(row.value, tables.unit(task, row.headline), best)


def _values(rows: Sequence[Row | None], with_interval: bool) -> list[Cell]:
    """A cell a model, the best ones marked."""
    known = [row.value for row in rows if row is not None and row.value is not None]
    cells = []
    for row in rows:
        if row is None or row.value is None:
            cells.append(Cell("–", None))
            continue
        soft = tables.interval(row) if with_interval and row.interval else ""
        cell = sheets.measured(row.value, tables.unit(row.task, row.headline), soft)
        cells.append(cell._replace(best=row.value == max(known) and len(known) > 1))
    return cells


def leaderboard(runs: Sequence[Run], rivals: Baselines) -> Sheet:
    """Models by tasks; the last line is the strongest trivial baseline of each task."""
    tasks = runs[0].scores.tasks
    columns = [
        _values([_rows(run).get(("all", task)) for run in runs], with_interval=True)
        for task in tasks
    ]
    lines = []
    for number, run in enumerate(runs):
        cells = [column[number] for column in columns]
        leads = sum(cell.best for cell in cells)
        lines.append((sheets.words(run.name), *cells, sheets.whole(leads)))
    if rivals:
        cells = (_baseline(rivals, task) for task in tasks)
        lines.append((sheets.words(BASELINE), *cells, Cell("–", None)))
    head = ("model", *(words.title(task) for task in tasks), "best in")
    return Sheet("leaderboard", "Leaderboard", head, lines)


def task_sheet(runs: Sequence[Run], rivals: Baselines) -> Sheet:
    """Tasks by models, each value with its interval."""
    lines = []
    for task in runs[0].scores.tasks:
        rows = [_rows(run).get(("all", task)) for run in runs]
        lines.append(
            (
                sheets.words(words.title(task)),
                sheets.words(words.title(rows[0].headline)),
                *_values(rows, with_interval=True),
                _baseline(rivals, task),
            )
        )
    head = ("task", "metric", *(run.name for run in runs), BASELINE)
    return Sheet("tasks", "By task", head, lines)


def group_sheet(runs: Sequence[Run], rivals: Baselines, group: str) -> Sheet:
    """Groups and tasks by models; no line where there is one group alone."""
    found = [_rows(run, group) for run in runs]
    keys = sorted(dict.fromkeys(key for rows in found for key in rows))
    lines = []
    for name, task in keys if len({name for name, _ in keys}) > 1 else ():
        shown = Cell(name if group == "source" else words.title(name), name)
        values = _values([rows.get((name, task)) for rows in found], with_interval=False)
        baseline = _baseline(rivals, task, group, name)
        lines.append((shown, sheets.words(words.title(task)), *values, baseline))
    head = (group, "task", *(run.name for run in runs), BASELINE)
    return Sheet(f"by_{group}", tables.GROUPS[group], head, lines)


def score_sheet(runs: Sequence[Run], rivals: Baselines) -> Sheet:
    """Every model on every task: one number a line, with its interval."""
    lines = []
    for run in runs:
        for row in run.scores.select("all"):
            unit = tables.unit(row.task, row.headline)
            low, high = row.interval or (None, None)
            lines.append(
                (
                    sheets.words(run.model),
                    sheets.words(row.task),
                    sheets.words(row.headline),
                    *(sheets.measured(value, unit) for value in (row.value, low, high)),
                    *map(sheets.whole, (row.expected, row.predicted, row.unparsed)),
                    sheets.duration(row.latency),
                )
            )
    head = ("model", "task", "metric", "value", "low", "high", "questions", "answers", "unparsed")
    return Sheet("scores", "All scores", (*head, "mean latency, s"), lines)


def difference_sheet(pair: Pair) -> Sheet:
    """The differences of two models."""
    lines = []
    for line in pair.differences:
        unit = tables.unit(line.task, line.headline)
        low, high = line.interval or (None, None)
        verdict = line.verdict.replace("the first", pair.first.letter)
        lines.append(
            (
                sheets.words(words.title(line.task)),
                sheets.words(words.title(line.headline)),
                sheets.measured(line.first, unit),
                sheets.measured(line.second, unit),
                Cell(words.signed(line.difference, unit), line.difference),
                Cell(words.signed(low, unit), low),
                Cell(words.signed(high, unit), high),
                Cell(_probability(line.p), line.p),
                sheets.whole(line.answers),
                sheets.whole(line.operations),
                sheets.words(verdict.replace("the second", pair.second.letter)),
            )
        )
    names = (pair.first.letter, pair.second.letter)
    bounds = ("difference", "95 % from", "to", "p value")
    head = ("task", "metric", *names, *bounds, "answers", "videos", "verdict")
    stem = f"difference_{names[0]}_{names[1]}".lower()
    heading = f"{pair.first.name} against {pair.second.name}"
    return Sheet(stem, heading, head, lines)


def _probability(p: float | None) -> str:
    if p is None:
        return "–"
    return f"{p:.3f}" if p >= 0.001 else "< 0.001"


# ---- pairs and disagreement ----------------------------------------------------------------------


def _pair(first: Run, second: Run, truth: Truth) -> Pair:
    found = compare.compare_graded(first.graded, second.graded, truth)
    tested = [line for line in found if line.answers]
    return Pair(first, second, tested, _agreement(first, second, truth))


def _agreement(first: Run, second: Run, truth: Truth) -> Sheet:
    """How many questions both, one, or neither of two models gets right."""
    counts = {task: collections.Counter() for task in truth.tasks}
    for id in first.judged.keys() & second.judged.keys():
        right = tuple(run.judged[id].verdict == "right" for run in (first, second))
        counts[truth.conversations[id].task][right] += 1
    kinds = ((True, True), (True, False), (False, True), (False, False))
    lines = []
    for task, numbers in counts.items():
        total = sum(numbers.values())
        cells = [
            Cell(
                f"{numbers[k]:,}",
                numbers[k],
                f"{words.percent(numbers[k] / total)} %" if total else "",
            )
            for k in kinds
        ]
        lines.append((sheets.words(words.title(task)), sheets.whole(total), *cells))
    a, b = first.letter, second.letter
    head = ("task", "questions", "both right", f"only {a}", f"only {b}", "neither")
    name = f"agreement_{a}_{b}".lower()
    return Sheet(name, f"Where {first.name} and {second.name} are right", head, lines)


def disagreements(truth: Truth, runs: Sequence[Run], limit: int) -> list[gallery.Example]:
    """Cards of questions that one model gets right and another does not, all pairs and tasks in
    turn, those where the two are furthest apart first. Only questions that all models answered."""
    common = set(runs[0].judged).intersection(*(run.judged for run in runs[1:]))
    about = {task: [] for task in truth.tasks}
    for id in common:
        about[truth.conversations[id].task].append(id)
    queues = [
        _apart(a, b, ids) for a, b in itertools.permutations(runs, 2) for ids in about.values()
    ]
    ids = list(itertools.islice(dict.fromkeys(gallery.in_turn(queues)), limit))
    return gallery.within_budget(
        gallery.card(
            truth,
            [gallery.Given(run.judged[id], run.folder, run.name, run.letter) for run in runs],
        )
        for id in ids
    )


def _apart(right: Run, other: Run, ids: Sequence[str]) -> Iterator[str]:
    gaps = {
        id: right.judged[id].quality - other.judged[id].quality
        for id in ids
        if right.judged[id].verdict == "right" and other.judged[id].verdict != "right"
    }
    return iter(sorted(gaps, key=lambda id: (-round(gaps[id], 3), gallery.hashed(id))))
