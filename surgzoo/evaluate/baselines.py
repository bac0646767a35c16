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
import warnings
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, get_args

import numpy as np

from surgzoo.db.schema import Conversation, to_jsonable
from surgzoo.evaluate.predictions import Prediction
from surgzoo.evaluate.score import Group, Policy, Scores, score_predictions
from surgzoo.evaluate.truth import Truth, load_truth, place
from surgzoo.tasks.base import AnswerForm

# Training answers of one kind of question -> the answer; None for the rule that needs none.
Fit = Callable[[Sequence[Any]], Any] | None


class Baseline(NamedTuple):
    """A named rule, and what it does in words.

    With `by_question` it is fitted on the training answers to the very same question, where there
    are any: still blind, but not deaf.
    """

    name: str
    about: str
    fit: Fit
    by_question: bool = False


BASELINES: dict[AnswerForm, list[Baseline]] = {form: [] for form in get_args(AnswerForm)}


def baseline(
    form: AnswerForm, name: str, about: str, *, by_question: bool = False
) -> Callable[[Fit], Fit]:
    """Registers a fit function for one answer form."""

    def register(fit: Fit) -> Fit:
        BASELINES[form].append(Baseline(name, about, fit, by_question))
        return fit

    return register


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


# Pixels are not learned from the training split: what the question shows is the answer. It is the
# field's own lower bound for desmoking (the smoke stays) and for what comes next (nothing moves);
# as a mask or a depth it says "bright is near/white". What shows nothing gets no answer.
INPUT, LAST = "input", "last frame"
BASELINES["pixels"] += [
    Baseline(INPUT, "the input image itself, where there is one", None),
    Baseline(LAST, "the last frame that is shown, standing still, where there is one", None),
]
_AHEAD = ("next_frame", "video_generation")  # tasks about what comes after the frame


def baseline_predictions(training: Truth, truth: Truth) -> dict[str, dict[str, list[Prediction]]]:
    """{task: {baseline: predictions for the conversations of `truth`}}.

    A kind of question that the training split lacks gets no prediction, and a warning.
    """
    answers: dict[tuple, list] = collections.defaultdict(list)
    for conversation in training.conversations.values():
        kind = _kind(training, conversation)
        answers[kind].append(conversation.answer)
        if _has_question_rule(training, conversation):
            answers[*kind, _question(conversation)].append(conversation.answer)
    out: dict[str, dict[str, list[Prediction]]] = {}
    for name, task in truth.tasks.items():
        asked = {c.id: _kind(truth, c) for c in truth.conversations.values() if c.task == name}
        lacking = set() if task.answer_form == "pixels" else set(asked.values()) - set(answers)
        if lacking:
            where = ", ".join(sorted({f"{kind[0]} ({kind[1]})" for kind in lacking}))
            message = f"no baseline for some questions of {name}, {where}: none like it to train on"
            warnings.warn(message, stacklevel=2)
        out[name] = {}
        if task.answer_form == "pixels":
            rule = LAST if name in _AHEAD else INPUT
            out[name][rule] = _inputs(truth, name, rule)
            continue
        for rule in BASELINES[task.answer_form]:
            keys = dict(asked)
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


def _inputs(truth: Truth, task: str, rule: str) -> list[Prediction]:
    """The last image of each question as its answer; none for a question without an image."""
    return [
        Prediction(item.id, f"baseline/{rule}", None, {"media": to_jsonable(item.media[-1])})
        for item in truth.conversations.values()
        if item.task == task and item.media
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
    fitted = [task for task in truth.tasks.values() if task.answer_form != "pixels"]
    if truth.split == "all":
        training = _split_of(truth, train_split)  # it has been read already
    else:
        training = load_truth(
            data_dir, truth.stores if fitted else (), fitted, split=train_split, scheme=truth.scheme
        )
    predictions = baseline_predictions(training, truth)
    scores: dict[str, dict[str, Scores]] = {}
    for task, rules in predictions.items():
        alone = truth.of_task(task)
        scores[task] = {
            name: score_predictions(items, alone, missing=missing, groups=groups)
            for name, items in rules.items()
            if items
        }
    return scores


def _split_of(truth: Truth, split: str) -> Truth:
    """What a truth of all videos says about those of one split."""
    videos = {
        where: stored
        for where, stored in truth.videos.items()
        if stored.video.splits.get(truth.scheme) == split
    }
    asked = {id: item for id, item in truth.conversations.items() if place(id) in videos}
    return dataclasses.replace(truth, split=split, videos=videos, conversations=asked)


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
