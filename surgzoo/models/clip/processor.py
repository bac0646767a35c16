"""Frames to normalised pixels, texts to tokens."""

from __future__ import annotations

import pathlib
from collections.abc import Sequence

import numpy as np
import tokenizers
from jaxtyping import Bool, Float, Int, UInt8
from PIL import Image

from surgzoo.models.clip.config import DualEncoderConfig
from surgzoo.models.qwen2_5_vl.tokenizer import tokenizer_json

# Of the pictures that CLIP was trained on (its published preprocessing).
_CLIP_MEAN = np.array([0.48145466, 0.4578275, 0.40821073], np.float32)
_CLIP_STD = np.array([0.26862954, 0.26130258, 0.27577711], np.float32)


def tokenizer_file(path: str | pathlib.Path) -> pathlib.Path:
    """The tokenizer.json of a folder, itself, or for "shipped" the project's small one."""
    return tokenizer_json(None if str(path) == "shipped" else path)


class DualEncoderProcessor:
    """Both sides of a dual encoder. Without a tokenizer only `images` can be used.

    Raises ValueError when the tokenizer has more tokens than the model has embeddings.
    """

    def __init__(self, config: DualEncoderConfig, tokenizer: str | pathlib.Path | None = None):
        self.config = config
        size = config.vision.image_size
        self.image_shape, self.text_length = (size, size, 3), config.text.length
        self.tokenizer = None
        if tokenizer is not None:
            file = tokenizer_file(tokenizer)
            self.tokenizer = tokenizers.Tokenizer.from_file(str(file))
            self.tokenizer.no_padding()
            self.tokenizer.no_truncation()
            size = max(self.tokenizer.get_vocab().values()) + 1
            if size > config.text.vocab:
                raise ValueError(f"{file} has {size} tokens, the model {config.text.vocab}")

    def images(self, frames: Sequence[UInt8[np.ndarray, "h w 3"]]) -> Float[np.ndarray, "B H W 3"]:
        """Normalised float32 pixels of RGB frames of any sizes.

        CLIP: the shorter side is resized to the model's size and the middle cut out. SigLIP: both
        sides are resized, the aspect ratio is dropped, nothing is lost.
        """
        if not len(frames):
            raise ValueError("no frames")
        return np.stack([self._image(np.asarray(frame)) for frame in frames])

    def frames(self, frames: Sequence[np.ndarray]) -> dict[str, np.ndarray]:
        """What `embed_frames` reads of uint8 RGB frames of any sizes."""
        return {"images": self.images(frames)}

    def _image(self, frame: np.ndarray) -> np.ndarray:
        if frame.dtype != np.uint8 or frame.ndim != 3 or frame.shape[2] != 3:
            raise ValueError(f"a frame is uint8 [H, W, 3] RGB, not {frame.dtype} {frame.shape}")
        size = self.config.vision.image_size
        how = Image.Resampling[self.config.resample.upper()]
        image = Image.fromarray(frame)
        if self.config.style == "siglip":
            pixels = np.asarray(image.resize((size, size), how), np.float32)
            return pixels / np.float32(127.5) - 1
        height, width = frame.shape[:2]
        short = min(height, width)
        width, height = (int(size * side / short) for side in (width, height))
        image = image.resize((width, height), how)
        left, top = (width - size) // 2, (height - size) // 2
        pixels = np.asarray(image.crop((left, top, left + size, top + size)), np.float32)
        return (pixels / np.float32(255) - _CLIP_MEAN) / _CLIP_STD

    def texts(
        self, texts: Sequence[str], *, truncate: bool = False
    ) -> tuple[Int[np.ndarray, "B S"], Bool[np.ndarray, "B S"]]:
        """Tokens, int32, padded to the model's length, and a mask that is True where one is read.

        SigLIP was trained to read its padding: there the mask is True everywhere.

        Raises ValueError without a tokenizer, and for a text that is too long unless `truncate`,
        which keeps its beginning and the end token.
        """
        if self.tokenizer is None:
            raise ValueError(
                "this processor has no tokenizer: give processor() the folder of the checkpoint, "
                "or its tokenizer.json"
            )
        text = self.config.text
        tokens = np.full((len(texts), text.length), text.pad, np.int32)
        mask = np.full(tokens.shape, self.config.style == "siglip")
        for i, words in enumerate(texts):
            words = words.lower() if text.lowercase else words
            # The ids around a text are the model's: files differ in whether they add them.
            ids = self.tokenizer.encode(words, add_special_tokens=False).ids
            ids = [] if text.start is None else [text.start], ids, [text.end]
            room = text.length - len(ids[0]) - 1
            if len(ids[1]) > room and not truncate:
                raise ValueError(
                    f"text {i} has {len(ids[1])} tokens, the model reads {room}: shorten it or say "
                    f"truncate=True: '{words[:60]}'"
                )
            row = [*ids[0], *ids[1][:room], *ids[2]]
            tokens[i, : len(row)] = row
            mask[i, : len(row)] = True
        return tokens, mask
