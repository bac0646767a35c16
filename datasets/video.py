"""Frames of a video file at a chosen fps, aligned to the clock of the video.

Frame k of the result shows the moment k / fps: of all frames of the file it is the last one at or
before that moment, by the file's own time stamps. For a file of constant 25 fps that makes frame k
at 1 fps exactly frame 25 k of the file, which is what 25-fps labels count. Times are compared as
fractions, so nothing drifts over two hours, and 30000/1001 fps is as exact as 25.

A file with wide-spaced key frames is decoded from front to back and only the kept frames are
converted to RGB; one with a key frame in every sampling period is read by seeking, which is several
times faster there and several times slower elsewhere (the choice is made from the file).

Damage does not end the reading: what lies between the damage and the next key frame is left out and
reported as `Damaged`, since a decoder shows smears there that look like frames.
"""

from __future__ import annotations

import collections
import dataclasses
import itertools
import math
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import BinaryIO, Literal

import av
import cv2
import numpy as np
import simplejpeg

JPEG_QUALITY = 95
PROBED_PACKETS = 600  # about 24 s of video, more than two key frames of any usual encoder


class VideoError(ValueError):
    """A file that cannot be read as a video at all; names the file and the reason."""


@dataclasses.dataclass(frozen=True)
class VideoInfo:
    """What the header says. `frames` is 0 where the container does not count them.

    `gop` is the widest distance of key frames among the first packets, in frames.
    """

    fps: Fraction
    width: int
    height: int
    frames: int
    duration: float  # seconds
    gop: int


@dataclasses.dataclass(frozen=True)
class DecodedFrame:
    """Frame `index` of the result, at `time` = index / fps; frame number `original` of the file.

    `image` is uint8 [height, width, 3], RGB.
    """

    index: int
    time: float
    original: int
    image: np.ndarray


@dataclasses.dataclass(frozen=True)
class Damaged:
    """Frames index .. index + count - 1 of the result, which the file does not give, and why."""

    index: int
    count: int
    time: float
    reason: str


def probe(path: str | Path | BinaryIO) -> VideoInfo:
    """Reads the header and the first packets, decodes nothing. Raises VideoError."""
    with _open(path) as container:
        stream = container.streams.video[0]
        rate = _rate(stream)
        keys = []
        packets = itertools.islice(container.demux(stream), PROBED_PACKETS)
        number = -1
        try:
            for number, packet in enumerate(p for p in packets if p.size):
                if packet.is_keyframe:
                    keys.append(number)
        except av.error.FFmpegError:
            pass  # `decode` will meet the damage again and report it
        if stream.duration is not None:
            duration = float(stream.duration * stream.time_base)
        else:
            duration = (container.duration or 0) / av.time_base
        gaps = [b - a for a, b in itertools.pairwise([*keys, number + 1])]
        return VideoInfo(
            fps=rate,
            width=stream.codec_context.width,
            height=stream.codec_context.height,
            frames=stream.frames,
            duration=duration,
            gop=max(gaps, default=1),
        )


def frame_at(time: float, file_fps: Fraction | float) -> int:
    """The frame that a constant-rate file shows at `time` (seconds): floor(time * file_fps).

    `time` is a sample's own, index / fps: taken as the fraction that was meant, so that 0.2 s at 25
    fps is frame 5 whatever floats make of it.
    """
    return math.floor(rational(time) * rational(file_fps))


def rational(fps: Fraction | float) -> Fraction:
    """A rate as the fraction that was meant: 0.4 is 2/5, 29.97002997 is 30000/1001."""
    return Fraction(fps).limit_denominator(10_000)


