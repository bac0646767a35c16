"""Builds the report: one HTML page that needs nothing beside itself, and the summary as text."""

from __future__ import annotations

import importlib.metadata
import json
import platform
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jinja2

from surgzoo.core import pages
from surgzoo.evaluate.baselines import score_baselines
from surgzoo.evaluate.grade import Graded, grade
from surgzoo.evaluate.report import gallery, instruments, run_sheets, sheets, tables, words
from surgzoo.evaluate.report.calibration import calibrations
from surgzoo.evaluate.report.confusion import confusions
from surgzoo.evaluate.report.curves import curves
from surgzoo.evaluate.report.latency import latencies
from surgzoo.evaluate.report.timeline import timelines
from surgzoo.evaluate.score import read_all, score_graded, thresholds
from surgzoo.evaluate.scores import Policy
from surgzoo.evaluate.truth import Truth
from surgzoo.tasks.wording import Wording

PREDICTIONS_FILE = "predictions.jsonl"
METRICS_FILE = "metrics.jsonl"
CONFIG_FILE = "config.json"
FINDINGS_FILE = "findings.json"  # pitfalls of predictions.jsonl beside it
MAX_UNPARSED = 60  # answers that are quoted
MAX_WORST = 30  # answers in the table of the worst

_PACKAGES = ("surgzoo", "numpy", "opencv-python-headless", "tensorflow-datasets", "jax", "flax")
_HERE = Path(__file__).parent
SCRIPTS = ("page.js", "cases.js", "ribbons.js")


def report(
    run: str | Path,
    data_dir: str | Path,
    out: str | Path,
    *,
    run_dir: str | Path | None = None,
    split: str = "test",
    scheme: str = "default",
    wording: Wording | None = None,
    missing: Policy = "report",
    baselines: bool = True,
    max_examples: int = 96,
    title: str = "",
    checkpoint: str = "",
    date: str = "",
    validation: str | Path | None = None,
) -> Path:
    """Scores a predictions file and writes `report.html`, `summary.md`, `scores.json`, `tables/`.

    Args:
      run: a predictions file, or a folder with `predictions.jsonl`.
      data_dir: where the sources were prepared.
      out: the folder to write to, or the path of the page if it ends with ".html".
      run_dir: where `metrics.jsonl` (training curves) and `config.json` lie, if the run has any; by
        default beside the predictions.
      split, scheme, wording, missing: as in `score`.
      baselines: whether to score the trivial baselines too; they need the training split.
      max_examples: upper limit of frames in the gallery.
      title, checkpoint, date: for the head of the page. Nothing is made up when they are empty.
      validation: as in `score`.

    Returns the path of the page. Raises as `score` does.
    """
    run, out = Path(run), Path(out)
    predictions = run / PREDICTIONS_FILE if run.is_dir() else run
    folder = predictions.parent if run_dir is None else Path(run_dir)
    page = out if out.suffix == ".html" else out / "report.html"
    page.parent.mkdir(parents=True, exist_ok=True)

    items, truth = read_all(predictions, data_dir, split=split, scheme=scheme, wording=wording)
    grading = grade(items, truth, predictions.parent)
    graded = grading.graded
    chosen = thresholds(validation, items, truth, data_dir, wording) if validation else None
    scores = score_graded(grading, truth, missing=missing, chosen=chosen)
    rivals = score_baselines(truth, data_dir) if baselines and split != "train" else {}

    judged = gallery.judge_all(truth, graded)
    cards = gallery.examples(truth, judged, max_examples, predictions.parent)
    worst = gallery.worst(truth, judged, MAX_WORST)
    labels = _label_scores(truth, graded)
    matrices = confusions(truth, graded)
    slowness = latencies(graded)
    believed = calibrations(truth, graded)
    verdicts = _verdicts(truth, judged)
    data = [
        run_sheets.headline_sheet(scores, rivals),
        run_sheets.group_sheet(scores, rivals),
        run_sheets.metric_sheet(scores, rivals),
        run_sheets.label_sheet(labels),
        *map(run_sheets.confusion_sheet, matrices),
        run_sheets.verdict_sheet(verdicts),
        run_sheets.worst_sheet(truth, worst),
        run_sheets.unparsed_sheet(scores),
        run_sheets.latency_sheet(slowness),
        run_sheets.calibration_sheet(believed),
        run_sheets.class_sheet(scores),
    ]
    data = [sheet for sheet in data if sheet.rows]
    html = render(
        "page.html",
        title=title or ", ".join(scores.models) or "Unnamed model",
        checkpoint=checkpoint,
        date=date,
        data=sources(truth),
        scores=scores,
        notes=[*tables.notes(scores), *findings(predictions)],
        headlines=tables.headlines(scores, rivals),
        groups={
            heading: tables.breakdown(scores, rivals, group)
            for group, heading in tables.GROUPS.items()
        },
        metric_tables=tables.metric_tables(scores, rivals),
        timelines=timelines(truth, graded),
        confusions=matrices,
        label_scores=labels,
        histograms=_histograms(truth, graded),
        hit=instruments.HIT,
        verdicts=verdicts,
        examples=cards,
        worst=run_sheets.worst_sheet(truth, worst).rows,
        latencies=slowness,
        calibrations=believed,
        classes=[
            (tables.said(found), run_sheets.class_table(task, found))
            for task, found in scores.classes.items()
        ],
        unparsed=[item for item in graded.values() if item.answer is None][:MAX_UNPARSED],
        curves=curves(folder / METRICS_FILE),
        config=_config(folder / CONFIG_FILE),
        environment=environment(),
        sheets=data,
    )
    page.write_text(html, encoding="utf-8")
    page.with_name("summary.md").write_text(tables.summary(scores, rivals), encoding="utf-8")
    sheets.write(data, page.parent)
    scores.save(page.with_name("scores.json"))
    return page


