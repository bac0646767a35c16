"""Features that any person could have drawn: the phase of the frame in one-hot, under noise."""

from __future__ import annotations

import numpy as np

from surgzoo.data import features
from surgzoo.data.conversations import address, conversations
from surgzoo.data.features import FeatureWriter
from surgzoo.db.store import Store

PHASES = 14  # of both procedures


def write(data_dir, name, *, noise=1.0, parameters="hash", trained_on=None, videos=None):
    """Features of synthsurg's `small`, of all videos or the first `videos`."""
    store = Store.open(data_dir, "synthsurg", "small")
    meta = features.Meta(
        store.source,
        store.config,
        store.path.name,
        features.content(store),
        PHASES,
        "float32",
        features.Encoder("drawn", f"drawn/{name}@1", {}, {}, parameters, "0"),
        trained_on or {},
    )
    writer = FeatureWriter(data_dir, name, meta)
    rng = np.random.default_rng(0)
    rows = {
        stored.video.id: noise * rng.standard_normal((stored.count, PHASES)).astype(np.float32)
        for stored in store.videos
    }
    for item in conversations(store, "phase_recognition", "all"):
        _, _, video, frame, _, _ = address(item.id)
        rows[video][frame, item.options.index(item.answer)] += 2.5
    for stored in store.videos[:videos]:
        writer.write(stored, rows[stored.video.id])
    return rows
