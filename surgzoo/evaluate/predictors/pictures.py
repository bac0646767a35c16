"""Stored frames as the data URLs of a chat API.

A JPEG goes out byte by byte as it was stored; only a frame whose longer side exceeds a limit is
decoded, scaled and encoded again.
"""

from __future__ import annotations

import base64
import fractions
import io
from collections.abc import Sequence

import av
import cv2
import numpy as np
import simplejpeg

from surgzoo.data.media import decode_jpeg

QUALITY = 95  # of a JPEG that is encoded again
_CODEC = "libx264"


def scaled_size(width: int, height: int, largest: int | None) -> tuple[int, int]:
    """(width, height) of a picture whose longer side is `largest` at most."""
    longer = max(width, height)
    if largest is None or longer <= largest:
        return width, height
    return max(1, round(width * largest / longer)), max(1, round(height * largest / longer))


def jpeg(data: bytes, largest: int | None, where: str) -> bytes:
    """The stored JPEG, or a smaller one. Raises MediaError that names the record."""
    if largest is None:
        return data
    try:
        height, width = simplejpeg.decode_jpeg_header(data)[:2]
    except ValueError:
        decode_jpeg(data, where)  # says what is wrong
        raise
    size = scaled_size(width, height, largest)
    if size == (width, height):
        return data
    small = cv2.resize(decode_jpeg(data, where), size, interpolation=cv2.INTER_AREA)
    return simplejpeg.encode_jpeg(np.ascontiguousarray(small), QUALITY, "RGB", "444")


def url(data: bytes) -> str:
    """A JPEG as a data URL."""
    return f"data:image/jpeg;base64,{_text(data)}"


def frames_url(frames: Sequence[bytes]) -> str:
    """Frames as the one data URL that vLLM takes for a clip (its `VideoMediaIO.load_base64`)."""
    return f"data:video/jpeg;base64,{','.join(map(_text, frames))}"


def can_encode() -> bool:
    """Whether `video_url` has its codec."""
    return _CODEC in av.codecs_available


def video_url(frames: Sequence[bytes], fps: float, where: str) -> str:
    """Frames as a data URL of an MP4 (H.264, visually lossless, sides made even by an edge)."""
    out = io.BytesIO()
    with av.open(out, "w", format="mp4") as container:
        stream = container.add_stream(_CODEC, rate=fractions.Fraction(fps).limit_denominator())
        stream.pix_fmt, stream.options = "yuv420p", {"crf": "12"}
        for number, data in enumerate(frames):
            pixels = decode_jpeg(data, where)
            height, width = pixels.shape[:2]
            pixels = np.pad(pixels, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")
            if not number:
                stream.height, stream.width = pixels.shape[:2]
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        container.mux(stream.encode())
    return f"data:video/mp4;base64,{_text(out.getvalue())}"


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")
