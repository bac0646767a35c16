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
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, get_args

import numpy as np

from surgzoo.db.schema import Conversation, to_jsonable
from surgzoo.evaluate.predictions import Prediction
from surgzoo.evaluate.score import Scores, score_predictions
from surgzoo.evaluate.truth import Truth, load_truth
from surgzoo.tasks.base import AnswerForm

# Training answers of one kind of question -> the answer; None for the rule that needs none.
Fit = Callable[[Sequence[Any]], Any] | None


class Baseline(NamedTuple):
    """A named rule, and what it does in words."""

    name: str
    about: str
    fit: Fit


BASELINES: dict[AnswerForm, list[Baseline]] = {form: [] for form in get_args(AnswerForm)}


def baseline(form: AnswerForm, name: str, about: str) -> Callable[[Fit], Fit]:
    """Registers a fit function for one answer form."""

    def register(fit: Fit) -> Fit:
        BASELINES[form].append(Baseline(name, about, fit))
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


@baseline("vqa", "majority", "the most frequent answer of the training split, without a box")
def majority_answer(answers: Sequence[dict]) -> dict:
    return {"text": majority([answer["text"] for answer in answers]), "box": None}


@baseline("seconds", "median", "the median duration of this action in the training split")
def median(answers: Sequence[float]) -> float:
    return float(np.median(answers))


@baseline("text", "frequent caption", "the most frequent caption of the training split")
def frequent_caption(answers: Sequence[str]) -> str:
    return collections.Counter(answers).most_common(1)[0][0]


# Pixels are not learned from the training split: the input is the answer. It is the field's own
# lower bound for desmoking and future frames; as a mask or a depth it says "bright is near/white".
INPUT = "input"
BASELINES["pixels"].append(Baseline(INPUT, "the input image itself, where there is one", None))


def baseline_predictions(training: Truth, truth: Truth) -> dict[str, dict[str, list[Prediction]]]:
    """{task: {baseline: predictions for the conversations of `truth`}}.

    A kind of question that the training split lacks gets no prediction, and a warning.
    """
    answers: dict[tuple, list] = collections.defaultdict(list)
    for conversation in training.conversations.values():
        answers[_kind(training, conversation)].append(conversation.answer)
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
            out[name][INPUT] = _inputs(truth, name)
            continue
        for rule in BASELINES[task.answer_form]:
            said = {kind: rule.fit(answers[kind]) for kind in set(asked.values()) - lacking}
            texts = {kind: task.render(answer) for kind, answer in said.items()}
            out[name][rule.name] = [
                Prediction(id, f"baseline/{rule.name}", texts[kind], said[kind])
                for id, kind in asked.items()
                if kind in texts
            ]
    return out


def _inputs(truth: Truth, task: str) -> list[Prediction]:
    """The last image of each question as its answer; none for a question without an image."""
    return [
        Prediction(item.id, f"baseline/{INPUT}", None, {"media": to_jsonable(item.media[-1])})
        for item in truth.conversations.values()
        if item.task == task and item.media
    ]


def score_baselines(
    truth: Truth, data_dir: str | Path, *, train_split: str = "train"
) -> dict[str, dict[str, Scores]]:
    """{task: {baseline: scores}} on the conversations of `truth`.

    A baseline without a single answer (nothing in the training split) is left out.
    """
    training = load_truth(
        data_dir, truth.stores, truth.tasks, split=train_split, scheme=truth.scheme
    )
    predictions = baseline_predictions(training, truth)
    scores: dict[str, dict[str, Scores]] = {}
    for task, rules in predictions.items():
        alone = dataclasses.replace(truth, tasks={task: truth.tasks[task]})
        scores[task] = {
            name: score_predictions(items, alone) for name, items in rules.items() if items
        }
    return scores


def strongest(scores: Mapping[str, Scores], task: str) -> str | None:
    """The baseline with the highest headline metric of a task; None when there is none."""
    values = {name: item.row(task).value for name, item in scores.items()}
    known = {name: value for name, value in values.items() if value is not None}
    return max(known, key=known.__getitem__) if known else None


def _kind(truth: Truth, conversation: Conversation) -> tuple[str, str, str, tuple[str, ...]]:
    """What decides a baseline's answer: source.config, procedure, task and options."""
    source = conversation.id.split("/", 1)[0]
    return source, truth.video(conversation.id).procedure, conversation.task, conversation.options
