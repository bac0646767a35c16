"""Evaluating a run of `train/loop.py`: checkpoint -> predictions -> scores -> report."""

from __future__ import annotations

import dataclasses
import datetime
import json
from pathlib import Path
from typing import Any

import jax

from surgzoo.core import config as config_lib
from surgzoo.core import parallel
from surgzoo.data import pipeline
from surgzoo.data.conversations import conversations
from surgzoo.evaluate.predict import predict
from surgzoo.evaluate.report import report as write_report
from surgzoo.evaluate.report import tables
from surgzoo.evaluate.score import score
from surgzoo.models.build import model_config
from surgzoo.train.checkpoint import Checkpointer
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

    mesh = parallel.make_mesh(**dataclasses.asdict(experiment.mesh))
    architecture = model_config(experiment.model.name, experiment.model.overrides)
    model = architecture.build()
    processor = architecture.processor(experiment.model.tokenizer or experiment.model.weights)
    checkpoints = Checkpointer(run_dir / "checkpoints")
    step = step if step is not None else checkpoints.latest
    if step is None:
        raise FileNotFoundError(f"{run_dir / 'checkpoints'} holds no finished checkpoint")
    shapes = model.abstract()
    shardings = parallel.shardings(parallel.param_specs(shapes, model.logical_axes(), mesh), mesh)
    abstract = jax.tree.map(
        lambda leaf, s: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=s), shapes, shardings
    )
    params = checkpoints.restore_params(abstract, step)
    checkpoints.close()

    folder = run_dir / f"eval-{settings.split}"
    name = f"{experiment.model.name}/{experiment.name}@{step}"
    predict(
        model,
        params,
        processor,
        items,
        stores,
        folder / "predictions.jsonl",
        name=name,
        mesh=mesh,
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


def take(items: list, limit: int | None) -> list:
    """At most `limit` items, evenly spaced, so that every video keeps its share."""
    if limit is None or len(items) <= limit:
        return items
    return [items[i * len(items) // limit] for i in range(limit)]
