"""Word-pieces against transformers, pixels against the same steps in torch's terms."""

import dataclasses

import jax
import numpy as np
import pytest
import transformers
from PIL import Image

from surgzoo.models.build import model_config
from surgzoo.models.surgvlp.processor import letters

WORDS = ["gall", "##bladder", "the", "hook", "dissect", "##s", ",", "A", "cystic", "Cystic"]


@pytest.fixture(scope="module")
def vocab(tmp_path_factory):
    folder = tmp_path_factory.mktemp("vocab")
    lines = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS]
    (folder / "vocab.txt").write_text("\n".join(lines) + "\n")
    return folder


@pytest.mark.parametrize("lowercase", [True, False])
def test_tokens(vocab, tmp_path, lowercase):
    texts = ["The hook dissects the gallbladder, the Cystic duct", "", "Hook"]
    (tmp_path / "vocab.txt").write_text((vocab / "vocab.txt").read_text())
    (tmp_path / "tokenizer_config.json").write_text(
        f'{{"do_lower_case": {str(lowercase).lower()}}}'
    )
    oracle = transformers.BertTokenizer(
        {line: i for i, line in enumerate((vocab / "vocab.txt").read_text().split())},
        do_lower_case=lowercase,
    )
    theirs = oracle(texts, padding="max_length", max_length=77, return_tensors="np")
    tokens, mask = model_config("surgvlp").processor(tmp_path).texts(texts)
    np.testing.assert_array_equal(tokens, theirs["input_ids"])
    np.testing.assert_array_equal(mask, theirs["attention_mask"].astype(bool))
    assert tokens.dtype == np.int32
    # "The" is in neither vocabulary as it stands, "Cystic" in the cased one.
    assert (tokens[0] == 1).sum() == (1 if lowercase else 2)
    assert (14 in tokens[0]) == (not lowercase)


def test_long_texts(vocab):
    processor = model_config("surgvlp").processor(vocab)
    with pytest.raises(ValueError, match="text 0 has 80 tokens, the model reads 75"):
        processor.texts(["the " * 80])
    tokens, mask = processor.texts(["the " * 80], truncate=True)
    assert tokens[0].tolist() == [2] + [7] * 75 + [3] and mask.all()


def test_pixels():
    frame = np.random.default_rng(0).integers(0, 256, (480, 854, 3), np.uint8)
    ours = model_config("surgvlp").processor().images([frame, frame[:100]])
    assert ours.shape == (2, 224, 224, 3) and ours.dtype == np.float32
    whole = np.asarray(Image.fromarray(frame).resize((640, 360), Image.Resampling.BILINEAR))
    cut = whole[68 : 68 + 224, 208 : 208 + 224] / 255
    wanted = (cut - [0.485, 0.456, 0.406]) / [0.229, 0.224, 0.225]
    np.testing.assert_allclose(ours[0], wanted, atol=1e-5)


def test_bad_input(tmp_path, vocab):
    config = model_config("surgvlp")
    with pytest.raises(ValueError, match="no vocabulary: name the folder"):
        config.processor().texts(["a"])
    with pytest.raises(FileNotFoundError, match="no WordPiece vocabulary at"):
        config.processor(tmp_path)
    (tmp_path / "vocab.txt").write_text("[PAD]\nthe\n")
    with pytest.raises(ValueError, match=r"lacks the special tokens \[UNK\], \[CLS\]"):
        config.processor(tmp_path)
    small = dataclasses.replace(config, text=dataclasses.replace(config.text, vocab=10))
    with pytest.raises(ValueError, match="has 15 tokens, the model 10"):
        small.processor(vocab)
    with pytest.raises(ValueError, match="uint8"):
        config.processor().images([np.zeros((4, 4, 3))])


def test_weights_bring_their_vocabulary(tmp_path, vocab):
    """What `save_weights` wrote is read as `model.weights` alone; case is kept as it was."""
    tiny = model_config("surgvlp-tiny")
    config = dataclasses.replace(tiny, text=dataclasses.replace(tiny.text, depth=1, last_layers=1))
    params = config.build().init(jax.random.key(0))
    texts = ["The Hook", "cystic, Cystic"]

    config.save_weights(params, tmp_path / "shipped")
    wanted = config.processor("shipped").texts(texts)
    np.testing.assert_equal(config.processor(tmp_path / "shipped").texts(texts), wanted)

    cased = tmp_path / "cased"
    cased.mkdir()
    (cased / "vocab.txt").write_text((vocab / "vocab.txt").read_text())
    (cased / "tokenizer_config.json").write_text('{"do_lower_case": false}')
    config.save_weights(params, tmp_path / "own", tokenizer=cased)
    wanted = config.processor(cased).texts(texts)
    np.testing.assert_equal(config.processor(tmp_path / "own").texts(texts), wanted)
    assert (wanted[0] != config.processor(vocab).texts(texts)[0]).any()

    bare = dataclasses.replace(config, vocab=None)
    files = bare.save_weights(params, tmp_path / "bare")
    assert {file.name for file in files} == {"model.safetensors", "config.json"}
    with pytest.raises(FileNotFoundError, match=r"bare/vocab\.txt: name .* model\.tokenizer"):
        bare.processor(tmp_path / "bare")


def test_a_pth_is_no_vocabulary(tmp_path):
    (tmp_path / "PeskaVLP.pth").write_bytes(b"\x80\xff")
    with pytest.raises(ValueError, match=r"no vocabulary: name .* model\.tokenizer"):
        model_config("peskavlp").processor(tmp_path / "PeskaVLP.pth").texts(["a"])
    tiny = model_config("surgvlp-tiny")
    np.testing.assert_equal(
        tiny.processor(tmp_path / "PeskaVLP.pth").texts(["a"]), tiny.processor().texts(["a"])
    )
    with pytest.raises(FileNotFoundError, match=r"there is no .*none: .* `surgzoo weights`"):
        tiny.processor(tmp_path / "none")
    (tmp_path / "model.safetensors").write_bytes(b"\x80\xff")
    with pytest.raises(ValueError, match=r"safetensors is no vocabulary.* model\.tokenizer"):
        tiny.processor(tmp_path / "model.safetensors")


def test_tiny_reads_letters():
    config = model_config("surgvlp-tiny")
    assert max(letters().values()) < config.text.vocab
    tokens, mask = config.processor().texts(["Clipping and cutting (phase 3)"])
    assert letters()["[UNK]"] not in tokens[0][mask[0]]
