"""Trivial baselines: what a score is worth against a model that never looks at the picture.

A baseline is fitted on the training split's answers and says the same thing to every question of a
kind: one task, source, procedure and set of options ("Where is the hook?" in nephrectomies). So it
knows which operation it is in, and nothing about the frame. Its output is ordinary predictions,
scored like a model's. Baselines are registered by answer form.
"""

from __future__ import annotations

import collections
import dataclasses
import json
import tempfile
import warnings
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, get_args

import cv2
import numpy as np

from surgzoo.data.conversations import of_video
from surgzoo.data.media import MediaReader
from surgzoo.db import folds
from surgzoo.db.schema import Conversation, to_jsonable
from surgzoo.evaluate.predictions import Prediction
from surgzoo.evaluate.score import score_predictions
from surgzoo.evaluate.scores import Group, Policy, Scores
from surgzoo.evaluate.truth import Truth, load_truth, place
from surgzoo.tasks.base import AnswerForm, Task
from surgzoo.tasks.depth_estimation import DepthEstimation
from surgzoo.tasks.pixels import PixelTask, fit, media_of
from surgzoo.tasks.segmentation import Segmentation

# Training answers of one kind of question -> the answer; None for the rule that needs none.
Fit = Callable[[Sequence[Any]], Any] | None


class Baseline(NamedTuple):
    """A named rule, and what it does in words.

    With `by_question` it is fitted on the training answers to the very same question, where there
    are any: still blind, but not deaf. With `by_action` it is of next_action alone, and fitted on
    the answers after the same action as the question's last clip shows: it is told that action.
    """

    name: str
    about: str
    fit: Fit
    by_question: bool = False
    by_action: bool = False


MEANS = 100  # maps of a kind of question that are averaged

BASELINES: dict[AnswerForm, list[Baseline]] = {form: [] for form in get_args(AnswerForm)}


def baseline(
    form: AnswerForm,
    name: str,
    about: str,
    *,
    by_question: bool = False,
    by_action: bool = False,
) -> Callable[[Fit], Fit]:
    """Registers a fit function for one answer form."""

    def register(fit: Fit) -> Fit:
        BASELINES[form].append(Baseline(name, about, fit, by_question, by_action))
        return fit

    return register


@baseline(
    "label",
    "follower",
    "the most frequent action after the one that is shown, which it is told",
    by_action=True,
)
@baseline("label", "majority", "the most frequent label of the training split")
def majority(answers: Sequence[str]) -> str:
    return collections.Counter(answers).most_common(1)[0][0]


@baseline("labels", "frequent set", "the most frequent set of labels of the training split")
@baseline("triplets", "frequent set", "the most frequent set of triplets of the training split")
def frequent_set(answers: Sequence[list]) -> list:
    keys = collections.Counter(json.dumps(sorted(answer)) for answer in answers)
    return json.loads(keys.most_common(1)[0][0])


@baseline("labels", "prior", "the labels that more than half of the training frames show")
@baseline("triplets", "prior", "the triplets that more than half of the training frames show")
def prior(answers: Sequence[list]) -> list:
    counts = collections.Counter(json.dumps(item) for answer in answers for item in answer)
    return [json.loads(key) for key, count in counts.items() if count > len(answers) / 2]


@baseline("boxes", "mean box", "the frequent labels, each at its mean box of the training split")
def mean_box(answers: Sequence[list]) -> list:
    """A mean box for each label in more than half of the frames, or for the most frequent label."""
    boxes: dict[str, list] = collections.defaultdict(list)
    frames: collections.Counter[str] = collections.Counter()
    for answer in answers:
        frames.update({name for name, _ in answer})
        for name, box in answer:
            boxes[name].append(box)
    if not boxes:
        return []
    often = [name for name, count in frames.items() if count > len(answers) / 2]
    names = often or [frames.most_common(1)[0][0]]
    return [[name, [float(v) for v in np.mean(boxes[name], axis=0)]] for name in names]


@baseline("criteria", "majority", "each criterion as in most frames of the training split")
def majority_criteria(answers: Sequence[list]) -> list:
    """A tie counts as not met: it is the safe answer."""
    votes: dict[str, list[bool]] = collections.defaultdict(list)
    for answer in answers:
        for name, met in answer:
            votes[name].append(met)
    return [[name, sum(met) > len(met) / 2] for name, met in votes.items()]


@baseline(
    "vqa",
    "question prior",
    "the most frequent answer of the training split to the same question, without a box",
    by_question=True,
)
@baseline("vqa", "majority", "the most frequent answer of the training split, without a box")
def majority_answer(answers: Sequence[dict]) -> dict:
    return {"text": majority([answer["text"] for answer in answers]), "box": None}


@baseline("seconds", "median", "the median duration of this action in the training split")
def median(answers: Sequence[float]) -> float:
    return float(np.median(answers))


