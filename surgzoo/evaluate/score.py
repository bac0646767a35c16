"""Scores of a predictions file: needs the file and the prepared data, no model.

The true answers are made again from the data, every text is parsed again by its task, and the
task's own metrics are computed over everything, per source, per procedure and per video. An
unparsed answer counts as wrong. A conversation without a prediction is reported, and counts as
wrong on request.

`grade.py` reads the answers, `task_rows.py` scores a task, `scores.py` is what comes out.
"""

from __future__ import annotations

import collections
import difflib
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Literal, get_args

from surgzoo.data.conversations import address
from surgzoo.db.store import NotPreparedError, Store, newest
from surgzoo.evaluate import operating
from surgzoo.evaluate.grade import Grading, grade
from surgzoo.evaluate.intervals import FEWEST_VIDEOS
from surgzoo.evaluate.predictions import Prediction, PredictionsError, read_predictions
from surgzoo.evaluate.scores import Group, Policy, Scores
from surgzoo.evaluate.task_rows import task_rows
from surgzoo.evaluate.truth import Truth, load_truth, named, place, uncollected
from surgzoo.tasks.wording import Wording


def score(
    predictions: str | Path,
    data_dir: str | Path,
    *,
    split: str = "test",
    scheme: str = "default",
    sources: Sequence[str] | None = None,
    tasks: Sequence[str] | None = None,
    wording: Wording | None = None,
    missing: Policy = "report",
    unknown: Literal["error", "report"] = "error",
    validation: str | Path | None = None,
) -> Scores:
    """Scores a predictions file against the prepared data below `data_dir`.

    Args:
      predictions: the file.
      data_dir: where the sources were prepared.
      split, scheme: which videos count. "all" takes every video.
      sources, tasks: what the predictions should cover ("source.config", task names). By default
        what their ids name.
      wording: how the questions were put; answers to listed choices need it.
      missing: "wrong" counts a conversation without prediction as a wrong answer.
      unknown: "report" lists ids that name no conversation in `Scores.unknown` instead of raising.
      validation: the same model's predictions on split "val"; see `thresholds`.

    Raises PredictionsError (damaged lines, duplicates, unknown ids, nothing to score) and
    NotPreparedError.
    """
    items, truth = read_all(
        predictions,
        data_dir,
        split=split,
        scheme=scheme,
        sources=sources,
        tasks=tasks,
        wording=wording,
    )
    folder = Path(predictions).parent
    chosen = thresholds(validation, items, truth, data_dir, wording) if validation else None
    return score_predictions(
        items, truth, missing=missing, unknown=unknown, folder=folder, chosen=chosen
    )


def thresholds(
    validation: str | Path,
    items: Sequence[Prediction],
    truth: Truth,
    data_dir: str | Path,
    wording: Wording | None = None,
) -> operating.Thresholds:
    """From which score on each label is said: chosen on the predictions of split "val".

    `items` and `truth` are what is going to be judged. Raises PredictionsError for answers of
    another model, ValueError where the validation operations are among those judged.
    """
    if truth.split != "test":
        raise ValueError(
            f"thresholds are chosen on split 'val' to be judged on 'test', not on '{truth.split}'"
        )
    found, there = read_all(validation, data_dir, split="val", scheme=truth.scheme, wording=wording)
    models = [sorted({item.model for item in side}) for side in (found, items)]
    if models[0] != models[1]:
        raise PredictionsError(
            f"{validation} holds answers of {', '.join(models[0])}; those that are scored are of "
            f"{', '.join(models[1])}. A threshold comes from the same model."
        )
    chosen = operating.thresholds_of(there, grade(found, there, Path(validation).parent).graded)
    if not chosen:
        raise PredictionsError(
            f"{validation} holds no answers with scores on split 'val' ({truth.scheme}): nothing "
            "to choose thresholds by"
        )
    return chosen


@uncollected()
def read_all(
    predictions: str | Path,
    data_dir: str | Path,
    *,
    split: str,
    scheme: str,
    sources: Sequence[str] | None = None,
    tasks: Sequence[str] | None = None,
    wording: Wording | None = None,
) -> tuple[list[Prediction], Truth]:
    """A predictions file and the truth that it is to be compared with. Raises as `score` does."""
    items = list(read_predictions(predictions))
    if not items:
        raise PredictionsError(f"{predictions} holds no prediction")
    named_sources, named_tasks = named(item.id for item in items)
    if not sources:
        for name in named_sources:
            _check_rate(data_dir, name)
    truth = load_truth(
        data_dir,
        sources or named_sources,
        tasks or named_tasks,
        split=split,
        scheme=scheme,
        wording=wording,
    )
    return items, truth


