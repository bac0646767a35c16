"""The answers in predictions: every text is parsed again by its task, pixels are compared."""

from __future__ import annotations

import collections
import dataclasses
import difflib
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

from surgzoo.db import schema
from surgzoo.evaluate.pixels import Judge
from surgzoo.evaluate.predictions import Prediction, PredictionsError
from surgzoo.evaluate.truth import Truth, place
from surgzoo.tasks.base import Parsed, Task
from surgzoo.tasks.pixels import PixelTask


@dataclasses.dataclass(frozen=True)
class Graded:
    """A conversation, what was predicted for it and the answer that scoring read from it."""

    conversation: schema.Conversation
    prediction: Prediction
    answer: Any | None  # None = unparsed; of a pixel task the numbers of its comparison
    error: str | None  # why it is unparsed


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
