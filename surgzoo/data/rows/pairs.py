"""Rows of models that compare pictures with texts: a picture and a text that belongs to it.

The text is the answer of a captioning task, and for labels a sentence that stands for the label, of
the same file that zero-shot recognition reads (`db/sentences`): so labels can be trained on too. Of
a set of labels one is drawn, or "none".

A row knows nothing of the other rows of its batch. That two rows say the same is seen where they
meet: the contrastive objectives leave pairs with equal texts out (`train/contrastive.py`).
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from absl import logging

from surgzoo.core.contract import PairProcessor
from surgzoo.data.config import DataConfig
from surgzoo.data.media import MediaReader, Stores
from surgzoo.data.rows import changes, stretches
from surgzoo.data.rows.base import Rows, Spec
from surgzoo.db.schema import Conversation, Media
from surgzoo.db.sentences import Sentences
from surgzoo.tasks import tasks

# Answer form -> the labels of an answer, spelled as its options are.
LABELS = {
    "label": lambda answer: [answer],
    "labels": list,
    "triplets": lambda answer: [", ".join(parts) for parts in answer],
}
_SAMPLE = 512  # texts of which it is seen how many are too long


def form(task: str) -> str:
    """The answer form of a task."""
    return tasks.get(task)().answer_form


def picture(conversation: Conversation) -> Media:
    """The one frame that stands for what a conversation shows: the middle one of a clip.

    Raises ValueError where it shows nothing.
    """
    if not conversation.media:
        raise ValueError("it shows no picture")
    media = conversation.media[0]
    return Media(media.source, media.config, media.video, media.first + media.count // 2)


def cut_share(processor: PairProcessor, texts: Sequence[str]) -> float:
    """Share of texts that are longer than the model reads; what is too much is left out."""
    processor.texts(texts[:1], truncate=True)  # without a tokenizer nothing can be said

    def too_long(text: str) -> bool:
        try:
            processor.texts([text])
        except ValueError:
            return True
        return False

    return sum(map(too_long, texts)) / len(texts)


class PairRows(Rows):
    """Rows `Pair`, or `Stretch` above the level of frames (`data/pair_config.py`)."""

    def __init__(self, config: DataConfig, architecture: Any, processor: Any):
        super().__init__(config, architecture, processor)
        self.pairs = config.pairs
        wrong = [part.name for part in config.mixture if form(part.task) not in ("text", *LABELS)]
        if wrong:
            raise ValueError(
                f"{', '.join(wrong)}: there is no text to a picture in it; pairs are made of "
                "captions, and of labels"
            )
        if self.pairs.level != "frame":
            self.by = "video"
            stretches.check(config)
        self.sentences = Sentences(self.pairs.prompts)
        self.cut = 0.0

    def spec(self) -> Spec:
        image, length = self.processor.image_shape, self.processor.text_length
        texts = {"tokens": ((length,), np.int32), "mask": ((length,), bool)}
        if self.pairs.level != "frame":
            return stretches.spec(self.pairs, image, texts)
        found = {"images": (image, np.float32), **texts}
        if self.pairs.views:
            found["views"] = ((self.pairs.views, *image), np.float32)
        return found

    def open(self, stores: Stores, conversations: Iterable[Conversation]) -> None:
        """Also sees to it that there is a sentence for every label, and how many texts are cut."""
        super().open(stores, conversations)
        self.read = MediaReader(stores)
        draw, seen, sample = random.Random(0), 0, []
        asked, empty = {}, {}  # (task, options), and tasks with a picture that shows nothing
        for conversation in conversations:
            kind = form(conversation.task)
            if kind == "text":
                seen += 1
                place = len(sample) if len(sample) < _SAMPLE else draw.randrange(seen)
                if place < _SAMPLE:
                    sample[place : place + 1] = [conversation.target]
            else:
                asked[conversation.task, conversation.options] = kind
                if not LABELS[kind](conversation.answer):
                    empty[conversation.task] = kind
        self.sentences.check(asked)
        sample += [text for task in empty for text in self.sentences.of_none(task)]
        for task, options in asked:
            sample += [text for texts in self.sentences.of(task, options) for text in texts]
        self.cut = cut_share(self.processor, sample)
        if self.cut:
            logging.warning(
                "%.1f %% of the texts are longer than the model reads (%d tokens) and are cut",
                100 * self.cut,
                self.processor.text_length,
            )

    def row(self, unit: Sequence[Conversation], rng: np.random.Generator) -> dict[str, np.ndarray]:
        if self.pairs.level != "frame":
            return stretches.row(self, unit, rng)
        frame = self.read.read(picture(unit[0]))
        tokens, mask = self.tokens([self.text(unit[0], rng)])
        shown = changes.changed(frame, rng) if self.config.augment else frame
        row = {"images": self.processor.images([shown])[0], "tokens": tokens[0], "mask": mask[0]}
        if self.pairs.views:
            views = [changes.changed(frame, rng) for _ in range(self.pairs.views)]
            row["views"] = self.processor.images(views)
        return row

    def text(self, conversation: Conversation, rng: np.random.Generator) -> str:
        """What is said of the picture."""
        kind = form(conversation.task)
        if kind == "text":
            return conversation.target
        labels, options = LABELS[kind](conversation.answer), list(conversation.options)
        if not labels:
            texts = self.sentences.of_none(conversation.task)
        elif (label := labels[rng.integers(len(labels))]) in options:
            texts = self.sentences.of(conversation.task, options)[options.index(label)]
        else:  # annotated, but not among the usual ones
            texts = self.sentences.of(conversation.task, [label])[0]
        return texts[rng.integers(len(texts))]

    def tokens(self, texts: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
        """Tokens and mask of texts, cut where they are too long."""
        return self.processor.texts(texts, truncate=True)

    def meta(self) -> dict[str, Any]:
        return {"labels": [], "sentences": self.sentences.name, "cut_texts": round(self.cut, 4)}
