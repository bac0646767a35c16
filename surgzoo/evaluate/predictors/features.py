"""Asking a model that reads stored features: a video at a time, a label for every frame."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

import jax
import numpy as np
import tqdm
from jaxtyping import Float

from surgzoo.data.conversations import address
from surgzoo.data.features import FeatureStore, FeatureStores
from surgzoo.data.media import Stores
from surgzoo.db.schema import Conversation
from surgzoo.evaluate.predict import Throughput
from surgzoo.evaluate.predictions import PredictionWriter
from surgzoo.evaluate.predictors.labels import check_task, labels_of, write_choice
from surgzoo.evaluate.predictors.local import Restored
from surgzoo.train.experiment import EvalConfig

SHORTEST = 128  # frames; longer videos are padded to twice, four times ... as many


def answer(
    found: Restored,
    conversations: Sequence[Conversation],
    stores: Stores,
    path: str | Path,
    settings: EvalConfig,
) -> Throughput:
    """Appends the name of a label, with `scores` of the options, for every frame asked about.

    A question that admits none of the model's labels gets a line with an error. Raises ValueError
    for another task than the model's and for features by another encoder, NotPreparedError where
    features are missing.
    """
    del settings  # nothing is drawn or written
    rows = found.meta["rows"]
    labels = labels_of(found)
    check_task(found.name, conversations, rows["task"])
    features = FeatureStores(stores, found.data.features)
    videos: dict[tuple[str, str, str], list[Conversation]] = {}
    for conversation in conversations:
        videos.setdefault(address(conversation.id)[:3], []).append(conversation)
    for source, config, video in videos:  # before the first answer, as there is nothing to resume
        _check(features(source, config), video, rows["encoder"], found.name)
    label = jax.jit(lambda params, x: jax.nn.softmax(found.model.label_frames(params, x)[-1]))
    did, begun = Throughput(), time.perf_counter()
    with PredictionWriter(path, found.name) as writer:
        for (source, config, video), asked in tqdm.tqdm(
            videos.items(), desc="predict", unit="video", disable=None
        ):
            asked = [item for item in asked if item.id not in writer.done]
            if not asked:
                continue
            clock = time.perf_counter()
            shares = np.asarray(label(found.params, _padded(features(source, config).read(video))))
            took = time.perf_counter() - clock
            for item in asked:
                late = round(took / len(asked), 6)
                write_choice(writer, item, labels, shares[0, address(item.id)[3]], latency=late)
            did.questions += len(asked)
            did.device += took
    did.seconds = time.perf_counter() - begun
    return did


def _check(found: FeatureStore, video: str, encoder: str, name: str) -> None:
    """Raises ValueError when the features are not of the encoder that was learnt from."""
    if found.meta.encoder.parameters != encoder:
        raise ValueError(
            f"{found.path} was made by {found.meta.encoder.name}, and not by the encoder whose "
            f"features {name} has learnt from: extract those features again, or train anew"
        )
    found.check(video)


def _padded(features: Float[np.ndarray, "T F"]) -> Float[np.ndarray, "1 L F"]:
    """A batch of one, in one of a few lengths, so that few shapes compile."""
    length = SHORTEST
    while length < len(features):
        length *= 2
    return np.pad(features, [(0, length - len(features)), (0, 0)])[None]
