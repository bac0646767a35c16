"""Evaluating a run of `train/loop.py`: checkpoint -> predictions -> scores -> report."""

from __future__ import annotations

import dataclasses
import datetime
import json
from pathlib import Path
from typing import Any

from surgzoo.core import config as config_lib
from surgzoo.data import pipeline
from surgzoo.data.conversations import conversations
from surgzoo.evaluate.predict import predict
from surgzoo.evaluate.predictors.local import restore
from surgzoo.evaluate.predictors.questions import take
from surgzoo.evaluate.report import report as write_report
from surgzoo.evaluate.report import tables
from surgzoo.evaluate.score import score
from surgzoo.train.experiment import Experiment


def load_experiment(run_dir: Path) -> Experiment:
    """The experiment of a run folder. Raises FileNotFoundError with the way out."""
    path = run_dir / "config.json"
    if not path.exists():
        raise FileNotFoundError(f"{path} is missing: {run_dir} is not a run of `surgzoo train`")
    return config_lib.from_dict(Experiment, json.loads(path.read_text(encoding="utf-8")))


@dataclasses.dataclass(frozen=True)
class Result:
    """Where things are and the table of headline numbers as text."""

    folder: Path
    table: str
    report: Path | None


def evaluate(
    run_dir: str | Path,
    *,
    data_dir: str | None = None,
    step: int | None = None,
    report: bool = True,
    **changes: Any,
) -> Result:
    """Predicts, scores and reports one checkpoint of a run into `<run_dir>/eval-<split>`.

    `changes` replace fields of the experiment's EvalConfig. Raises FileNotFoundError when the run
    has no checkpoint, NotPreparedError when a source is missing.
    """
    run_dir = Path(run_dir)
    experiment = load_experiment(run_dir)
    settings = dataclasses.replace(experiment.eval, **changes)
    data_dir = data_dir or experiment.data.data_dir
    stores = pipeline.Stores(data_dir)
    wording = dataclasses.replace(
        experiment.data.wording, protocol=settings.protocol, thinking=False
    )

    items = [
        item
        for source in settings.sources
        for task in settings.tasks
        for item in take(
            list(
                conversations(
                    stores(source), task, settings.split, scheme=settings.scheme, wording=wording
                )
            ),
            settings.limit,
        )
    ]
    if not items:
        raise ValueError(
            f"nothing to ask: {', '.join(settings.sources)} have no {', '.join(settings.tasks)} "
            f"labels in the {settings.split} split"
        )

    found = restore(run_dir, experiment, step)
    step, name = found.step, found.name
    folder = run_dir / f"eval-{settings.split}"
    predict(
        found.model,
        found.params,
        found.processor,
        items,
        stores,
        folder / "predictions.jsonl",
        name=name,
        mesh=found.mesh,
        batch_size=settings.batch_size,
        max_new_tokens=settings.max_new_tokens,
    )
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
            checkpoint=f"step {step}",
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
    return Result(folder, table, page)
