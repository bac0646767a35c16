"""Scores of a predictions file: needs the file and the prepared data, no model.

The true answers are made again from the data, every text is parsed again by its task, and the
task's own metrics are computed over everything, per source, per procedure and per video. An
unparsed answer counts as wrong. A conversation without a prediction is reported, and counts as
wrong on request.
"""

from __future__ import annotations

import collections
import dataclasses
import difflib
import json
import math
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple, get_args

import numpy as np

from surgzoo.data.conversations import address
from surgzoo.db import schema
from surgzoo.db.store import NotPreparedError, Store, newest
from surgzoo.evaluate import operating, workflow
from surgzoo.evaluate.pixels import Judge
from surgzoo.evaluate.predictions import Prediction, PredictionsError, read_predictions
from surgzoo.evaluate.truth import Truth, load_truth, named, place, uncollected
from surgzoo.metrics import bootstrap
from surgzoo.tasks.base import Parsed, Scored, Task
from surgzoo.tasks.pixels import PixelTask
from surgzoo.tasks.wording import Wording

Group = Literal["all", "source", "specialty", "procedure", "video"]
Policy = Literal["report", "wrong"]

FEWEST_VIDEOS = 5  # operations; below this an interval over them would say nothing


@dataclasses.dataclass(frozen=True)
class Graded:
    """A conversation, what was predicted for it and the answer that scoring read from it."""

    conversation: schema.Conversation
    prediction: Prediction
    answer: Any | None  # None = unparsed; of a pixel task the numbers of its comparison
    error: str | None  # why it is unparsed


@dataclasses.dataclass(frozen=True)
class Row:
    """The scores of one task on one group of conversations.

    `group` says what `name` is: "all", a source ("source.config"), a procedure or a video (its
    place). `interval` is the 95 % bootstrap interval of the headline over operations, None for few
    of them (FEWEST_VIDEOS) and for a single video. A metric that is undefined on the group (NaN) is
    None. `latency` is the mean in seconds.
    """

    task: str
    group: Group
    name: str
    headline: str
    metrics: dict[str, float | None]
    expected: int
    predicted: int
    unparsed: int
    reasons: dict[str, int]
    latency: float | None = None
    interval: tuple[float, float] | None = None

    @property
    def value(self) -> float | None:
        """The headline metric."""
        return self.metrics.get(self.headline)

    @property
    def missing(self) -> int:
        return self.expected - self.predicted


@dataclasses.dataclass(frozen=True)
class Scores:
    """What `scores.json` holds: a row for each task and group, and what did not fit the data."""

    models: list[str]
    split: str
    scheme: str
    missing: Policy
    rows: list[Row]
    unknown: list[str]  # ids that name no conversation
    outside: int  # predictions on videos of other splits
    # Task -> how its answers were decoded -> how many of them; empty where nobody says.
    decoding: dict[str, dict[str, int]] = dataclasses.field(default_factory=dict)
    # Task -> each answer against all others, where all answers have scores.
    classes: dict[str, list[operating.ClassRow]] = dataclasses.field(default_factory=dict)

    def row(self, task: str, group: Group = "all", name: str = "all") -> Row:
        """Raises KeyError when there is no such row."""
        for row in self.rows:
            if (row.task, row.group, row.name) == (task, group, name):
                return row
        raise KeyError(f"no scores of {task} for {group} {name}")

    def select(self, group: Group, task: str | None = None) -> list[Row]:
        """The rows of one kind of group, of one task or of all."""
        return [row for row in self.rows if row.group == group and task in (None, row.task)]

    @property
    def tasks(self) -> list[str]:
        return [row.task for row in self.select("all")]

    def save(self, path: str | Path) -> None:
        """Writes `scores.json`."""
        text = json.dumps(dataclasses.asdict(self), indent=1, ensure_ascii=False, allow_nan=False)
        Path(path).write_text(text + "\n", encoding="utf-8")

    @classmethod
    def load(cls, path: str | Path) -> Scores:
        """Reads what `save` wrote."""
        values = json.loads(Path(path).read_text(encoding="utf-8"))
        rows = [
            Row(**{**row, "interval": row["interval"] and tuple(row["interval"])})
            for row in values.pop("rows")
        ]
        classes = operating.read_rows(values.pop("classes", {}))
        return cls(rows=rows, classes=classes, **values)


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
        rows += _task_rows(truth, task, graded, missing, groups)
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


class Grading(NamedTuple):
    """What `grade` read: id -> graded, ids of no conversation, places outside the split -> number
    of predictions on them."""

    graded: dict[str, Graded]
    strangers: list[str]
    outside: collections.Counter[str]


def grade(
    predictions: Iterable[Prediction], truth: Truth, folder: str | Path | None = None
) -> Grading:
    """Parses every answer; one in pixels is loaded, compared and kept as the numbers of that.

    `folder` is where the predictions file lies, which paths of images and videos are relative to.
    """
    graded: dict[str, Graded] = {}
    strangers: list[str] = []
    outside: collections.Counter[str] = collections.Counter()
    judge = Judge(truth.stores, folder)
    # Models repeat themselves, and a text is read alike wherever options and choices are the same.
    known: dict[tuple, Parsed] = {}
    for prediction in predictions:
        conversation = truth.conversations.get(prediction.id)
        if conversation is not None:
            check_scores(prediction, conversation)
            task = truth.tasks[conversation.task]
            if isinstance(task, PixelTask):
                parsed = judge.grade(task, conversation, prediction)
            elif prediction.text is None:
                parsed = read_answer(prediction, conversation, task)
            else:
                alike = task.name, prediction.text, conversation.options, conversation.choices
                parsed = known.get(alike)
                if parsed is None:
                    parsed = known[alike] = task.parse(prediction.text, conversation)
            graded[prediction.id] = Graded(conversation, prediction, *parsed)
        elif place(prediction.id) in truth.others:
            outside[place(prediction.id)] += 1
        else:
            strangers.append(prediction.id)
    return Grading(graded, strangers, outside)