def decode(
    path: str | Path | BinaryIO,
    fps: Fraction | float,
    *,
    max_side: int | None = None,
    strategy: Literal["auto", "sequential", "seek"] = "auto",
    threads: int = 1,
) -> Iterator[DecodedFrame | Damaged]:
    """Yields the frames of a video at `fps`, in order, and `Damaged` where the file has none.

    `path` may be an open binary file (in an archive). `max_side` shrinks larger images. One thread
    a file is right when files are read side by side. An AVI file is read in order always.
    Raises VideoError when the file cannot be opened or holds no frame at all.
    """
    fps = rational(fps)
    if strategy == "auto":
        info = probe(path)
        strategy = "sequential" if info.fps / fps < info.gop else "seek"
    with _open(path) as container:
        stream = container.streams.video[0]
        stream.codec_context.thread_count = threads
        timeline = _Timeline(stream, fps)
        # Frames of an AVI file are told by their order, so they are read in it.
        in_order = strategy == "sequential" or _unstamped(container)
        picker = _sequential if in_order else _seeking
        missing = 0
        reason = ""
        good = 0
        for index, item in enumerate(picker(container, stream, timeline)):
            if isinstance(item, str):
                missing, reason = missing + 1, item
                continue
            if missing:
                yield Damaged(index - missing, missing, float((index - missing) / fps), reason)
                missing = 0
            good += 1
            image = fit(item.to_ndarray(format="rgb24"), max_side)
            yield DecodedFrame(index, float(index / fps), timeline.number(item), image)
        if not good:
            raise VideoError(f"{path}: no frame can be decoded ({reason or 'the stream is empty'})")
        if missing:
            first = index + 1 - missing
            yield Damaged(first, missing, float(first / fps), reason)


def fit(image: np.ndarray, max_side: int | None) -> np.ndarray:
    """Shrinks uint8 [height, width, 3] so that no side is above `max_side`; never enlarges."""
    height, width = image.shape[:2]
    if max_side is None or max(height, width) <= max_side:
        return image
    scale = max_side / max(height, width)
    size = max(1, round(width * scale)), max(1, round(height * scale))
    return cv2.resize(image, size, interpolation=cv2.INTER_AREA)


def encode_jpeg(image: np.ndarray, quality: int = JPEG_QUALITY) -> bytes:
    """uint8 [height, width, 3] RGB to JPEG. 4:2:0, as the surgical videos themselves are."""
    return simplejpeg.encode_jpeg(
        np.ascontiguousarray(image), quality, colorspace="RGB", colorsubsampling="420"
    )


# ---- the two ways through a file -----------------------------------------------------------------


class _Timeline:
    """Times of frames and samples as fractions of a second from the start of the stream."""

    def __init__(self, stream: av.video.stream.VideoStream, fps: Fraction):
        self.fps = fps
        self.base = stream.time_base
        self.start = stream.start_time or 0
        self.rate = _rate(stream)
        # Containers that count milliseconds round time stamps by up to half a tick. A tick may also
        # be a whole frame, and then stamps are exact: hence never more than a quarter of a frame.
        self.slack = min(self.base / 2, 1 / (4 * self.rate))
        # Where the header says the video ends; 0 where it does not count frames.
        self.end = stream.frames / self.rate
        if stream.duration is not None:
            self.end = min(self.end, stream.duration * self.base)

    def time(self, frame: av.VideoFrame) -> Fraction:
        return (frame.pts - self.start) * self.base

    def number(self, frame: av.VideoFrame) -> int:
        return round(self.time(frame) * self.rate)

    def sample(self, index: int) -> Fraction:
        """The latest time stamp that still counts as at or before sample `index`."""
        return index / self.fps + self.slack

    def stamp(self, index: int, early: int = 0) -> int:
        """`early` seconds before sample `index`, in the stream's time base, for seeking."""
        return self.start + max(0, math.floor((self.sample(index) - early) / self.base))


def _sequential(container, stream, timeline: _Timeline) -> Iterator[av.VideoFrame | str]:
    """One item a sample: the frame, or the reason why there is none."""
    if stream.codec_context.thread_count != 1:
        stream.thread_type = "AUTO"  # frame threads too, which seeking could not use
    index = 0
    held: av.VideoFrame | None = None  # the last good frame: shown until the next one begins
    damage: str | None = None  # set from the damage up to the next key frame
    stamps = collections.deque() if _unstamped(container) else None
    for frame, problem in _frames(container.demux(stream), stamps):
        if problem is not None:
            damage = problem
            continue
        if damage is not None and not frame.key_frame:
            continue
        begin = timeline.time(frame)
        while timeline.sample(index) < begin:
            if damage is not None and not _shown(held, index, timeline):
                yield damage
            elif held is not None:
                yield held
            else:
                yield f"the first frame is at {float(begin):.3f} s"
            index += 1
        held, damage = frame, None
    if held is None:
        return
    # The last frame is shown for its own duration; what the header promises beyond it is missing.
    shown_until = timeline.time(held) + 1 / timeline.rate
    while index / timeline.fps + timeline.slack < shown_until:
        yield held
        index += 1
    while index / timeline.fps + timeline.slack < timeline.end:
        yield damage or (
            f"the file ends after frame {timeline.number(held)} of "
            f"{stream.frames} that its header declares"
        )
        index += 1