@baseline("text", "frequent caption", "the most frequent caption of the training split")
def frequent_caption(answers: Sequence[str]) -> str:
    return collections.Counter(answers).most_common(1)[0][0]


# What a question shows as its answer is the field's own lower bound for desmoking (the smoke stays)
# and for what comes next (nothing moves); as a mask or a depth it says "bright is near/white". What
# shows nothing gets no answer. Maps have a mean too, which knows where things usually are.
INPUT, LAST, EMPTY, MEAN = "input", "last frame", "empty mask", "mean map"
BASELINES["pixels"] += [
    Baseline(INPUT, "the input image itself, where there is one", None),
    Baseline(LAST, "the last frame that is shown, standing still, where there is one", None),
    Baseline(EMPTY, "a mask with nothing in it", None),
    Baseline(MEAN, f"the mean of up to {MEANS} maps of the training split", None),
]
NEXT_ACTION = "next_action"
_AHEAD = ("next_frame", "video_generation")  # tasks about what comes after the frame


def baseline_predictions(
    training: Truth, truth: Truth, folder: str | Path | None = None
) -> dict[str, dict[str, list[Prediction]]]:
    """{task: {baseline: predictions for the conversations of `truth`}}.

    `folder` is where pictures are written that predictions name; without it there are none. A kind
    of question that the training split lacks gets no prediction, and a warning.
    """
    answers: dict[tuple, list] = collections.defaultdict(list)
    for conversation in training.conversations.values():
        kind = _kind(training, conversation)
        answers[kind].append(conversation.answer)
        if _has_question_rule(training, conversation):
            answers[*kind, _question(conversation)].append(conversation.answer)
    shown = _shown(training) | _shown(truth)
    for id, conversation in training.conversations.items():
        if id in shown:
            answers[*_kind(training, conversation), shown[id]].append(conversation.answer)
    out: dict[str, dict[str, list[Prediction]]] = {}
    for name, task in truth.tasks.items():
        asked = {c.id: _kind(truth, c) for c in truth.conversations.values() if c.task == name}
        learns = task.answer_form != "pixels" or (folder is not None and _has_mean(task))
        lacking = set(asked.values()) - set(answers) if learns else set()
        if lacking:
            where = ", ".join(sorted({f"{kind[0]} ({kind[1]})" for kind in lacking}))
            message = f"no baseline for some questions of {name}, {where}: none like it to train on"
            warnings.warn(message, stacklevel=2)
        out[name] = {}
        if task.answer_form == "pixels":
            rule = LAST if name in _AHEAD else INPUT
            out[name][rule] = _inputs(truth, name, rule)
            if _is_mask(task):
                out[name][EMPTY] = _nothing(truth, name)
            if folder is not None and _has_mean(task):
                kinds = {key: answers[key] for key in set(asked.values()) - lacking}
                out[name][MEAN] = _means(training, task, asked, kinds, Path(folder))
            continue
        for rule in BASELINES[task.answer_form]:
            if rule.by_action and name != NEXT_ACTION:
                continue
            keys = dict(asked)
            if rule.by_action:
                exact = {id: (*kind, shown[id]) for id, kind in keys.items() if id in shown}
                keys |= {id: key for id, key in exact.items() if key in answers}
            if rule.by_question:
                exact = {
                    id: (*kind, _question(truth.conversations[id])) for id, kind in keys.items()
                }
                keys |= {id: key for id, key in exact.items() if key in answers}
            said = {key: rule.fit(answers[key]) for key in set(keys.values()) - lacking}
            texts = {key: task.render(answer) for key, answer in said.items()}
            out[name][rule.name] = [
                Prediction(id, f"baseline/{rule.name}", texts[key], said[key])
                for id, key in keys.items()
                if key in texts
            ]
    return out


def _shown(truth: Truth) -> dict[str, str]:
    """Id of a question about the next action -> the action that its last clip shows, where a
    question of action_recognition is about that clip."""
    asked = [item for item in truth.conversations.values() if item.task == NEXT_ACTION]
    actions: dict[tuple[str, int, int], str] = {}
    for where in {place(item.id) for item in asked}:
        store = truth.stores[where.split("/", 1)[0]]
        for item in of_video(store, "action_recognition", truth.videos[where], truth.split):
            actions[where, item.media[-1].first, item.media[-1].count] = item.answer
    keys = {item.id: (place(item.id), item.media[-1].first, item.media[-1].count) for item in asked}
    return {id: actions[key] for id, key in keys.items() if key in actions}


def _inputs(truth: Truth, task: str, rule: str) -> list[Prediction]:
    """The last image of each question as its answer; none for a question without an image."""
    return [
        Prediction(item.id, f"baseline/{rule}", None, {"media": to_jsonable(item.media[-1])})
        for item in truth.conversations.values()
        if item.task == task and item.media
    ]


def _is_mask(task: Task) -> bool:
    return isinstance(task, Segmentation)