def check_scores(prediction: Prediction, conversation: schema.Conversation) -> None:
    """Raises PredictionsError for a score of a label that is not an option of the question."""
    if not prediction.scores:
        return
    unknown = sorted(set(prediction.scores) - set(conversation.options))
    if unknown:
        near = difflib.get_close_matches(unknown[0], conversation.options, 1, 0)
        raise PredictionsError(
            f"{prediction.id} scores '{unknown[0]}', which is not an option of the question"
            + (f"; the nearest one is '{near[0]}'" if near else "")
        )


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


def read_answer(prediction: Prediction, conversation: schema.Conversation, task: Task) -> Parsed:
    """The answer in the text; without a text the structured one of the file, if it has the form."""
    if prediction.text is not None:
        return task.parse(prediction.text, conversation)
    if prediction.answer is None:
        return Parsed(None, prediction.error or "no text")
    try:
        text = task.render(prediction.answer)
    except (TypeError, ValueError, AttributeError, IndexError, KeyError):
        return Parsed(None, f"'answer' does not have the form of {task.answer_form}")
    # Parsing the rendered text checks names and numbers; the answer itself is what counts, because
    # rendering rounds boxes.
    parsed = task.parse(text, conversation)
    return parsed if parsed.answer is None else Parsed(prediction.answer)


# ---- rows ----------------------------------------------------------------------------------------


def _task_rows(
    truth: Truth, task: str, graded: dict[str, Graded], missing: Policy, groups: Collection[Group]
) -> list[Row]:
    """All rows of one task: everything, then the groups in the order of `Group`, as stored."""
    members: dict[tuple[Group, str], list[str]] = collections.defaultdict(list)
    for id, conversation in truth.conversations.items():
        if conversation.task == task:
            members["all", "all"].append(id)
            members["source", id.split("/", 1)[0]].append(id)
            members["specialty", truth.video(id).specialty].append(id)
            members["procedure", truth.video(id).procedure].append(id)
            members["video", place(id)].append(id)
    order: tuple[Group, ...] = get_args(Group)
    keys = sorted(members, key=lambda key: order.index(key[0]))  # stable: stored order inside
    rows: list[Row] = []
    for key in keys:
        if key[0] not in groups:
            continue
        if rows and len(members[key]) == rows[0].expected:  # one source, one procedure: the same
            rows.append(dataclasses.replace(rows[0], group=key[0], name=key[1]))
        else:
            rows.append(_row(truth, task, key, members[key], graded, missing))
    return rows


def tallies(
    truth: Truth, task: str, scored: Iterable[tuple[str, Scored]]
) -> dict[str, dict[str, tuple[float, float]]]:
    """Operation (canonical id, so that two sources with one patient count once) -> `Task.tally`."""
    operations: dict[str, list[Scored]] = collections.defaultdict(list)
    for id, item in scored:
        operations[truth.video(id).canonical].append(item)
    rule = truth.tasks[task]
    return {name: rule.tally(items) for name, items in operations.items()}


def stacked(
    found: Mapping[str, Mapping[str, tuple[float, float]]], parts: Sequence[str] | None = None
) -> np.ndarray:
    """Tallies as an array [operations, parts, 2], for `metrics/bootstrap.py`."""
    if parts is None:
        parts = sorted({part for tally in found.values() for part in tally})
    return np.array(
        [[tally.get(part, (0.0, 0.0)) for part in parts] for tally in found.values()], float
    )


def _row(
    truth: Truth,
    name: str,
    key: tuple[Group, str],
    ids: list[str],
    graded: dict[str, Graded],
    missing: Policy,
) -> Row:
    task = truth.tasks[name]
    answered = [graded[id] for id in ids if id in graded]
    counted = ids if missing == "wrong" else [id for id in ids if id in graded]
    scored = [
        Scored(truth.conversations[id], graded[id].answer, graded[id].prediction.scores)
        if id in graded
        else Scored(truth.conversations[id], None)
        for id in counted
    ]
    metrics = task.metrics(scored) if scored else {}
    metrics |= workflow.metrics(truth, task, zip(counted, scored, strict=True))
    unparsed = [item for item in answered if item.answer is None]
    latencies = [i.prediction.latency for i in answered if i.prediction.latency is not None]
    return Row(
        task=task.name,
        group=key[0],
        name=key[1],
        headline=task.headline,
        metrics={name: _finite(value) for name, value in metrics.items()},
        expected=len(ids),
        predicted=len(answered),
        unparsed=len(unparsed),
        reasons=count_reasons(item.error for item in unparsed),
        latency=sum(latencies) / len(latencies) if latencies else None,
        interval=None if key[0] == "video" else _interval(truth, name, counted, scored),
    )


def count_reasons(errors: Iterable[str | None]) -> dict[str, int]:
    """How often each reason occurs, most frequent first, without what it quotes of the text."""
    quoted = re.compile(r":? ?(?:'[^']*'|\"[^\"]*\")(?:, (?:'[^']*'|\"[^\"]*\"))*")
    counts = collections.Counter(quoted.sub("", error or "no reason given") for error in errors)
    return dict(counts.most_common())


def _finite(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None


def _interval(
    truth: Truth, task: str, ids: Sequence[str], scored: Sequence[Scored]
) -> tuple[float, float] | None:
    """95 % interval of the headline over operations; None for fewer than FEWEST_VIDEOS."""
    found = tallies(truth, task, zip(ids, scored, strict=True))
    return bootstrap.interval(stacked(found)) if len(found) >= FEWEST_VIDEOS else None
