"""What a model is shown of media: the frames that a policy picks, in the size that it takes."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from surgzoo.core.contract import Processor
from surgzoo.data.frame_cache import FrameCache
from surgzoo.data.jpeg import Decode, MediaError, decode_resized, jpeg_size, keep_memory
from surgzoo.data.media import MediaReader
from surgzoo.data.sampling import VideoConfig, sample
from surgzoo.db.records import PICTURES
from surgzoo.db.schema import Media
from surgzoo.db.store import Store

# Bytes. A batch of questions about neighbouring frames or overlapping clips finds them here; 854 x
# 480 pixels are 1.2 MB, and threads that work on a batch hold a few rows' worth at a time.
CACHE = 128 << 20


class ModelReader(MediaReader):
    """Decodes media for a processor, each frame once as long as it is held; safe for threads.

    The size that a frame gets follows from its stored one, here and nowhere else; the processor
    leaves pixels from here alone (`fitted`).
    """

    fitted = True

    def __init__(
        self,
        stores: Callable[[str, str], Store],
        processor: Processor,
        *,
        decode: Decode = "exact",
        video: VideoConfig | None = None,
        cache: int = CACHE,
    ):
        """`video` is how clips are shown, by default `VideoConfig()`; `cache` is in bytes."""
        super().__init__(stores)
        keep_memory()
        self._processor, self._decode = processor, decode
        self._video = video or VideoConfig()
        self._cache = FrameCache(cache)

    def __call__(self, media: Sequence[Media]) -> tuple[list[np.ndarray], list[float]]:
        """Pixels (read-only) and frame rates in Hz: of a clip that of the frames shown.

        Raises MediaError that names the record or the clip, and the way out.
        """
        shown = [self._shown(item) for item in media]
        return [pixels for pixels, _ in shown], [fps for _, fps in shown]

    def outlines(self, media: Sequence[Media]) -> tuple[list[np.ndarray], list[float]]:
        """What a call returns, without the pixels: arrays of the same shapes that take no memory.

        Of a picture its header is read, of a clip that of the first frame.
        """
        found = [self._outline(item) for item in media]
        return [np.broadcast_to(np.uint8(0), shape) for shape, _ in found], [
            fps for _, fps in found
        ]

    def _outline(self, media: Media) -> tuple[tuple[int, ...], float]:
        store = self._stores(media.source, media.config)
        fps = store.video(media.video).video.fps
        if media.kind not in PICTURES:
            return self.read(media).shape, fps
        frames = None
        try:
            if media.kind == "clip" or media.count > 1:
                chosen, fps = sample(media.count, fps, self._video)
                frames = len(chosen)
            where = f"{media.source}/{media.video}/{media.first}"
            stored = jpeg_size(store.frame(media.video, media.first).image, where)
            shape = (*self._size(*stored, frames), 3)
        except MediaError:
            raise
        except ValueError as error:
            raise MediaError(f"{_name(media)}: {error}") from error
        return (shape if frames is None else (frames, *shape)), fps

    def read(self, media: Media) -> np.ndarray:
        """The pixels of one pointer. Raises MediaError as above."""
        return self._shown(media)[0]

    def _shown(self, media: Media) -> tuple[np.ndarray, float]:
        fps = self._stores(media.source, media.config).video(media.video).video.fps
        if media.kind not in PICTURES:
            pixels = super().read(media)
            if pixels.ndim != 3 or pixels.dtype != np.uint8:
                raise MediaError(f"{_name(media)}: a model cannot be shown the map '{media.kind}'")
            size = self._processor.resized_size(*pixels.shape[:2])
            return self._processor.resize(pixels, *size), fps
        if media.kind != "clip" and media.count == 1:
            return self._frame(media, media.first, None), fps
        try:
            frames, fps = sample(media.count, fps, self._video)
            pixels = [self._frame(media, media.first + k, len(frames)) for k in frames]
        except MediaError:
            raise
        except ValueError as error:
            raise MediaError(f"{_name(media)}: {error}") from error
        if len({frame.shape for frame in pixels}) > 1:
            raise MediaError(f"{_name(media)}: the stored frames have different sizes")
        return np.stack(pixels), fps

    def _frame(self, media: Media, index: int, frames: int | None) -> np.ndarray:
        """Frame `index` of a video as an image, or as one of the `frames` of a clip."""

        def make() -> np.ndarray:
            store = self._stores(media.source, media.config)
            where = f"{media.source}/{media.video}/{index}"
            data = store.frame(media.video, index).image
            size = self._size(*jpeg_size(data, where), frames)
            return decode_resized(data, *size, self._decode, self._processor.resize, where)

        # A frame's size follows from its stored one and from how many share the budget.
        return self._cache.get((media.source, media.config, media.video, index, frames), make)

    def _size(self, height: int, width: int, frames: int | None) -> tuple[int, int]:
        if frames is None:
            return self._processor.resized_size(height, width)
        try:
            return self._processor.clip_size(height, width, frames, self._video.tokens)
        except ValueError as error:
            raise ValueError(
                f"{error}: raise data.video.tokens, or lower data.video.max_frames or "
                "data.video.fps"
            ) from error


def _name(media: Media) -> str:
    last = media.first + media.count - 1
    return f"clip {media.source}.{media.config}/{media.video}/{media.first}-{last}"