def _seeking(container, stream, timeline: _Timeline) -> Iterator[av.VideoFrame | str]:
    """As `_sequential`, by one seek a sample; for files with dense key frames."""
    stream.thread_type = "SLICE"  # frame threads hold frames back after every seek
    index = 0
    while True:
        item = _at(container, stream, timeline, index)
        if item is None:
            return
        yield item
        index += 1


def _at(
    container, stream, timeline: _Timeline, index: int, early: int = 0
) -> av.VideoFrame | str | None:
    """The frame of sample `index`, the reason why there is none, or None behind the last frame."""
    target = timeline.sample(index)
    beyond = bool(timeline.end) and target >= timeline.end
    held = None
    damage = None
    try:
        container.seek(timeline.stamp(index, early), stream=stream)
    except av.error.FFmpegError as error:
        return None if beyond or not timeline.end else f"cannot seek: {error.strerror}"
    for frame, problem in _frames(container.demux(stream)):
        if problem is not None:
            damage = problem
            continue
        if damage is not None and not frame.key_frame:
            continue
        begin = timeline.time(frame)
        if begin > target:
            break
        held, damage = frame, None
        if begin + 1 / timeline.rate > target:
            return held  # the next frame begins later: no need to decode it
    else:
        if held is None or timeline.time(held) + 1 / timeline.rate <= target:
            if beyond or not timeline.end:
                return None
            return damage or "the file ends before the last frame that its header declares"
    if damage is not None and not _shown(held, index, timeline):
        return damage
    if held is None and early < target:  # a coarse index: the seek went too far
        return _at(container, stream, timeline, index, 2 * early or 1)
    return held or "no frame at or before this moment"


def _shown(frame: av.VideoFrame | None, index: int, timeline: _Timeline) -> bool:
    """Whether an undamaged file of this rate would still show `frame` at sample `index`."""
    return frame is not None and timeline.sample(index) < timeline.time(frame) + 1 / timeline.rate


def _unstamped(container) -> bool:
    """Whether the container holds no presentation times. AVI does not: FFmpeg makes them up, with
    the decoder's delay counted in, and wrong ones where frames are reordered."""
    return container.format.name == "avi"


def _frames(
    packets, stamps: collections.deque[int] | None = None
) -> Iterator[tuple[av.VideoFrame | None, str | None]]:
    """Decodes packets to (frame, None), or (None, reason) where one cannot be used.

    With `stamps` (empty at first) the n-th frame shown gets the place in the file of the n-th
    packet as its time, instead of the packet's own presentation time.
    """
    packets = iter(packets)
    while True:
        try:
            packet = next(packets, None)
            if packet is None:
                return
            if stamps is not None and packet.size:
                stamps.append(packet.dts)
            frames = packet.decode()
        except av.error.FFmpegError as error:
            if isinstance(error, av.error.EOFError):
                return
            if stamps:
                stamps.pop()
            yield None, f"cannot be decoded: {error.strerror}"
            continue
        for frame in frames:
            if stamps:
                frame.pts = stamps.popleft()
            if frame.is_corrupt:
                yield None, "the decoder marks the frame as corrupt"
            elif frame.pts is not None:
                yield frame, None


def _open(path: str | Path | BinaryIO) -> av.container.InputContainer:
    try:
        if isinstance(path, (str, Path)):
            container = av.open(str(path))
        else:
            path.seek(0)  # it may have been probed
            container = av.open(path)
    except (av.error.FFmpegError, OSError) as error:
        raise VideoError(f"{path}: cannot be opened as a video ({error})") from None
    if not container.streams.video:
        container.close()
        raise VideoError(f"{path}: holds no video stream")
    if not _rate(container.streams.video[0]):
        container.close()
        raise VideoError(f"{path}: states no frame rate")
    return container


def _rate(stream: av.video.stream.VideoStream) -> Fraction:
    """The nominal rate. The average is second choice: one odd last frame shifts it."""
    return Fraction(stream.guessed_rate or stream.average_rate or 0)
