"""Pixels, template, masks, geometry and errors of the processor; the tokenizer."""

import dataclasses
import pickle

import numpy as np
import pytest
from PIL import Image
from qwen_small import picture, small_config

from surgzoo.core.contract import Bucket, Message
from surgzoo.models.qwen2_5_vl import config as configs
from surgzoo.models.qwen2_5_vl import tokenizer as bpe
from surgzoo.models.qwen2_5_vl.processor import fit

QUESTION = [Message("user", "Which phase is this?", 1), Message("assistant", "preparation")]


@pytest.fixture(scope="module")
def processor():
    return small_config().processor()


def noise(height, width, seed=0, frames=None):
    shape = (height, width, 3) if frames is None else (frames, height, width, 3)
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


@pytest.mark.parametrize("size", [(480, 854), (100, 75), (720, 1280), (31, 900), (29, 27)])
def test_pixels_match_transformers(processor, size):
    transformers = pytest.importorskip("transformers")
    options = processor.config.input
    theirs = transformers.Qwen2VLImageProcessorPil(
        min_pixels=options.min_pixels, max_pixels=options.max_pixels
    )
    image = noise(*size)
    expected = theirs(images=[Image.fromarray(image)], return_tensors="np")
    assert list(processor.grid(*size)) == expected["image_grid_thw"][0].tolist()
    np.testing.assert_allclose(processor.patchify(image), expected["pixel_values"], atol=1e-5)


@pytest.mark.parametrize(
    "size", [(480, 854), (10, 1000), (2000, 3000), (28, 28), (1, 100), (57, 29)]
)
def test_sizes_match_transformers(size):
    module = pytest.importorskip("transformers.models.qwen2_vl.image_processing_pil_qwen2_vl")
    for least, most in ((56 * 56, 1280 * 784), (128 * 784, 768 * 784)):
        assert fit(*size, 28, least, most) == module.smart_resize(*size, 28, least, most)


def test_aspect_ratio_error():
    with pytest.raises(ValueError, match="aspect ratio above 200"):
        fit(3, 1000, 28, 3136, 10**6)


def test_template(processor):
    row = processor.encode(QUESTION, [picture(56, 84)])
    length = int((row["segments"] > 0).sum())
    assert processor.tokenizer.decode(row["tokens"][:length], skip_special_tokens=False) == (
        "<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n"
        "<|im_start|>user\n<|vision_start|>" + "<|image_pad|>" * 6 + "<|vision_end|>"
        "Which phase is this?<|im_end|>\n<|im_start|>assistant\npreparation<|im_end|>\n"
    )
    assert (row["tokens"][length:] == processor.pad_id).all()
    assert not row["segments"][length:].any()


def test_own_system_prompt_replaces_the_default(processor):
    row = processor.encode([Message("system", "You are a surgeon."), Message("user", "Hi")], [])
    text = processor.tokenizer.decode(row["tokens"], skip_special_tokens=False)
    assert "helpful" not in text and text.startswith("<|im_start|>system\nYou are a surgeon.")


def test_loss_is_on_answers_and_their_ends(processor):
    turns = [*QUESTION, Message("user", "And now?"), Message("assistant", "yes")]
    row = processor.encode(turns, [picture(56, 56)])
    ids = row["tokens"][row["loss_mask"] > 0]
    text = processor.tokenizer.decode(ids, skip_special_tokens=False)
    assert text == "preparation<|im_end|>yes<|im_end|>"


def test_prompt_is_the_training_row_up_to_the_answer(processor):
    full = processor.encode(QUESTION, [picture(56, 56)])
    for messages in (QUESTION, QUESTION[:1]):
        prompt = processor.encode(messages, [picture(56, 56)], generate=True)
        length = int((prompt["segments"] > 0).sum())
        assert full["loss_mask"][length] == 1 and not full["loss_mask"][:length].any()
        np.testing.assert_array_equal(prompt["tokens"][:length], full["tokens"][:length])


def test_text_cannot_spell_special_tokens(processor):
    row = processor.encode([Message("user", "a<|im_end|>b<|image_pad|>")], [])
    assert (row["tokens"] == processor.eos_id).sum() == 2  # of the system and the user turn
    assert (row["vision_index"] == -1).all()
    clone = pickle.loads(pickle.dumps(processor))  # what worker processes receive
    again = clone.encode([Message("user", "a<|im_end|>b<|image_pad|>")], [])
    np.testing.assert_array_equal(again["tokens"], row["tokens"])


def test_geometry(processor):
    """5 x 7 merged tokens, windows of 2 x 2 of them, then a video of two slices."""
    visuals = [picture(140, 196), picture(56, 84, 1, frames=3)]
    messages = [Message("user", "x", 2)]
    row = processor.encode(messages, visuals, fps=(0, 4.0))
    window, frame, hw = row["patch_window"], row["patch_frame"], row["patch_hw"]
    assert frame[:140].tolist() == [0] * 140
    assert frame[140:188].tolist() == [1] * 24 + [2] * 24
    assert (frame[188:] == -1).all() and (window[188:] == -1).all()
    assert hw[:8].tolist() == [[0, 0], [0, 1], [1, 0], [1, 1], [0, 2], [0, 3], [1, 2], [1, 3]]
    assert len(set(window[:140])) == 12 and len(set(window[140:188])) == 4
    assert set(window[:140]).isdisjoint(window[140:188])
    for number in set(window[:188]):
        inside = hw[window == number]
        assert np.ptp(inside, axis=0).max() < 4 and len(set(frame[window == number])) == 1
    assert row["vision_index"].max() == 188 // 4 - 1


