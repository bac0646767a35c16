"""Answers of models that give each of their classes a probability: one of the names asked for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float

from surgzoo.db.schema import Conversation
from surgzoo.evaluate.predictions import PredictionWriter

if TYPE_CHECKING:
    from surgzoo.evaluate.predictors.local import Restored


def labels_of(found: Restored) -> tuple[str, ...]:
    """Names of the model's classes, as its run learned them.

    Raises ValueError for a checkpoint that does not say them.
    """
    labels = found.meta.get("rows", {}).get("labels", ())
    if not labels:
        raise ValueError(f"{found.name}: the checkpoint's meta names no classes (rows.labels)")
    return tuple(labels)


def check_task(name: str, conversations: Sequence[Conversation], task: str) -> None:
    """Raises ValueError when the model `name` is asked for another task."""
    others = sorted({item.task for item in conversations} - {task})
    if others:
        raise ValueError(
            f"{name} answers {task}, not {', '.join(others)}: set eval.tasks or --tasks"
        )


def choose(
    item: Conversation, labels: Sequence[str], probabilities: Float[np.ndarray, " C"]
) -> tuple[str, dict[str, float]]:
    """The most probable name that the question admits, and the probabilities of its options.

    What the model gives to names that are no options is left out, so they may sum to less than 1.
    Raises ValueError when the model knows none of the names.
    """
    known = dict(zip(labels, map(float, probabilities), strict=True))
    scores = {name: round(known[name], 6) for name in item.options if name in known}
    admitted = [name for name in item.choices or item.options if name in known]
    if not admitted:
        raise ValueError(
            f"{item.id} asks for one of {', '.join(item.choices or item.options)}; the model "
            f"knows {', '.join(labels)}"
        )
    return max(admitted, key=known.__getitem__), scores


def write_choice(
    writer: PredictionWriter,
    item: Conversation,
    labels: Sequence[str],
    probabilities: Float[np.ndarray, " C"],
    **more: Any,
) -> None:
    """Appends what `choose` finds, or a line with its error and no text; `more` as in `write`."""
    try:
        text, scores = choose(item, labels, probabilities)
    except ValueError as error:
        writer.write(item.id, None, error=str(error), **more)
    else:
        writer.write(item.id, text, scores=scores, **more)
