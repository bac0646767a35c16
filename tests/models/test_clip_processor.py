"""Pixels and tokens against the processors of transformers."""

import dataclasses

import numpy as np
import pytest
import transformers
from clip_small import small
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil
from transformers.models.siglip.image_processing_pil_siglip import SiglipImageProcessorPil

from surgzoo.models.build import model_config

FRAMES = [(120, 213), (97, 60), (224, 224), (480, 854)]


@pytest.fixture(scope="module")
def frames():
    rng = np.random.default_rng(0)
    return [rng.integers(0, 256, (*size, 3), np.uint8) for size in FRAMES]


@pytest.mark.parametrize("name", ["clip-vit-b-32", "siglip2-base"])
def test_pixels(frames, name):
    config = model_config(name)
    if config.style == "clip":
        oracle = CLIPImageProcessorPil()
    else:
        oracle = SiglipImageProcessorPil(resample=2)  # bilinear
    ours = config.processor().images(frames)
    theirs = [oracle(frame, return_tensors="np")["pixel_values"][0] for frame in frames]
    assert ours.dtype == np.float32
    np.testing.assert_allclose(ours, np.stack(theirs).transpose(0, 2, 3, 1), atol=1e-5)


def clip_tokenizer(folder):
    """A BPE over letters in CLIP's form, by the library's own class, and its folder."""
    letters = [*"abcdefghijklmnopqrstuvwxyz"]
    tokens = [*letters, *(f"{c}</w>" for c in letters), "gr", "gra", "ra", "sp</w>"]
    tokens += ["<|startoftext|>", "<|endoftext|>"]
    merges = [("g", "r"), ("r", "a"), ("gr", "a"), ("s", "p</w>")]
    tokenizer = transformers.CLIPTokenizer({t: i for i, t in enumerate(tokens)}, merges)
    tokenizer.save_pretrained(folder)
    return tokenizer


def test_tokens(tmp_path):
    oracle = clip_tokenizer(tmp_path)
    config = small("clip")
    ids = oracle.bos_token_id, oracle.eos_token_id
    assert len(oracle) == 58 and ids == (56, 57)
    text = dataclasses.replace(config.text, start=56, end=57, pad=57)
    processor = dataclasses.replace(config, text=text).processor(tmp_path)
    texts = ["Grasp", "a  clip", "", "gr a sp"]
    theirs = oracle(texts, padding="max_length", max_length=12, return_tensors="np")
    tokens, mask = processor.texts(texts)
    np.testing.assert_array_equal(tokens, theirs["input_ids"])
    np.testing.assert_array_equal(mask, theirs["attention_mask"].astype(bool))
    with pytest.raises(ValueError, match="text 1 has 13 tokens, the model reads 10"):
        processor.texts(["a", "a b c d e f g h i j k l m"])
    long = ["a b c d e f g h i j k l m"]
    theirs = oracle(long, truncation=True, max_length=12, return_tensors="np")
    tokens, _ = processor.texts(long, truncate=True)
    np.testing.assert_array_equal(tokens, theirs["input_ids"])


def test_siglip_reads_padding_and_lowers(tmp_path):
    words = Tokenizer(models.WordLevel({"<pad>": 0, "<eos>": 1, "the": 2, "hook": 3}, "<pad>"))
    words.pre_tokenizer = pre_tokenizers.Whitespace()
    words.save(str(tmp_path / "tokenizer.json"))
    config = small("siglip")
    text = dataclasses.replace(config.text, end=1, pad=0, lowercase=True)
    tokens, mask = dataclasses.replace(config, text=text).processor(tmp_path).texts(["The HOOK"])
    assert tokens[0].tolist() == [2, 3, 1] + [0] * 9
    assert mask.all()


@pytest.mark.parametrize("name", ["clip-tiny", "siglip2-tiny"])
def test_tiny_has_a_tokenizer(name):
    config = model_config(name)
    tokens, mask = config.processor().texts(["clipping and cutting", "preparation"])
    assert tokens.shape == mask.shape == (2, config.text.length)
    assert not np.array_equal(tokens[0], tokens[1])


def test_bad_input(tmp_path, frames):
    config = small("clip")
    with pytest.raises(ValueError, match="no tokenizer: give processor"):
        config.processor().texts(["a"])
    with pytest.raises(ValueError, match=r"uint8 \[H, W, 3\] RGB, not float64"):
        config.processor().images([frames[0] / 255])
    with pytest.raises(ValueError, match="no frames"):
        config.processor().images([])
    with pytest.raises(FileNotFoundError, match="no tokenizer at"):
        config.processor(tmp_path)
    clip_tokenizer(tmp_path)
    with pytest.raises(ValueError, match="58 tokens, the model 50"):
        text = dataclasses.replace(config.text, vocab=50)
        dataclasses.replace(config, text=text).processor(tmp_path)