def _check_rate(data_dir: str | Path, name: str) -> None:
    """Raises NotPreparedError where ids name another config, so another rate, than is prepared."""
    source, config = name.split(".", 1)
    parent = Path(data_dir).expanduser() / source
    there = sorted(folder.name for folder in parent.glob("*") if newest(folder))
    if not there or config in there:
        return
    rates = [f"{c} ({Store(newest(parent / c)).videos[0].video.fps:g} a second)" for c in there]
    raise NotPreparedError(
        f"the predictions are on '{name}', but of {source} {', '.join(rates)} is what {data_dir} "
        "holds. Ids count frames at the rate of their config, so one cannot be scored on another. "
        f"Run `surgzoo prepare --source={source} --builder_config={config} --data_dir={data_dir}`, "
        "or predict on what is there."
    )


@uncollected()
def score_predictions(
    predictions: Iterable[Prediction],
    truth: Truth,
    *,
    missing: Policy = "report",
    unknown: Literal["error", "report"] = "error",
    folder: str | Path | None = None,
    groups: Collection[Group] = get_args(Group),
    chosen: operating.Thresholds | None = None,
) -> Scores:
    """As `score`, for predictions and truth that are already in memory; `folder` as in `grade`,
    `groups` and `chosen` as in `score_graded`."""
    grading = grade(predictions, truth, folder)
    return score_graded(
        grading, truth, missing=missing, unknown=unknown, groups=groups, chosen=chosen
    )


@uncollected()
def score_graded(
    grading: Grading,
    truth: Truth,
    *,
    missing: Policy = "report",
    unknown: Literal["error", "report"] = "error",
    groups: Collection[Group] = get_args(Group),
    chosen: operating.Thresholds | None = None,
) -> Scores:
    """As `score`, for answers that `grade` has read; `groups` are the kinds of rows to make, and
    `chosen` what `thresholds` gave."""
    graded, strangers, outside = grading
    if strangers and unknown == "error":
        raise PredictionsError(
            f"{len(strangers)} predictions name no conversation of the prepared data, the first "
            f"{', '.join(strangers[:3])}. {_stranger(truth, strangers[0])} (unknown='report' "
            "scores the others.)"
        )
    if not graded:
        raise PredictionsError(
            f"none of the {len(strangers) + outside.total()} predictions is on a video of split "
            f"'{truth.split}' ({truth.scheme}); {outside.total()} are on videos of other splits"
            + (f" ({found})" if (found := _splits(truth, outside)) else "")
        )
    rows = []
    for task in truth.tasks:
        rows += task_rows(truth, task, graded, missing, groups)
    partly = {row.task for row in rows if row.group == "all" and row.missing}
    classes = operating.rows(truth, graded, chosen, FEWEST_VIDEOS)
    if missing == "wrong":  # a question without an answer has no score either
        classes = {task: found for task, found in classes.items() if task not in partly}
    models = sorted({item.prediction.model for item in graded.values()})
    ways: dict[str, collections.Counter[str]] = {}
    for item in graded.values():
        if item.prediction.decoding is not None:
            ways.setdefault(item.conversation.task, collections.Counter())[
                item.prediction.decoding
            ] += 1
    return Scores(
        models, truth.split, truth.scheme, missing, rows, strangers, outside.total(),
        {task: dict(sorted(found.items())) for task, found in sorted(ways.items())},
        classes,
    )  # fmt: skip


def _stranger(truth: Truth, id: str) -> str:
    """Why an id may name no conversation, with the nearest one that there is."""
    source, config, video, frame, task, _ = address(id)
    where, store = place(id), truth.stores.get(f"{source}.{config}")
    if store is not None and where not in truth.videos:
        near = difflib.get_close_matches(video, [v.video.id for v in store.videos], n=1, cutoff=0)
        return f"{source}.{config} has no video '{video}'; the nearest is '{near[0]}'."
    if where not in truth.videos:
        return f"{source}.{config} is not scored here."
    stored = truth.videos[where]
    if frame >= stored.count:
        return (
            f"Frame {frame} is past the end of {where}, which has {stored.count} at "
            f"{stored.video.fps:g} a second: were the frames taken at another rate?"
        )
    asked = [c for c in truth.conversations if place(c) == where and address(c)[4] == task]
    if not asked:
        return f"There is no question of {task} on {where}."
    near = min(asked, key=lambda c: (abs(address(c)[3] - frame), c))
    return f"The nearest is {near}. Were they made with another version of the task or data?"


def _splits(truth: Truth, places: Mapping[str, int]) -> str:
    """How many predictions are on which split, "200 on 'train'"."""
    counts: collections.Counter[str] = collections.Counter()
    for where, count in places.items():
        source, video = where.split("/", 1)
        store = truth.stores[source]
        counts[store.split_of(store.video(video), truth.scheme) or "none"] += count
    return ", ".join(f"{count} on '{split}'" for split, count in counts.most_common())