def test_frames_fill_the_temporal_patches(processor):
    video = noise(56, 56, frames=3)
    patches = processor.patchify(video).reshape(2, 16, 3, 2, 14, 14)
    np.testing.assert_array_equal(patches[1, :, :, 0], patches[1, :, :, 1])  # the last, repeated
    first = processor.patchify(video[0]).reshape(16, 3, 2, 14, 14)
    np.testing.assert_array_equal(first[:, :, 0], first[:, :, 1])
    np.testing.assert_array_equal(first[:, :, 0], patches[0, :, :, 0])


def test_buckets(processor):
    text, image = [Message("user", "Hi")], [Message("user", "Hi", 1)]
    assert processor.encode(text, [])["patches"].shape == (0, 1176)
    assert processor.encode(image, [picture(56, 56)])["tokens"].shape == (96,)
    assert processor.encode(image, [picture(224, 224)])["patches"].shape == (512, 1176)
    wanted = Bucket(50, 64)
    assert processor.encode(image, [picture(56, 56)], bucket=wanted)["tokens"].shape == (50,)
    with pytest.raises(ValueError, match=r"64 patches does not fit bucket \(50, 16\)"):
        processor.encode(image, [picture(112, 112)], bucket=Bucket(50, 16))
    with pytest.raises(ValueError, match=r"1536 patches does not fit any bucket of \(64, 0\)"):
        processor.encode([Message("user", "Hi", 6)], [picture(224, 224)] * 6)


def test_errors_name_the_visual(processor):
    with pytest.raises(ValueError, match="place 1 visuals, 0"):
        processor.encode(QUESTION, [])
    with pytest.raises(ValueError, match="visual 0 must be uint8 RGB"):
        processor.encode(QUESTION, [np.zeros((56, 56, 3), np.float32)])
    with pytest.raises(ValueError, match=r"fps\[0\]"):
        processor.encode(QUESTION, [picture(56, 56, frames=2)])
    with pytest.raises(ValueError, match="multiple of 4"):
        small_config().processor(buckets=[(10, 6)])
    with pytest.raises(ValueError, match="ids up to"):
        text = dataclasses.replace(small_config().text, vocab=300)
        dataclasses.replace(small_config(), text=text).processor()


def test_tiny_rows_are_short():
    processor = configs.tiny().processor()
    row = processor.encode(QUESTION, [noise(480, 854)])
    assert (row["tokens"].shape, row["patches"].shape) == ((96,), (64, 1176))
    assert processor.resized_size(480, 854) == (112, 112)
    assert (row["segments"] > 0).sum() < 48


def test_decode_stops_at_the_end(processor):
    ids = processor.tokenizer.encode("calot triangle dissection").ids
    assert processor.decode([*ids, processor.eos_id, *ids]) == "calot triangle dissection"
    assert processor.decode(ids) == "calot triangle dissection"
    assert processor.decode([processor.eos_id]) == ""


TEXTS = [
    "The grasper retracts the gallbladder.",
    "box 481 95 612 240\n\n{\"label\": \"hook\"}",
    "naïve café, 10 µm, SurgΣ-DB, 手術 🙂",
    "  leading and   inner spaces\tand tabs ",
    "it's the surgeon's hand; DON'T",
]  # fmt: skip


@pytest.mark.parametrize("text", TEXTS)
def test_tokenizer_round_trip(text):
    tokenizer = bpe.load()
    ids = tokenizer.encode(text).ids
    assert tokenizer.decode(ids) == text
    digits = [t for t in tokenizer.encode(text).tokens if any(c.isdigit() for c in t)]
    assert all(len(t) == 1 for t in digits)


def test_training_is_deterministic():
    trained = [bpe.train_bpe(order, 300) for order in (TEXTS, TEXTS[::-1])]
    assert trained[0].to_str() == trained[1].to_str()
    assert trained[0].token_to_id(bpe.END_OF_TEXT) == 0
    assert trained[0].decode(trained[0].encode(TEXTS[2]).ids) == TEXTS[2]
    with pytest.raises(ValueError, match="below the 270"):
        bpe.train_bpe(TEXTS, 269)


def test_any_vocabulary_size(tmp_path):
    tokenizer = bpe.train_bpe(TEXTS, 300)
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    assert bpe.vocab_size(tmp_path) == tokenizer.get_vocab_size()
    row = configs.tiny().processor(tmp_path).encode([Message("user", "Hi")], [])
    assert row["tokens"].max() < tokenizer.get_vocab_size()
    with pytest.raises(FileNotFoundError, match="nowhere"):
        bpe.load(tmp_path / "nowhere")


def test_config_errors():
    text = configs.tiny().text
    for changes, message in (
        ({"text": dataclasses.replace(text, heads=5)}, "not a multiple"),
        ({"text": dataclasses.replace(text, kv_heads=3)}, "cannot share"),
        ({"text": dataclasses.replace(text, mrope_sections=(1, 2, 3))}, "mrope_sections"),
        ({"compute_dtype": "float16"}, "compute_dtype"),
    ):
        with pytest.raises(ValueError, match=message):
            dataclasses.replace(configs.tiny(), **changes)
