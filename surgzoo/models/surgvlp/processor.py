"""Frames to normalised pixels, sentences to word-pieces."""

from __future__ import annotations

import json
import pathlib
import string
from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float, Int, UInt8
from PIL import Image
from tokenizers import BertWordPieceTokenizer

from surgzoo.models.surgvlp.config import SurgVLPConfig

_MEAN = np.array([0.485, 0.456, 0.406], np.float32)  # of ImageNet
_STD = np.array([0.229, 0.224, 0.225], np.float32)
_WAY_OUT = (
    "name the folder of the text tower's vocab.txt with model.tokenizer (Bio_ClinicalBERT for the "
    'published weights, "shipped" for surgvlp-tiny)'
)
_SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")


def vocab_file(path: str | pathlib.Path) -> pathlib.Path:
    """The vocab.txt of a folder, or itself.

    Raises FileNotFoundError where there is none, ValueError for weights in its place.
    """
    path = pathlib.Path(path)
    if not path.exists():
        raise FileNotFoundError(
            f"there is no {path}: the weights of a run are written with `surgzoo weights`, and a "
            f"vocabulary alone: {_WAY_OUT}"
        )
    file = path / "vocab.txt" if path.is_dir() else path
    if not file.is_file():
        raise FileNotFoundError(f"no WordPiece vocabulary at {file}: {_WAY_OUT}")
    if file.suffix != ".txt":
        raise ValueError(f"{file} is no vocabulary, one word-piece a line, in a .txt: {_WAY_OUT}")
    return file


def lowers(config: SurgVLPConfig, vocab: pathlib.Path | None) -> bool:
    """Whether texts are lowered: what lies beside the vocabulary says, else the config."""
    beside = None if vocab is None else vocab.with_name("tokenizer_config.json")
    if beside is None or not beside.is_file():
        return config.input.lowercase
    return json.loads(beside.read_text()).get("do_lower_case", config.input.lowercase)


def letters() -> dict[str, int]:
    """The vocabulary of the tiny model: letters and digits, alone and inside words, and marks."""
    signs = [*string.ascii_lowercase, *string.digits]
    tokens = [*_SPECIAL, *signs, *(f"##{sign}" for sign in signs), *string.punctuation]
    return {token: number for number, token in enumerate(tokens)}


class SurgVLPProcessor:
    """Both sides. Without a vocabulary only `images` can be used.

    `vocab` is a folder with vocab.txt (one word-piece a line, such as Bio_ClinicalBERT's), that
    file, or "shipped". Raises FileNotFoundError without the file, ValueError when it lacks the
    special tokens or has more tokens than the model.
    """

    def __init__(self, config: SurgVLPConfig, vocab: str | pathlib.Path | None = None):
        self.config = config
        size = config.input.crop
        self.image_shape, self.text_length = (size, size, 3), config.input.length
        self.tokenizer = None
        if vocab is None:
            return
        if str(vocab) == "shipped":
            table, where, lowercase = letters(), "the shipped vocabulary", config.input.lowercase
        else:
            where = vocab_file(vocab)
            lowercase = lowers(config, where)
            lines = where.read_text(encoding="utf-8").splitlines()
            table = {line.strip(): number for number, line in enumerate(lines)}
        missing = [token for token in _SPECIAL if token not in table]
        if missing:
            raise ValueError(f"{where} lacks the special tokens {', '.join(missing)}")
        if max(table.values()) >= config.text.vocab:
            raise ValueError(
                f"{where} has {max(table.values()) + 1} tokens, the model {config.text.vocab}"
            )
        self.tokenizer = BertWordPieceTokenizer(table, lowercase=lowercase)
        self._ids = {token: table[token] for token in _SPECIAL}

    def images(self, frames: Sequence[UInt8[np.ndarray, "h w 3"]]) -> Float[np.ndarray, "B H W 3"]:
        """Normalised float32 pixels of RGB frames: resized to one size, the middle cut out."""
        if not len(frames):
            raise ValueError("no frames")
        return np.stack([self._image(np.asarray(frame)) for frame in frames])

    def frames(self, frames: Sequence[np.ndarray]) -> dict[str, np.ndarray]:
        """What `embed_frames` reads of uint8 RGB frames of any sizes."""
        return {"images": self.images(frames)}

    def _image(self, frame: np.ndarray) -> np.ndarray:
        if frame.dtype != np.uint8 or frame.ndim != 3 or frame.shape[2] != 3:
            raise ValueError(f"a frame is uint8 [H, W, 3] RGB, not {frame.dtype} {frame.shape}")
        (height, width), size = self.config.input.resize, self.config.input.crop
        image = Image.fromarray(frame).resize((width, height), Image.Resampling.BILINEAR)
        # Rounded as torchvision's CenterCrop does.
        left, top = round((width - size) / 2), round((height - size) / 2)
        pixels = np.asarray(image.crop((left, top, left + size, top + size)), np.float32)
        return (pixels / np.float32(255) - _MEAN) / _STD

    def texts(
        self, texts: Sequence[str], *, truncate: bool = False
    ) -> tuple[Int[np.ndarray, "B S"], Bool[np.ndarray, "B S"]]:
        """Tokens, int32, [CLS] ... [SEP] padded to the length, and True where there is a token.

        Raises ValueError without a vocabulary, and for a text that is too long unless `truncate`,
        which keeps its beginning and [SEP].
        """
        if self.tokenizer is None:
            raise ValueError(
                f"this processor has no vocabulary: {_WAY_OUT}, or give that to processor()"
            )
        length = self.config.input.length
        tokens = np.full((len(texts), length), self._ids["[PAD]"], np.int32)
        mask = np.zeros(tokens.shape, bool)
        for i, words in enumerate(texts):
            ids = self.tokenizer.encode(words, add_special_tokens=False).ids
            if len(ids) > length - 2 and not truncate:
                raise ValueError(
                    f"text {i} has {len(ids)} tokens, the model reads {length - 2}: shorten it or "
                    f"say truncate=True: '{words[:60]}'"
                )
            row = [self._ids["[CLS]"], *ids[: length - 2], self._ids["[SEP]"]]
            tokens[i, : len(row)] = row
            mask[i, : len(row)] = True
        return tokens, mask
