"""From media pointers to pixels."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import simplejpeg

from surgzoo.db.schema import Media
from surgzoo.db.store import DEFAULT_CONFIG, Store


class MediaError(ValueError):
    """A stored frame that cannot be decoded; names the record."""


@dataclasses.dataclass
class Stores:
    """Prepared sources, opened once."""

    data_dir: str | Path
    _open: dict[tuple[str, str], Store] = dataclasses.field(default_factory=dict)

    def __call__(self, source: str, config: str = DEFAULT_CONFIG) -> Store:
        """The store of a source; "source.config" in one string will do too."""
        source, _, named = source.partition(".")
        config = named or config
        key = (source, config)
        if key not in self._open:
            self._open[key] = Store.open(self.data_dir, source, config)
        return self._open[key]


class MediaReader:
    """Decodes the media of a conversation.

    An image is (H, W, 3) uint8 RGB, a clip (T, H, W, 3).
    """

    def __init__(self, stores: Callable[[str, str], Store]):
        self._stores = stores

    def __call__(self, media: Sequence[Media]) -> tuple[list[np.ndarray], list[float]]:
        """Pixels and frame rates (Hz, of clips; an image has the stored rate too)."""
        visuals, fps = [], []
        for item in media:
            store = self._stores(item.source, item.config)
            frames = [
                decode_jpeg(
                    store.frame(item.video, item.first + k).image,
                    f"{item.source}/{item.video}/{item.first + k}",
                )
                for k in range(item.count)
            ]
            visuals.append(frames[0] if item.kind == "image" else np.stack(frames))
            fps.append(store.video(item.video).video.fps)
        return visuals, fps


def decode_jpeg(data: bytes, where: str) -> np.ndarray:
    """Encoded JPEG to (H, W, 3) uint8 RGB. Raises MediaError that names the record."""
    try:
        return simplejpeg.decode_jpeg(data, colorspace="RGB")
    except ValueError as error:
        raise MediaError(
            f"the stored image {where} cannot be decoded ({error}); prepare its source again with "
            f"--overwrite"
        ) from error
