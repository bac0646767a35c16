"""Records from a video file or from still images: the two ways frames come into a source.

Both take a `label` function: it gets the key of a frame (the time in seconds for a video, the
still's own key) and its pixels, and returns the annotations, alone or with dense maps. It may
raise `FrameError`: then that frame is quarantined with the reason, and the rest goes on.

Frames that show no patient (blackened or whitened by the owner, so that nobody in the room is
seen) are flagged here for all sources.
"""

from __future__ import annotations

import collections
import concurrent.futures
import dataclasses
from collections.abc import Callable, Hashable, Iterator, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any, BinaryIO

import cv2
import numpy as np

from surgzoo.datasets import video as videos
from surgzoo.datasets.annotation_files import FrameError
from surgzoo.datasets.layout import File
from surgzoo.db import records, schema
from surgzoo.db.records import Quarantined

AHEAD = 4  # decoded frames that wait for their encoding
BLACK, WHITE = 8, 247  # lossy re-encoding lifts pure black by a few units, and dims white

Annotated = schema.FrameAnnotations | tuple[schema.FrameAnnotations, dict[str, bytes]]
Label = Callable[[Any, np.ndarray], Annotated]
Items = Iterator[records.FrameRecord | Quarantined]

_threads = 1


def decode_with(threads: int) -> None:
    """How many threads the decoder of this process may use; 0 = one a core.

    One is right while files are read side by side; with fewer files than cores, more help.
    """
    global _threads
    _threads = threads


@dataclasses.dataclass(frozen=True)
class Lost:
    """`VideoJob.frames` of a video of which nothing can be stored: labels without media, say."""

    item: Quarantined

    def __call__(self) -> Items:
        yield self.item


@dataclasses.dataclass(frozen=True)
class Still:
    """An image file at a time of its video. `key` is what `label` gets, e.g. a frame number."""

    time: float  # seconds
    file: File
    key: Hashable


def from_video(
    video: str,
    file: File,
    fps: Fraction | float,
    label: Label,
    *,
    interval: tuple[float, float] | None = None,
) -> Items:
    """The frames of a video file at `fps`; `label` gets the time in seconds from its start.

    `interval` keeps [start, end) of the file only; frame times stay those of the file. What a
    damaged file does not give is quarantined, the rest is kept.
    """

    def finished(item: videos.DecodedFrame | videos.Damaged) -> records.FrameRecord | Quarantined:
        if isinstance(item, videos.Damaged):
            where = f"{file}, {item.count} frames from {item.time:.2f} s on"
            return Quarantined(video, where, item.reason)
        where = f"{file}, {item.time:.2f} s"
        return _record(video, 0, item.time, item.image, None, label, item.time, where)

    def decoded() -> Iterator[videos.DecodedFrame | videos.Damaged]:
        for item in videos.decode(_media(file), fps, threads=_threads):
            if interval is not None and item.time >= interval[1]:
                return
            if interval is None or item.time >= interval[0]:
                yield item

    stored = 0
    try:
        for record in _ahead(finished, decoded()) if _threads != 1 else map(finished, decoded()):
            if isinstance(record, records.FrameRecord):
                frame = dataclasses.replace(record.frame, index=stored)
                record = dataclasses.replace(record, frame=frame)
                stored += 1
            yield record
    except (videos.VideoError, OSError) as error:
        yield Quarantined(video, str(file), str(error))


def _ahead(function: Callable[[Any], Any], items: Iterator[Any]) -> Iterator[Any]:
    """`map` in a second thread: frames are encoded while the decoder goes on."""
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        waiting: collections.deque[concurrent.futures.Future] = collections.deque()
        for item in items:
            waiting.append(pool.submit(function, item))
            if len(waiting) > AHEAD:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


def _media(file: File) -> Path | BinaryIO:
    """What PyAV opens: the path of a file on disk, an open file of one in an archive."""
    return file.disk if not file.member and file.place is None else file.open()


def from_images(
    video: str,
    stills: Sequence[Still],
    label: Label,
    *,
    crop: tuple[int, int, int, int] | None = None,
) -> Items:
    """Image files in their order. A JPEG is stored as it is, everything else as a new JPEG.

    `crop` = (x, y, width, height) in pixels is what is stored of each image, and what `label` gets.
    """
    stored = 0
    for still in stills:
        found = read_image(still.file)
        if isinstance(found, str):
            yield Quarantined(video, str(still.file), found)
            continue
        image, data = found
        if crop is not None:
            x, y, width, height = crop
            image, data = image[y : y + height, x : x + width], None
            if image.shape[:2] != (height, width):
                reason = f"the image ends within the part that is cut out, {crop}"
                yield Quarantined(video, str(still.file), reason)
                continue
        record = _record(video, stored, still.time, image, data, label, still.key, str(still.file))
        stored += isinstance(record, records.FrameRecord)
        yield record


def read_image(file: File) -> tuple[np.ndarray, bytes | None] | str:
    """(uint8 [height, width, 3] RGB, the file's bytes if it is a JPEG), or why it cannot be read.

    A JPEG that ends early is refused: decoders fill the rest with gray.
    """
    try:
        data = file.read()
    except Exception as error:  # zipfile, zlib and the file system each have their own
        return f"cannot be read ({error})"
    jpeg = data.startswith(b"\xff\xd8")
    if jpeg and b"\xff\xd9" not in data[-64:]:
        return "the JPEG file ends early"
    buffer = np.frombuffer(data, np.uint8)
    image = cv2.imdecode(buffer, cv2.IMREAD_COLOR_RGB) if data else None
    if image is None:
        return "not a readable image" if data else "the file is empty"
    return image, data if jpeg else None


def image_size(stills: Sequence[Still]) -> tuple[int, int]:
    """(height, width) of the first readable image, (0, 0) when there is none."""
    for still in stills:
        found = read_image(still.file)
        if not isinstance(found, str):
            return found[0].shape[0], found[0].shape[1]
    return 0, 0


def probe(file: File) -> videos.VideoInfo | None:
    """What a video's header says, or None when it has none: `from_video` then quarantines it."""
    try:
        return videos.probe(_media(file))
    except (videos.VideoError, OSError):
        return None


def size_and_length(info: videos.VideoInfo | None) -> dict[str, Any]:
    """Fields of `schema.Video` by a video's header; zeros for one that cannot be opened."""
    if info is None:
        return {"height": 0, "width": 0, "duration": 0.0}
    return {"height": info.height, "width": info.width, "duration": info.duration}


def _record(
    video: str,
    index: int,
    time: float,
    image: np.ndarray,
    data: bytes | None,
    label: Label,
    key: Any,
    where: str,
) -> records.FrameRecord | Quarantined:
    try:
        annotated = label(key, image)
    except FrameError as error:
        return Quarantined(video, where, str(error))
    annotations, dense = annotated if isinstance(annotated, tuple) else (annotated, {})
    color = "black" if image.max() <= BLACK else "white" if image.min() >= WHITE else ""
    if color:
        annotations = dataclasses.replace(
            annotations,
            flags={**annotations.flags, "out_of_body": 1.0},
            derived={**annotations.derived, "flags.out_of_body": f"the image is {color}"},
        )
    frame = schema.Frame(video, index, time)
    return records.FrameRecord(frame, annotations, data or videos.encode_jpeg(image), dense)
