"""Pictures and texts in the space of a trained dual encoder, batch by batch."""

from __future__ import annotations

import concurrent.futures
import itertools
import time
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import jax
import numpy as np
from jaxtyping import Float

from surgzoo.core import parallel
from surgzoo.data.media import MediaReader, Stores
from surgzoo.db.schema import Media
from surgzoo.evaluate.predictors.local import Restored

_THREADS = 2


class Seen(NamedTuple):
    """Pictures of one batch.

    Attributes:
      places: which of the asked pictures they are; `errors` says why others have no embedding.
      device, waited: seconds of the device, and before it had anything to do.
    """

    places: list[int]
    embeddings: Float[np.ndarray, "B E"]
    errors: dict[int, str]
    device: float
    waited: float


class Embedder:
    """Embeddings of length one, float32. Batches are filled up, so that each side compiles once."""

    def __init__(self, found: Restored, stores: Stores, batch_size: int):
        self._found, self._read = found, MediaReader(stores)
        self._size = parallel.whole_batch(batch_size, found.mesh)
        self._image = jax.jit(found.model.embed_image)
        self._text = jax.jit(found.model.embed_text)

    def texts(self, texts: Sequence[str], *, truncate: bool = False) -> Float[np.ndarray, "N E"]:
        """Raises ValueError for a text that is too long unless `truncate`."""
        tokens, mask = self._found.processor.texts(texts, truncate=truncate)
        out = []
        for start in range(0, len(texts), self._size):
            rows = {
                "tokens": tokens[start : start + self._size],
                "mask": mask[start : start + self._size],
            }
            count = len(rows["tokens"])
            placed = parallel.shard_batch(self._filled(rows), self._found.mesh)
            found = self._text(self._found.params, placed["tokens"], placed["mask"])
            out.append(np.asarray(jax.device_get(found))[:count])
        return np.concatenate(out)

    def means(self, groups: Sequence[Sequence[str]]) -> Float[np.ndarray, "G E"]:
        """Of each group of texts the mean of their embeddings, again of length one."""
        flat = self.texts([text for group in groups for text in group])
        edges = np.cumsum([0, *map(len, groups)])
        means = np.stack([flat[a:b].mean(axis=0) for a, b in itertools.pairwise(edges)])
        return means / np.maximum(np.linalg.norm(means, axis=1, keepdims=True), 1e-6)

    def pictures(self, media: Sequence[Media]) -> Iterator[Seen]:
        """In order. The next batch is read and made while the device works on this one."""
        starts = range(0, len(media), self._size)
        with concurrent.futures.ThreadPoolExecutor(_THREADS) as pool:

            def ahead(start: int) -> list[concurrent.futures.Future]:
                return [pool.submit(self._pixels, item) for item in media[start:][: self._size]]

            coming = ahead(0)
            for start in starts:
                clock = time.perf_counter()
                read = [future.result() for future in coming]
                waited = time.perf_counter() - clock
                coming = ahead(start + self._size)
                yield self._seen(start, read, waited)

    def _pixels(self, media: Media) -> np.ndarray | str:
        """The picture as the model reads it, or why there is none."""
        try:
            return self._found.processor.images([self._read.read(media)])[0]
        except ValueError as error:
            return str(error)

    def _seen(self, start: int, read: Sequence[np.ndarray | str], waited: float) -> Seen:
        errors = {start + n: item for n, item in enumerate(read) if isinstance(item, str)}
        places = [start + n for n in range(len(read)) if start + n not in errors]
        if not places:
            width = jax.eval_shape(
                self._found.model.embed_image,
                self._found.params,
                jax.ShapeDtypeStruct((1, *self._found.processor.image_shape), np.float32),
            ).shape[1]
            return Seen([], np.zeros((0, width), np.float32), errors, 0.0, waited)
        clock = time.perf_counter()
        rows = self._filled({"images": np.stack([read[place - start] for place in places])})
        placed = parallel.shard_batch(rows, self._found.mesh)
        found = np.asarray(jax.device_get(self._image(self._found.params, placed["images"])))
        device = time.perf_counter() - clock
        return Seen(places, found[: len(places)], errors, device, waited)

    def _filled(self, rows: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """With copies of the last row up to the size of a batch."""
        count = len(next(iter(rows.values())))
        index = np.minimum(np.arange(self._size), count - 1)
        return {name: value[index] for name, value in rows.items()}
