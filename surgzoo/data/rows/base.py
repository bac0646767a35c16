"""What every kind of row has: how the stream is cut, which labels there are, one row, its shape."""

from __future__ import annotations

import abc
import collections
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, ClassVar

import numpy as np

from surgzoo.data.config import DataConfig
from surgzoo.data.media import Stores
from surgzoo.data.mixture import By
from surgzoo.db.schema import Conversation

# Name -> shape and dtype of one row's array.
Spec = dict[str, tuple[tuple[int, ...], Any]]


class Rows(abc.ABC):
    """Makes rows of one kind. Made in three steps, each with what it needs:

    Rows(config, architecture, processor)   nothing is read; `spec` is known, for planning memory
    open(stores, conversations)             every conversation of the mixture is seen once
    row(unit, rng)                          called on threads

    `architecture` is the model's config and `processor` what that makes of frames and text, None
    for a model without.
    """

    by: ClassVar[By] = "conversation"  # what forms a unit
    tasks: ClassVar[tuple[str, ...]] = ()  # that rows can be made of; () = any

    def __init__(self, config: DataConfig, architecture: Any, processor: Any):
        self.config, self.architecture, self.processor = config, architecture, processor
        self.labels: tuple[str, ...] = config.labels
        for part in config.mixture:
            if self.tasks and part.task not in self.tasks:
                raise ValueError(
                    f"{part.name}: this model learns from {', '.join(self.tasks)}, not from "
                    f"{part.task}"
                )

    @abc.abstractmethod
    def spec(self) -> Spec:
        """Shapes and dtypes of one row, a contract of `core/contract.py`."""

    def open(self, stores: Stores, conversations: Iterable[Conversation]) -> None:
        """Looks at the mixture: which labels there are, and how often.

        Raises ValueError, naming the numbers, where labels and the model's outputs do not fit.
        """
        self.stores = stores

    @abc.abstractmethod
    def row(self, unit: Sequence[Conversation], rng: np.random.Generator) -> dict[str, np.ndarray]:
        """One row of a unit: one conversation, or all about the same media or video, in order.

        `rng` depends on the seed and the number of the example alone. Raises ValueError (also
        MediaError) that says what is wrong; the caller names the conversation.
        """

    def meta(self) -> dict[str, Any]:
        """What evaluation must know, for the checkpoint's meta. JSON-like."""
        return {"labels": list(self.labels)}

    def only_task(self) -> str:
        """What the mixture asks for, "" of an empty one, of a model that is not told what is asked.

        Raises ValueError when it asks for several things.
        """
        asked = sorted({part.task for part in self.config.mixture})
        if len(asked) > 1:
            raise ValueError(
                f"the mixture asks for {' and '.join(asked)}: this model is not told what is asked "
                "and learns one task. Train a model for each"
            )
        return "".join(asked)

    def learn_labels(self, conversations: Iterable[Conversation]) -> None:
        """Sets `labels` to the config's, or to the options of the conversations as they come."""
        if not self.labels:
            self.labels = tuple(dict.fromkeys(name for c in conversations for name in c.options))

    def count_labels(self, conversations: Iterable[Conversation]) -> collections.Counter[str]:
        """As `learn_labels`, of questions with one name as answer, and how often each is it.

        Raises ValueError when an answer is not among the labels.
        """
        counts: collections.Counter[str] = collections.Counter()

        def counted() -> Iterator[Conversation]:
            for item in conversations:
                counts[item.answer] += 1
                yield item

        items = counted()
        self.learn_labels(items)
        for _ in items:  # what `learn_labels` did not need to see
            pass
        strangers = sorted(set(counts) - set(self.labels))
        if strangers:
            raise ValueError(
                f"the mixture has answers that are no classes: {', '.join(strangers)}; add them to "
                f"data.labels ({', '.join(self.labels)})"
            )
        return counts

    def check_classes(self, field: str, background: int = 0) -> None:
        """Raises ValueError when the model's config has another number of classes."""
        wanted, found = len(self.labels) + background, getattr(self.architecture, field)
        if wanted != found:
            names = ", ".join(self.labels)
            raise ValueError(
                f"the model has {found} classes, the data {wanted}"
                + (" with the background" if background else "")
                + f" ({names}): set model.overrides {field}={wanted}, or name the classes in "
                "data.labels"
            )