def render(template: str, **values: Any) -> str:
    """A page of this folder's templates."""
    return _environment().get_template(template).render(**values)


def environment() -> dict[str, str]:
    """Versions of what scored the predictions; a package that is not installed is left out."""
    versions = {"python": platform.python_version()}
    for name in _PACKAGES:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return versions


def _environment() -> jinja2.Environment:
    environment = pages.environment(_HERE)
    for function in (
        words.title,
        words.figure,
        words.percent,
        words.signed,
        words.seconds,
        words.clock,
    ):
        environment.filters[function.__name__] = function
    environment.filters["interval"] = tables.interval
    environment.globals["count"] = words.count
    environment.globals["unit"] = tables.unit
    # These files are trusted and must not be escaped inside <style> and <script>.
    for name, files in (("style", ("style.css",)), ("scripts", SCRIPTS)):
        text = "\n".join((_HERE / file).read_text(encoding="utf-8") for file in files)
        environment.globals[name] = jinja2.utils.markupsafe.Markup(text)
    return environment


def sources(truth: Truth) -> list[dict[str, Any]]:
    """One entry a source, for the head of the page."""
    entries = []
    for name, store in truth.stores.items():
        videos = [stored for place, stored in truth.videos.items() if place.startswith(f"{name}/")]
        entries.append(
            {
                "name": name,
                "version": store.path.name,
                "videos": len(videos),
                "frames": sum(stored.count for stored in videos),
                "procedures": sorted({stored.video.procedure for stored in videos}),
                "licences": sorted({stored.video.licence for stored in videos}),
            }
        )
    return entries


def _label_scores(truth: Truth, graded: Mapping[str, Graded]) -> dict[str, list]:
    forms = ("labels", "boxes")
    tasks = [name for name, task in truth.tasks.items() if task.answer_form in forms]
    return {name: instruments.label_scores(truth, graded, name) for name in tasks}


def _histograms(truth: Truth, graded: Mapping[str, Graded]) -> dict[str, instruments.Histogram]:
    tasks = [name for name, task in truth.tasks.items() if task.answer_form == "boxes"]
    found = {name: instruments.iou_histogram(graded, name) for name in tasks}
    return {name: histogram for name, histogram in found.items() if histogram.total}


def _verdicts(truth: Truth, judged: Mapping[str, gallery.Judged]) -> dict[str, dict[str, int]]:
    """{task: {verdict: number of answers}}."""
    counts = {name: dict.fromkeys(gallery.VERDICTS, 0) for name in truth.tasks}
    for entry in judged.values():
        counts[entry.item.conversation.task][entry.verdict] += 1
    return counts


def findings(predictions: Path) -> list[str]:
    """What was found to be wrong with the predictions of a run, in words; [] where nothing was
    looked for."""
    path = predictions.with_name(FINDINGS_FILE)
    if predictions.name != PREDICTIONS_FILE or not path.exists():
        return []
    try:
        return [str(item["text"]) for item in json.loads(path.read_text(encoding="utf-8"))]
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{path} is not a list of findings ({error!r})") from None


def _config(path: Path) -> str:
    """The run's config, indented; "" where there is none."""
    if not path.exists():
        return ""
    try:
        return json.dumps(
            json.loads(path.read_text(encoding="utf-8")), indent=2, ensure_ascii=False
        )
    except ValueError as error:
        raise ValueError(f"{path} is not JSON: {error}") from None
