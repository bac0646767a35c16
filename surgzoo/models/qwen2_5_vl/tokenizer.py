"""Byte-level BPE in Qwen's manner: training the small one, loading any.

The published models come with their own tokenizer.json. The tiny model ships a small one, trained
with `train_bpe` on the project's own prompts, with the same special tokens and splitting rules, so
that both run through the same code.
"""

from __future__ import annotations

import pathlib
from collections.abc import Iterable

import tokenizers
from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

SHIPPED = pathlib.Path(__file__).with_name("tiny_tokenizer.json")

END_OF_TEXT, TURN_START, TURN_END = "<|endoftext|>", "<|im_start|>", "<|im_end|>"
VISION_START, VISION_END = "<|vision_start|>", "<|vision_end|>"
IMAGE_PAD, VIDEO_PAD = "<|image_pad|>", "<|video_pad|>"

# Qwen's names in Qwen's order.
SPECIAL_TOKENS = (
    END_OF_TEXT, TURN_START, TURN_END,
    "<|object_ref_start|>", "<|object_ref_end|>", "<|box_start|>", "<|box_end|>",
    "<|quad_start|>", "<|quad_end|>",
    VISION_START, VISION_END, "<|vision_pad|>", IMAGE_PAD, VIDEO_PAD,
)  # fmt: skip

# Contractions; words with one leading mark or space; every digit alone (so that 480 and 481 share
# tokens); runs of marks; line ends; spaces.
_SPLIT = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)"
    r"|[^\r\n\p{L}\p{N}]?\p{L}+"
    r"|\p{N}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+"
    r"|\s+(?!\S)|\s+"
)


def train_bpe(texts: Iterable[str], vocab_size: int) -> Tokenizer:
    """A byte-level BPE tokenizer with `SPECIAL_TOKENS` as its first ids. Same texts, same result.

    Raises ValueError when vocab_size leaves no room beside the 256 bytes and the special tokens.
    """
    least = 256 + len(SPECIAL_TOKENS)
    if vocab_size < least:
        raise ValueError(f"vocab_size {vocab_size} is below the {least} bytes and special tokens")
    tokenizer = Tokenizer(models.BPE())
    tokenizer.normalizer = normalizers.NFC()
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(_SPLIT), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        special_tokens=list(SPECIAL_TOKENS),
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    # One text per list element, sorted: neither file order nor thread count changes the merges.
    tokenizer.train_from_iterator(sorted(texts), trainer)
    return tokenizer


def load(path: str | pathlib.Path | None = None) -> tokenizers.Tokenizer:
    """The tokenizer in a Qwen folder or a tokenizer.json; the shipped one without a path.

    Raises FileNotFoundError naming the path, ValueError when a special token is missing.
    """
    tokenizer = Tokenizer.from_file(str(tokenizer_json(path)))
    missing = [t for t in SPECIAL_TOKENS if tokenizer.token_to_id(t) is None]
    if missing:
        raise ValueError(f"{tokenizer_json(path)} lacks the special tokens {', '.join(missing)}")
    return tokenizer


def vocab_size(path: str | pathlib.Path | None = None) -> int:
    """The largest token id of a tokenizer, plus one."""
    return max(Tokenizer.from_file(str(tokenizer_json(path))).get_vocab().values()) + 1


def tokenizer_json(path: str | pathlib.Path | None = None) -> pathlib.Path:
    """The file itself: in a folder, given, or the shipped one. Raises FileNotFoundError."""
    file = pathlib.Path(path) if path else SHIPPED
    if file.is_dir():
        file = file / "tokenizer.json"
    if not file.is_file():
        raise FileNotFoundError(f"no tokenizer at {file}")
    return file


def pieces(tokenizer: tokenizers.Tokenizer) -> tuple[bytes | None, ...]:
    """The bytes of every token of a byte-level BPE by its id; None for special and missing ones."""
    special = {token.content for token in tokenizer.get_added_tokens_decoder().values()}
    vocabulary = tokenizer.get_vocab()
    out: list[bytes | None] = [None] * (max(vocabulary.values()) + 1)
    byte_of = _byte_of()
    for text, token in vocabulary.items():
        if text not in special:
            out[token] = bytes(byte_of[letter] for letter in text)
    return tuple(out)


def _byte_of() -> dict[str, int]:
    """The letter that byte-level BPE writes for each byte: printable Latin-1 as it is, the others
    from U+0100 on in their order (GPT-2's encoder.py)."""
    printable = {*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)}
    others = [byte for byte in range(256) if byte not in printable]
    return {chr(byte): byte for byte in printable} | {
        chr(256 + n): byte for n, byte in enumerate(others)
    }
