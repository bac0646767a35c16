"""Evaluating a run of `train/loop.py`: checkpoint -> predictions -> scores -> report."""

from __future__ import annotations

import dataclasses
import datetime
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from surgzoo.core import config as config_lib
from surgzoo.data import pipeline
from surgzoo.db.store import NotPreparedError
from surgzoo.evaluate import findings
from surgzoo.evaluate.benchmarks import running
from surgzoo.evaluate.benchmarks.definition import Protocol
from surgzoo.evaluate.benchmarks.result import BenchmarkResult
from surgzoo.evaluate.predictions import read_predictions
from surgzoo.evaluate.predictors.local import Restored, answer, decoding_of, restore
from surgzoo.evaluate.predictors.questions import questions
from surgzoo.evaluate.report import report as write_report
from surgzoo.evaluate.report import tables
from surgzoo.evaluate.score import score
from surgzoo.train.experiment import EvalConfig, Experiment


def load_experiment(run_dir: Path) -> Experiment:
    """The experiment of a run folder. Raises FileNotFoundError with the way out."""
    path = run_dir / "config.json"
    if not path.exists():
        raise FileNotFoundError(f"{path} is missing: {run_dir} is not a run of `surgzoo train`")
    return config_lib.from_dict(Experiment, json.loads(path.read_text(encoding="utf-8")))


@dataclasses.dataclass(frozen=True)
class Result:
    """Where things are, the table of headline numbers as text, and pitfalls of the numbers."""

    folder: Path
    table: str
    report: Path | None
    findings: tuple[findings.Finding, ...] = ()


def evaluate(
    run_dir: str | Path,
    *,
    data_dir: str | None = None,
    step: int | None = None,
    report: bool = True,
    **changes: Any,
) -> Result:
    """Predicts, scores and reports one checkpoint of a run into `<run_dir>/eval-<split>`, with
    the ways of decoding in the folder's name where they are not greedy.

    `changes` replace fields of the experiment's EvalConfig. Raises FileNotFoundError when the run
    has no checkpoint, NotPreparedError when a source is missing.
    """
    run_dir = Path(run_dir)
    experiment = load_experiment(run_dir)
    settings = dataclasses.replace(experiment.eval, **changes)
    data_dir = data_dir or experiment.data.data_dir
    decoding = decoding_of(settings)
    stores = pipeline.Stores(data_dir)
    wording = dataclasses.replace(
        experiment.data.wording, protocol=settings.protocol, thinking=False
    )

    items = questions(
        stores,
        settings.sources,
        settings.tasks,
        settings.split,
        scheme=settings.scheme,
        wording=wording,
        limit=settings.limit,
    )
    found = restore(run_dir, experiment, step)
    folder = run_dir / f"eval-{settings.split}{decoding.tag()}"
    name = found.name
    answer(found, items, stores, folder / "predictions.jsonl", settings)
    pitfalls = _pitfalls(run_dir, experiment, found, settings, stores)
    findings.save(pitfalls, folder / "findings.json")
    if settings.split in ("test", "all"):
        findings.record(run_dir, found.step, settings.split)
    page = None
    if report:
        page = write_report(
            folder / "predictions.jsonl",
            data_dir,
            folder,
            run_dir=run_dir,
            split=settings.split,
            scheme=settings.scheme,
            wording=wording,
            title=name,
            checkpoint=f"step {found.step}",
            date=datetime.date.today().isoformat(),
        )
        table = (folder / "summary.md").read_text(encoding="utf-8")
    else:
        scores = score(
            folder / "predictions.jsonl",
            data_dir,
            split=settings.split,
            scheme=settings.scheme,
            wording=wording,
        )
        scores.save(folder / "scores.json")
        table = tables.summary(scores, {})
    return Result(folder, table, page, pitfalls)


def evaluate_benchmark(
    run_dir: str | Path,
    name: str,
    *,
    data_dir: str | None = None,
    step: int | None = None,
    protocol: Protocol | None = None,
    sets: Sequence[str] = (),
    limit: int | None = None,
    batch_size: int | None = None,
    **changes: Any,
) -> BenchmarkResult:
    """Asks one checkpoint of a run the questions of a benchmark and scores the answers.

    Writes predictions.jsonl, benchmark.json and benchmark.md into
    `<run_dir>/bench-<name>-<protocol>`. `changes` replace fields of the experiment's EvalConfig.
    What the run was trained on and how its checkpoint was chosen come from its config and its
    folder. Raises as `evaluate` does, and ValueError when no set can be asked.
    """
    run_dir = Path(run_dir)
    experiment = load_experiment(run_dir)
    settings = experiment.eval
    if batch_size is not None:
        changes["batch_size"] = batch_size
    settings = dataclasses.replace(settings, **changes)
    decoding = decoding_of(settings)
    asked = running.ask(
        name,
        data_dir or experiment.data.data_dir,
        protocol=protocol or settings.protocol,
        sets=sets,
        limit=limit,
    )
    if not asked.truths:
        raise ValueError(f"nothing to ask of {name}:\n{running.describe(asked)}")
    found = restore(run_dir, experiment, step)
    folder = run_dir / f"bench-{name}-{asked.protocol}{decoding.tag()}"
    path = folder / "predictions.jsonl"
    answer(found, asked.conversations(), pipeline.Stores(asked.data_dir), path, settings)
    result = running.score(
        asked,
        list(read_predictions(path)),
        training=training_of(experiment),
        selection=_selection(run_dir, experiment, found),
        folder=folder,
    )
    result.save(folder / "benchmark.json")
    findings.record(run_dir, found.step, name)
    return result


def _selection(run_dir: Path, experiment: Experiment, found: Restored) -> list[findings.Finding]:
    """How this checkpoint was chosen among those of its run."""
    return findings.selection_of_run(run_dir, found.step, found.meta, experiment.steps)


def _pitfalls(
    run_dir: Path,
    experiment: Experiment,
    found: Restored,
    settings: EvalConfig,
    stores: pipeline.Stores,
) -> tuple[findings.Finding, ...]:
    """What a reader of the scores must know; nothing where the training split itself is asked."""
    if settings.split == "train":
        return ()
    tested = {
        source: [v.video for v in stores(source).select(settings.split, settings.scheme)]
        for source in settings.sources
    }
    leaks = findings.leakage(training_of(experiment), tested)
    chosen = _selection(run_dir, experiment, found) if settings.split in ("test", "all") else []
    return tuple([*leaks, *chosen])


def training_of(experiment: Experiment) -> findings.Training:
    """The videos of a run's mixture; weights that it began with are of unknown training."""
    stores = pipeline.Stores(experiment.data.data_dir)
    videos, unclear = [], []
    for part in experiment.data.mixture:
        try:
            videos += pipeline.videos(part, stores)
        except NotPreparedError:
            unclear.append(
                f"{part.name} of the training mixture is no longer in "
                f"{experiment.data.data_dir}: which of its videos were trained on is unknown"
            )
    if experiment.model.weights:
        unclear.append(
            f"the run began with the weights {experiment.model.weights}: what those were trained "
            "on is not declared"
        )
    return findings.of_videos(videos, unclear)
