"""Cross-validation of an experiment: every operation is tested once, by a model that never saw it.

A fold is a run of its own, in a folder named by its split scheme (`db/folds.py`), such as
`<run_dir>/cv10.3`. What all folds answer to their test operations is joined in `<run_dir>/pooled`
and scored as one predictions file: each operation counts once, whatever the sizes of the folds. A
pooled AUROC compares scores of different models, so it is low where the folds disagree about how
sure to be; the spread over the folds stands beside it. Thresholds are of one model too: each fold
chooses its own on its validation operations, and what they bring is told over the folds.
"""

from __future__ import annotations

import dataclasses
import statistics
from collections.abc import Iterator
from pathlib import Path

from surgzoo.data.conversations import address
from surgzoo.data.media import Stores
from surgzoo.db import folds
from surgzoo.evaluate import run
from surgzoo.evaluate.predictions import Prediction, PredictionsError, read_predictions, to_line
from surgzoo.evaluate.report import report, tables, words
from surgzoo.evaluate.scores import Scores
from surgzoo.train.experiment import Experiment
from surgzoo.train.loop import train

POOLED = "pooled"


@dataclasses.dataclass(frozen=True)
class Pooled:
    """Where the joined answers and their report are, the table, and the folds' own scores."""

    folder: Path
    table: str
    folds: dict[str, Scores]

    @property
    def spread(self) -> str:
        """Mean and deviation over the folds, a line a number: of the headline of each task, and
        where answers have scores of the mean AUROC, sensitivity, specificity and Youden index, the
        last three with the thresholds that a fold chose, where it did."""
        found: dict[tuple[str, str], list[float | None]] = {}
        for scores in self.folds.values():
            for row in scores.select("all"):
                found.setdefault((row.task, row.headline), []).append(row.value)
            for task, classes in scores.classes.items():
                mean = classes[-1]
                found.setdefault((task, "auroc"), []).append(mean.auroc.value)
                for metric in ("sensitivity", "specificity", "youden"):
                    name = f"{metric} at the {mean.said}"
                    found.setdefault((task, name), []).append(getattr(mean, metric).value)
        lines = []
        for (task, metric), values in found.items():
            known = [value for value in values if value is not None]
            if len(known) > 1:
                unit = tables.unit(task, metric)
                mean, deviation = statistics.mean(known), statistics.stdev(known)
                lines.append(
                    f"{words.title(task)}, {words.title(metric)} of {len(known)} folds: mean "
                    f"{words.figure(mean, unit)}, deviation {words.figure(deviation, unit)}"
                )
        return "\n".join(lines)


def of_fold(experiment: Experiment, scheme: str) -> Experiment:
    """The experiment that trains and tests under one fold's scheme, which its name then says."""
    mixture = tuple(dataclasses.replace(p, scheme=scheme) for p in experiment.data.mixture)
    return dataclasses.replace(
        experiment,
        name=f"{experiment.name}-{scheme}",
        data=dataclasses.replace(experiment.data, mixture=mixture),
        eval=dataclasses.replace(experiment.eval, scheme=scheme, split="test"),
    )


def run_fold(experiment: Experiment, run_dir: str | Path, scheme: str) -> run.Result:
    """Trains one fold and lets it answer its validation operations, where thresholds are chosen,
    and its test operations; continues what was cut off."""
    folder = Path(run_dir) / scheme
    train(of_fold(experiment, scheme), folder)
    run.evaluate(folder, split="val", report=False)
    return run.evaluate(folder, report=False)


def answered(experiment: Experiment, run_dir: str | Path, scheme: str) -> bool:
    """Whether a fold of this very experiment is trained to its end, and its answers are scored."""
    fold, folder = of_fold(experiment, scheme), Path(run_dir) / scheme
    scores = run.folder_of(folder, fold.eval) / "scores.json"
    if not scores.exists() or run.load_experiment(folder) != fold:
        return False
    return Scores.load(scores).models == [f"{fold.model.name}/{fold.name}@{fold.steps}"]


def pool(experiment: Experiment, run_dir: str | Path, whole: str) -> Pooled:
    """Joins and scores the answers of all folds of `whole` ("cv10").

    Raises FileNotFoundError, naming the folds, when one has not answered yet, or was run with other
    settings, PredictionsError for an answer about an operation that its fold does not test.
    """
    run_dir, settings = Path(run_dir), experiment.eval
    places = {
        scheme: run.folder_of(run_dir / scheme, of_fold(experiment, scheme).eval)
        for scheme in folds.schemes(whole)
    }
    missing = [scheme for scheme in places if not answered(experiment, run_dir, scheme)]
    if missing:
        raise FileNotFoundError(
            f"{run_dir}: {', '.join(missing)} of {len(places)} folds have not answered yet, with "
            "these settings; run surgzoo cross_validate again, with the same ones"
        )
    stores = Stores(experiment.data.data_dir)
    folder = run_dir / POOLED
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "predictions.jsonl"
    with open(path, "w", encoding="utf-8", newline="\n") as file:
        for scheme, place in places.items():
            for found in _tested(place / "predictions.jsonl", stores, scheme):
                file.write(to_line(found) + "\n")
    wording = dataclasses.replace(
        experiment.data.wording, protocol=settings.protocol, thinking=False
    )
    report(
        path,
        experiment.data.data_dir,
        folder,
        split="test",
        scheme=whole,
        wording=wording,
        title=f"{experiment.model.name}/{experiment.name}, {len(places)} folds",
    )
    table = (folder / "summary.md").read_text(encoding="utf-8")
    own = {scheme: Scores.load(place / "scores.json") for scheme, place in places.items()}
    return Pooled(folder, table, own)


def _tested(path: Path, stores: Stores, scheme: str) -> Iterator[Prediction]:
    """The answers of a fold, each about a video that the fold tests."""
    for found in read_predictions(path):
        source, config, video = address(found.id)[:3]
        store = stores(source, config)
        split = store.split_of(store.video(video), scheme)
        if split != "test":
            raise PredictionsError(
                f"{path} answers {found.id}, whose video is in split '{split}' of {scheme}: these "
                "are not the answers of this fold. Remove its folder and run it again"
            )
        yield found
