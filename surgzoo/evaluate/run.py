"""Evaluating a run of `train/loop.py`: checkpoint -> predictions -> scores -> report."""

from __future__ import annotations

import dataclasses
import datetime
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from surgzoo.core import config as config_lib
from surgzoo.data import features, mixture
from surgzoo.data.media import Stores
from surgzoo.db import schema
from surgzoo.db.store import NotPreparedError
from surgzoo.evaluate import findings
from surgzoo.evaluate.benchmarks import running
from surgzoo.evaluate.benchmarks.definition import Protocol
from surgzoo.evaluate.benchmarks.result import BenchmarkResult
from surgzoo.evaluate.predictions import read_predictions
from surgzoo.evaluate.predictors.local import Restored, answer, decoding_of, restore, to_answer
from surgzoo.evaluate.predictors.questions import questions
from surgzoo.evaluate.report import report as write_report
from surgzoo.evaluate.report import tables
from surgzoo.evaluate.score import score
from surgzoo.models import models
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
    the ways of decoding in the folder's name where they are not greedy, and the file of prompts,
    "-recognised" where a planner was given a predictions file. What the same checkpoint answered to
    split "val" chooses the thresholds of labels (`evaluate/operating.py`).

    `changes` replace fields of the experiment's EvalConfig. Raises FileNotFoundError when the run
    has no checkpoint, NotPreparedError when a source is missing.
    """
    run_dir = Path(run_dir)
    experiment = load_experiment(run_dir)
    settings = dataclasses.replace(experiment.eval, **changes)
    data_dir = data_dir or experiment.data.data_dir
    folder = folder_of(run_dir, settings)
    stores = Stores(data_dir)
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
    found = to_answer(restore(run_dir, experiment, step))
    name = found.name
    validation = _validation(run_dir, found, settings)
    answer(found, items, stores, folder / "predictions.jsonl", settings)
    known = pitfalls(run_dir, experiment, found, settings, stores)
    findings.save(known, folder / "findings.json")
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
            validation=validation,
        )
        table = (folder / "summary.md").read_text(encoding="utf-8")
    else:
        scores = score(
            folder / "predictions.jsonl",
            data_dir,
            split=settings.split,
            scheme=settings.scheme,
            wording=wording,
            validation=validation,
        )
        scores.save(folder / "scores.json")
        table = tables.summary(scores, {})
    return Result(folder, table, page, known)


def folder_of(run_dir: Path, settings: EvalConfig) -> Path:
    """Where `evaluate` writes. Raises as `decoding_of`."""
    tag = decoding_of(settings).tag() + _prompts_tag(settings)
    return run_dir / f"eval-{settings.split}{tag}{'-recognised' if settings.history else ''}"


def _validation(run_dir: Path, found: Restored, settings: EvalConfig) -> Path | None:
    """The file of validation answers, where it is there, of this checkpoint, and with scores."""
    folder = folder_of(run_dir, dataclasses.replace(settings, split="val"))
    path = folder / "predictions.jsonl"
    if settings.split != "test" or not path.exists():
        return None
    given = list(read_predictions(path))
    fit = given and all(p.model == found.name for p in given)
    return path if fit and any(p.scores for p in given) else None


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
    found = to_answer(restore(run_dir, experiment, step))
    folder = run_dir / f"bench-{name}-{asked.protocol}{decoding.tag()}{_prompts_tag(settings)}"
    path = folder / "predictions.jsonl"
    answer(found, asked.conversations(), Stores(asked.data_dir), path, settings)
    result = running.score(
        asked,
        list(read_predictions(path)),
        training=training_of(experiment, asked.data_dir),
        selection=_selection(run_dir, experiment, found),
        folder=folder,
    )
    result.save(folder / "benchmark.json")
    findings.record(run_dir, found.step, name)
    return result


def _prompts_tag(settings: EvalConfig) -> str:
    """What a folder's name says of the file of sentences; answers by two are never mixed."""
    return f"-{Path(settings.prompts).stem}" if settings.prompts else ""


def _selection(run_dir: Path, experiment: Experiment, found: Restored) -> list[findings.Finding]:
    """How this checkpoint was chosen among those of its run."""
    return findings.selection_of_run(run_dir, found.step, found.meta, experiment.steps)


def pitfalls(
    run_dir: Path,
    experiment: Experiment,
    found: Restored,
    settings: EvalConfig,
    stores: Stores,
) -> tuple[findings.Finding, ...]:
    """What a reader of the scores must know; nothing where the training split itself is asked."""
    if settings.split == "train":
        return ()
    tested = {
        source: [v.video for v in stores(source).select(settings.split, settings.scheme)]
        for source in settings.sources
    }
    leaks = findings.leakage(training_of(experiment, stores.data_dir), tested)
    chosen = _selection(run_dir, experiment, found) if settings.split in ("test", "all") else []
    return tuple([*leaks, *chosen])


def _of_encoder(experiment: Experiment) -> tuple[list[schema.Video], list[str]]:
    """What the encoder of the features that a run reads was trained on, and what is unclear."""
    data = experiment.data
    if data.features and not features.folder(data.data_dir, data.features).is_dir():
        return [], [
            f"the features '{data.features}' are no longer in {data.data_dir}: what their encoder "
            "was trained on is unknown"
        ]
    return features.encoder_videos(data.data_dir, data.features)


def training_of(experiment: Experiment, elsewhere: str | Path = "") -> findings.Training:
    """The videos of a run's mixture, and what is known of weights that it began with.

    They are looked up in the run's folder of data or, where that is gone, `elsewhere`.
    """
    if elsewhere and not Path(experiment.data.data_dir).is_dir():
        data = dataclasses.replace(experiment.data, data_dir=str(elsewhere))
        experiment = dataclasses.replace(experiment, data=data)
    stores = Stores(experiment.data.data_dir)
    videos, unclear = _of_encoder(experiment)
    for part in experiment.data.mixture:
        try:
            videos += mixture.videos(part, stores)
        except NotPreparedError:
            unclear.append(
                f"{part.name} of the training mixture is no longer in "
                f"{experiment.data.data_dir}: which of its videos were trained on is unknown"
            )
    training = findings.of_videos(videos, unclear)
    settings = experiment.model
    if not settings.weights:
        return training
    before = of_weights(settings.name, settings.weights, experiment.data.data_dir)
    return findings.joined(training, before)


def of_weights(
    name: str, weights: str, data_dir: str | Path, declared: Sequence[str] = ()
) -> findings.Training:
    """What weights of the model `name` have seen: what is `declared` (sources or files), and what
    its card says of known ones."""
    details = models.entry(name).card.details
    seen = findings.declared((*details.get("trained_on", ()), *declared), data_dir)
    known = details.get("pre_training", "")
    if known:
        text = f"the weights {weights}; what the known ones of {name} have seen: {known}"
    elif declared:
        return seen
    else:
        text = f"the weights {weights}: what those were trained on is not declared"
    return findings.Training(seen.operations, (text, *seen.unclear))
