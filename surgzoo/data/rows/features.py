"""Rows of whole videos: the stored features of their frames, and the label of each frame."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from surgzoo.data.conversations import address
from surgzoo.data.features import FeatureStores
from surgzoo.data.media import Stores
from surgzoo.data.rows.base import Rows, Spec
from surgzoo.db.schema import Conversation


class FeatureRows(Rows):
    """A row is a video, a `FeatureSequence`; the mixture has one task.

    `data.longest` is the frames that a row has room for, `data.features` the name of the features.
    """

    by = "video"
    tasks = ("phase_recognition", "step_recognition")

    def __init__(self, config: Any, architecture: Any, processor: Any):
        super().__init__(config, architecture, processor)
        self.task = self.only_task()
        self._encoder = ""

    def spec(self) -> Spec:
        longest, width = self.config.longest, self.architecture.features
        return {"features": ((longest, width), np.float32), "labels": ((longest,), np.int32)}

    def open(self, stores: Stores, conversations: Iterable[Conversation]) -> None:
        """Raises ValueError where labels, the width of features, the encoders or the length of a
        video do not fit, NotPreparedError where a video has no features."""
        super().open(stores, conversations)
        self._features = FeatureStores(stores, self.config.features)
        videos: dict[tuple[str, str, str], None] = {}
        answers: dict[str, Conversation] = {}
        options: dict[str, None] = {}
        for conversation in conversations:
            videos.setdefault(address(conversation.id)[:3])
            answers.setdefault(conversation.answer, conversation)
            options |= dict.fromkeys(conversation.options)
        self.labels = self.labels or tuple(options)
        self._numbers = {name: number for number, name in enumerate(self.labels)}
        for first in answers.values():
            self._number(first)
        self.check_classes("classes")
        for source, config, video in videos:
            found = self._features(source, config)
            width, count = found.meta.width, found.store.video(video).count
            if width != self.architecture.features:
                raise ValueError(
                    f"{found.path} has {width} features a frame, the model reads "
                    f"{self.architecture.features}: set model.overrides features={width}"
                )
            if count > self.config.longest:
                raise ValueError(
                    f"{source}/{video} has {count} frames, a row has room for "
                    f"{self.config.longest}: raise data.longest"
                )
            found.check(video)
        encoders = {f.meta.encoder.parameters: f.meta.encoder.name for f in self._features.opened}
        if len(encoders) > 1:
            raise ValueError(
                f"the features '{self.config.features}' of the mixture's sources come from "
                f"different encoders: {', '.join(encoders.values())}"
            )
        self._encoder = next(iter(encoders))

    def row(self, unit: Sequence[Conversation], rng: np.random.Generator) -> dict[str, np.ndarray]:
        """All frames of the video that the unit is about; those that nobody asks about have no
        label."""
        source, config, video = address(unit[0].id)[:3]
        stored = self._features(source, config).read(video)
        features = np.zeros((self.config.longest, stored.shape[1]), np.float32)
        features[: len(stored)] = stored
        labels = np.full(self.config.longest, -1, np.int32)
        for conversation in unit:
            labels[address(conversation.id)[3]] = self._number(conversation)
        return {"features": features, "labels": labels}

    def meta(self) -> dict[str, Any]:
        """The labels, the task and the encoder whose features were learnt from."""
        return super().meta() | {"task": self.task, "encoder": self._encoder}

    def _number(self, conversation: Conversation) -> int:
        """Raises ValueError for a label that has no number."""
        try:
            return self._numbers[conversation.answer]
        except KeyError:
            raise ValueError(
                f"{conversation.id}: '{conversation.answer}' is not among data.labels "
                f"({', '.join(self.labels)})"
            ) from None
