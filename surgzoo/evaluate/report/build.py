"""Builds the report: one HTML page that needs nothing beside itself, and the summary as text."""

from __future__ import annotations

import importlib.metadata
import json
import platform
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jinja2

from surgzoo.evaluate.baselines import score_baselines
from surgzoo.evaluate.report import gallery, instruments, tables, words
from surgzoo.evaluate.report.curves import curves
from surgzoo.evaluate.report.timeline import timelines
from surgzoo.evaluate.score import Graded, Policy, grade, read_all, score_graded
from surgzoo.evaluate.truth import Truth
from surgzoo.tasks.wording import Wording

PREDICTIONS_FILE = "predictions.jsonl"
METRICS_FILE = "metrics.jsonl"
CONFIG_FILE = "config.json"
MAX_UNPARSED = 60  # answers that are quoted

_PACKAGES = ("surgzoo", "numpy", "opencv-python-headless", "tensorflow-datasets", "jax", "flax")
_HERE = Path(__file__).parent


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
) -> Path:
    """Scores a predictions file and writes `report.html`, `summary.md` and `scores.json`.

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
    scores = score_graded(grading, truth, missing=missing)
    rivals = score_baselines(truth, data_dir) if baselines and split != "train" else {}

    summary = tables.summary(scores, rivals)
    html = (
        _environment()
        .get_template("page.html")
        .render(
            title=title or ", ".join(scores.models) or "Unnamed model",
            checkpoint=checkpoint,
            date=date,
            data=_data(truth),
            scores=scores,
            notes=tables.notes(scores),
            headlines=tables.headlines(scores, rivals),
            by_source=tables.breakdown(scores, rivals, "source"),
            by_procedure=tables.breakdown(scores, rivals, "procedure"),
            metric_tables=tables.metric_tables(scores, rivals),
            timelines=timelines(truth, graded),
            label_scores=_label_scores(truth, graded),
            histograms=_histograms(truth, graded),
            hit=instruments.HIT,
            verdicts=_verdicts(truth, graded),
            examples=gallery.examples(truth, graded, max_examples, predictions.parent),
            unparsed=[item for item in graded.values() if item.answer is None][:MAX_UNPARSED],
            curves=curves(folder / METRICS_FILE),
            config=_config(folder / CONFIG_FILE),
            environment=environment(),
        )
    )
    page.write_text(html, encoding="utf-8")
    page.with_name("summary.md").write_text(summary, encoding="utf-8")
    scores.save(page.with_name("scores.json"))
    return page


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
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_HERE),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
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
    # The two files are trusted and must not be escaped inside <style> and <script>.
    for name in ("style.css", "page.js"):
        text = (_HERE / name).read_text(encoding="utf-8")
        environment.globals[name.split(".")[0]] = jinja2.utils.markupsafe.Markup(text)
    return environment


def _data(truth: Truth) -> list[dict[str, Any]]:
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


def _verdicts(truth: Truth, graded: Mapping[str, Graded]) -> dict[str, dict[str, int]]:
    """{task: {verdict: number of answers}}."""
    counts = {name: dict.fromkeys(gallery.VERDICTS, 0) for name in truth.tasks}
    for item in graded.values():
        counts[item.conversation.task][gallery.verdict(truth, item)[0]] += 1
    return counts


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