def _has_mean(task: Task) -> bool:
    """Whether a mean over frames says anything: of maps, not of pictures."""
    return _is_mask(task) or isinstance(task, DepthEstimation)


def _nothing(truth: Truth, task: str) -> list[Prediction]:
    """A mask of no value of the map for each question."""
    return [
        Prediction(item.id, f"baseline/{EMPTY}", None, {**item.answer, "values": []})
        for item in truth.conversations.values()
        if item.task == task
    ]


def _means(
    training: Truth,
    task: PixelTask,
    asked: Mapping[str, tuple],
    answers: Mapping[tuple, Sequence[Any]],
    folder: Path,
) -> list[Prediction]:
    """The mean map of each kind of question, written into `folder`, as the answer to all of it.

    Maps of another size than the first one are scaled to it. Of a kind with more than MEANS answers
    no more are read, evenly spaced.
    """
    read = MediaReader(lambda source, config: training.stores[f"{source}.{config}"]).read
    folder.mkdir(parents=True, exist_ok=True)
    files: dict[tuple, str] = {}
    for number, (kind, found) in enumerate(sorted(answers.items())):
        total, count = None, 0
        for answer in found[:: -(-len(found) // MEANS)]:
            pixels = task.pixels(read(media_of(answer)), answer)
            total = np.zeros(pixels.shape) if total is None else total
            total += fit(pixels.astype(np.float32), total)
            count += 1
        file = folder / f"{task.name}-{number}.tif"  # of floats
        cv2.imwrite(str(file), np.float32(total / count / np.iinfo(pixels.dtype).max))
        files[kind] = str(file.resolve())
    return [
        Prediction(id, f"baseline/{MEAN}", files[kind])
        for id, kind in asked.items()
        if kind in files
    ]


def score_baselines(
    truth: Truth,
    data_dir: str | Path,
    *,
    train_split: str = "train",
    missing: Policy = "report",
    groups: Collection[Group] = get_args(Group),
) -> dict[str, dict[str, Scores]]:
    """{task: {baseline: scores}} on the conversations of `truth`.

    `missing` "wrong" counts questions that a baseline has no answer to as wrong; `groups` are
    the kinds of rows to make. A baseline without a single answer (nothing in the training split) is
    left out.
    """
    fitted = [
        task for task in truth.tasks.values() if task.answer_form != "pixels" or _has_mean(task)
    ]
    with tempfile.TemporaryDirectory() as folder:
        if whole := folds.schemes(truth.scheme):  # fitted anew for the videos each fold tests
            parts = [
                baseline_predictions(
                    _part(truth, train_split, fold),
                    _part(truth, "test", fold),
                    Path(folder) / str(number),
                )
                for number, fold in enumerate(whole)
            ]
            predictions = {
                task: {name: [p for part in parts for p in part[task][name]] for name in rules}
                for task, rules in parts[0].items()
            }
        else:
            if truth.split == "all":
                training = _part(truth, train_split, truth.scheme)  # it has been read already
            else:
                training = load_truth(
                    data_dir,
                    truth.stores if fitted else (),
                    fitted,
                    split=train_split,
                    scheme=truth.scheme,
                )
            predictions = baseline_predictions(training, truth, folder)
        scores: dict[str, dict[str, Scores]] = {}
        for task, rules in predictions.items():
            alone = truth.of_task(task)
            scores[task] = {
                name: score_predictions(items, alone, missing=missing, groups=groups)
                for name, items in rules.items()
                if items
            }
    return scores


def _part(truth: Truth, split: str, scheme: str) -> Truth:
    """What a truth of all videos says about those of one split of a scheme."""
    videos = {
        where: stored
        for where, stored in truth.videos.items()
        if truth.stores[where.split("/", 1)[0]].split_of(stored, scheme) == split
    }
    asked = {id: item for id, item in truth.conversations.items() if place(id) in videos}
    return dataclasses.replace(
        truth, split=split, scheme=scheme, videos=videos, conversations=asked
    )


def strongest(scores: Mapping[str, Scores], task: str) -> str | None:
    """The baseline with the highest headline metric of a task; None when there is none."""
    values = {name: item.row(task).value for name, item in scores.items()}
    known = {name: value for name, value in values.items() if value is not None}
    return max(known, key=known.__getitem__) if known else None


def _has_question_rule(truth: Truth, conversation: Conversation) -> bool:
    form = truth.tasks[conversation.task].answer_form
    return any(rule.by_question for rule in BASELINES[form])


def _question(conversation: Conversation) -> str:
    """The question without the choices that are listed below it."""
    return conversation.prompt.partition("\n")[0]


def _kind(truth: Truth, conversation: Conversation) -> tuple[str, str, str, tuple[str, ...]]:
    """What decides a baseline's answer: source.config, procedure, task and options."""
    source = conversation.id.split("/", 1)[0]
    return source, truth.video(conversation.id).procedure, conversation.task, conversation.options
