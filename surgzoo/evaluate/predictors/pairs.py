"""Zero-shot recognition: which of a question's options the picture is nearest to.

An option stands for the mean of the embeddings of its sentences (`db/sentences`). The softmax of
the model's logits over the options gives the `scores`. Of a set of labels, or of triplets, the
likeliest one alone is answered: nothing in the comparison says how many are in view. How well all
of them are found, average precision says, which is taken from the scores.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import jax
import numpy as np
import tqdm

from surgzoo.data.media import Stores
from surgzoo.data.rows.pairs import LABELS, form, picture
from surgzoo.db.schema import Conversation, Media
from surgzoo.db.sentences import Sentences
from surgzoo.evaluate.predict import Throughput
from surgzoo.evaluate.predictions import PredictionWriter
from surgzoo.evaluate.predictors.embedding import Embedder
from surgzoo.evaluate.predictors.local import Restored
from surgzoo.tasks import tasks
from surgzoo.train.experiment import EvalConfig

Question = tuple[str, tuple[str, ...]]  # task and options

_ANSWERS = {  # answer form -> the answer that names one option alone
    "label": lambda option: option,
    "labels": lambda option: [option],
    "triplets": lambda option: [option.split(", ")],
}


def answer(
    found: Restored,
    conversations: Sequence[Conversation],
    stores: Stores,
    path: str | Path,
    settings: EvalConfig,
) -> Throughput:
    """Appends the nearest option, with `scores` of all, for every question; a picture is read once.

    Raises ValueError for a question without a closed list of options, and, naming the file, where
    `settings.prompts` does not fit the questions; PredictionsError for a file with other answers.
    """
    _check(found, conversations)
    sentences = Sentences(settings.prompts)
    sentences.check({_question(item): None for item in conversations})
    did, begun = Throughput(), time.perf_counter()
    way = f"nearest text, {sentences.name}"
    with PredictionWriter(path, found.name, {way}) as writer:
        units: dict[Media, list[Conversation]] = defaultdict(list)
        for item in conversations:
            if item.id not in writer.done:
                units[picture(item)].append(item)
        if not units:
            return did
        embedder = Embedder(found, stores, settings.batch_size)
        asked = dict.fromkeys(_question(item) for unit in units.values() for item in unit)
        labels = {question: embedder.means(sentences.of(*question)) for question in asked}
        similarity = jax.jit(found.model.similarity)
        about = list(units.values())
        total = sum(map(len, about))
        bar = tqdm.tqdm(total=total, desc="predict", unit="question", disable=None)
        for seen in embedder.pictures(list(units)):
            for place, error in seen.errors.items():
                for item in about[place]:
                    writer.write(item.id, None, error=error, decoding=way)
            logits = {
                question: np.asarray(similarity(found.params, seen.embeddings, labels[question]))
                for question in {_question(i): None for place in seen.places for i in about[place]}
            }
            count = sum(len(about[place]) for place in (*seen.places, *seen.errors))
            latency = round((seen.device + seen.waited) / max(count, 1), 6)
            for row, place in enumerate(seen.places):
                for item in about[place]:
                    text, scores = _said(item, logits[_question(item)][row])
                    writer.write(item.id, text, latency=latency, scores=scores, decoding=way)
            did.questions += count
            did.device += seen.device
            did.waited += seen.waited
            bar.update(count)
        bar.close()
    did.seconds = time.perf_counter() - begun
    return did


def _question(item: Conversation) -> Question:
    return item.task, item.options


def _check(found: Restored, conversations: Sequence[Conversation]) -> None:
    open_ = {c.task: None for c in conversations if form(c.task) not in LABELS or not c.options}
    if open_:
        raise ValueError(
            f"{found.name} compares pictures with texts and answers questions with a list of "
            f"possible labels; leave {', '.join(open_)} out of the tasks. Captions it can rank: "
            "surgzoo retrieve"
        )


def _said(item: Conversation, logits: np.ndarray) -> tuple[str, dict[str, float]]:
    """The answer in words, and the softmax over the options, or over those that are listed."""
    task = tasks.get(item.task)()
    listed = [
        n
        for n, option in enumerate(item.options)
        if not item.choices or task.shown(option) in item.choices
    ]
    logits = logits[listed].astype(np.float64)
    shares = np.exp(logits - logits.max())
    shares /= shares.sum()
    # Significant digits, not decimals: average precision needs the order of small scores too.
    scores = {item.options[n]: float(f"{p:.6g}") for n, p in zip(listed, shares, strict=True)}
    best = item.options[listed[int(shares.argmax())]]
    return task.render(_ANSWERS[task.answer_form](best)), scores
