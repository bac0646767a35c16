"""From media pointers to pixels."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path

import cv2
import numpy as np

from surgzoo.data.jpeg import MediaError, decode_jpeg
from surgzoo.db.records import PICTURES
from surgzoo.db.schema import Media
from surgzoo.db.store import Store


@dataclasses.dataclass
class Stores:
    """Prepared sources, opened once."""

    data_dir: str | Path
    _open: dict[tuple[str, str], Store] = dataclasses.field(default_factory=dict)

    def __call__(self, source: str, config: str = "") -> Store:
        """The store of a source; "source.config" in one string will do too."""
        source, _, named = source.partition(".")
        config = named or config
        key = (source, config)
        if key not in self._open:
            self._open[key] = Store.open(self.data_dir, source, config)
        return self._open[key]


class MediaReader:
    """Decodes media as they are stored; what a model is shown, `ModelReader` reads.

    An image is (H, W, 3) uint8 RGB, a clip (T, H, W, 3). A map is as it is stored: (H, W) uint8 or
    uint16, or RGB for `clean` and `smoke`; several of them have the frames in front.
    """

    fitted = False  # see core/contract.py: Processor

    def __init__(self, stores: Callable[[str, str], Store]):
        self._stores = stores

    def __call__(self, media: Sequence[Media]) -> tuple[list[np.ndarray], list[float]]:
        """Pixels and frame rates (Hz, of clips; an image has the stored rate too)."""
        rates = [self._stores(m.source, m.config).video(m.video).video.fps for m in media]
        return [self.read(item) for item in media], rates

    def read(self, media: Media) -> np.ndarray:
        """The pixels of one pointer. Raises MediaError that names the record."""
        store = self._stores(media.source, media.config)
        frames = []
        for index in range(media.first, media.first + media.count):
            where = f"{media.source}/{media.video}/{index}"
            if media.kind in PICTURES:
                frames.append(decode_jpeg(store.frame(media.video, index).image, where))
            else:
                frames.append(decode_map(store.map(media.video, index, media.kind), where))
        single = media.kind != "clip" and media.count == 1
        return frames[0] if single else np.stack(frames)


def decode_map(data: bytes, where: str) -> np.ndarray:
    """An encoded map at its own depth: (H, W) uint8 or uint16, or RGB of three channels."""
    if data[:2] == b"\xff\xd8":
        return decode_jpeg(data, where)
    image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED) if data else None
    if image is None:
        raise MediaError(
            f"a stored map of {where} cannot be decoded; prepare its source again with --overwrite"
        )
    return image if image.ndim == 2 else cv2.cvtColor(image[..., :3], cv2.COLOR_BGR2RGB)
