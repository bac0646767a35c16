"""What the tests of several sources do with a prepared one."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from surgzoo.datasets.source_builder import prepare
from surgzoo.db import records
from surgzoo.db.footage import Footage, Shot
from surgzoo.db.store import Store
from surgzoo.tasks import tasks
from surgzoo.tasks.base import Context
from surgzoo.tasks.wording import Wording


def prepared(builder_class, folder: Path, **options) -> Store:
    """`folder`/raw, prepared below `folder`/out by one worker; `options` are those of `prepare`."""
    options = {"workers": 1, "manual_dir": folder / "raw", **options}
    return Store(prepare(builder_class, folder / "out", **options))


def frames(store: Store, name: str) -> list[records.FrameRecord]:
    return list(store.records(store.video(name)))


def mask(record: records.FrameRecord, name: str) -> np.ndarray:
    """A dense map as an array."""
    return cv2.imdecode(np.frombuffer(record.dense[name], np.uint8), cv2.IMREAD_UNCHANGED)


def asked(store: Store, config: str = "fps1") -> dict[str, list]:
    """Task -> the conversations that the store's videos give; tasks without any are left out."""
    out: dict[str, list] = {}
    for stored in store.videos:
        shots = tuple(
            Shot(r.frame, r.annotations, frozenset(r.dense)) for r in store.records(stored)
        )
        footage = Footage(stored.video, shots, stored.annotations)
        context = Context(config, stored.video, "train", Wording())
        for name in tasks.names():
            found = list(tasks.get(name)().encode_video(footage, context))
            if found:
                out.setdefault(name, []).extend(found)
    return out
