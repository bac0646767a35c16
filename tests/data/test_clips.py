"""Clips on their way to a row: which frames are decoded, how large they are, what does not fit."""

import dataclasses
import itertools
import sys
from pathlib import Path

import numpy as np
import pytest
from footage_stub import Footage, jpeg, natural

from surgzoo.core import config as config_lib
from surgzoo.core.contract import Bucket, Message
from surgzoo.data import model_reader, pipeline, prompts
from surgzoo.data.config import DataConfig, Part
from surgzoo.data.jpeg import MediaError, decode_resized
from surgzoo.data.media import Stores
from surgzoo.data.model_reader import ModelReader
from surgzoo.data.sampling import VideoConfig
from surgzoo.data.turns import reader
from surgzoo.db.schema import Conversation, Media, Turn

sys.path.insert(0, str(Path(__file__).parent.parent / "models"))
from qwen_small import small_config

ASK = [Message("user", "What happens?", 1), Message("assistant", "clipping")]


@pytest.fixture(scope="module")
def processor():
    return small_config().processor()


@pytest.fixture(scope="module")
def film():
    """Ten minutes at 1 Hz whose frames are all different."""
    return [jpeg(np.roll(natural(112, 112), n, axis=1)) for n in range(600)]


def clip(count, first=0):
    return Media("toy", "fps1", "v1", first, count=count, kind="clip")


def test_a_clip_of_256_frames_goes_in_by_its_budget(processor, film):
    store = Footage(film)
    bucket = Bucket(640, 2048)
    read = ModelReader(store, processor, video=VideoConfig(max_frames=256, tokens=512))
    visuals, fps = read([clip(600)])
    row = processor.encode(ASK, visuals, fps=fps, bucket=bucket, fitted=True)
    seen = row["vision_index"] >= 0
    # 128 pairs of frames of 2 x 2 tokens: 256 take the budget whole; the text has its place too.
    assert visuals[0].shape == (256, 56, 56, 3) and seen.sum() == 512
    assert (row["patch_frame"] >= 0).sum() == 2048 and row["patch_frame"].max() == 127
    # All of the ten minutes, and at their true time: half seconds from the first to the last pair.
    assert len(set(store.reads)) == len(store.reads) == 256
    assert (store.reads[0], store.reads[-1]) == (0, 599)
    times = row["positions"][0, seen] - row["positions"][0, seen].min()
    assert times.max() == pytest.approx(2 * store.reads[-2], abs=2)
    assert fps == [pytest.approx(255 / 599)]


def test_only_kept_frames_are_decoded(processor, film, monkeypatch):
    decoded = []

    def counting(data, *args):
        decoded.append(int(args[-1].rsplit("/", 1)[1]))
        return decode_resized(data, *args)

    monkeypatch.setattr(model_reader, "decode_resized", counting)
    store = Footage(film, fps=25.0)
    read = ModelReader(store, processor, video=VideoConfig(policy="fps", fps=4.0))
    ((pixels,), fps) = read([clip(101, first=50)])
    expected = [50 + k * 25 // 4 for k in range(17)]
    assert decoded == store.reads == expected and len(pixels) == 17 and fps == [4.0]


def test_the_budget_shrinks_frames_and_never_overflows(processor, film):
    """Down to the smallest frames of the model; then it is an error that says what to change."""
    sizes = []
    for tokens in (10**6, 1024, 512, 256, 128, 64, 16):
        video = VideoConfig(max_frames=32, tokens=tokens)
        pixels = ModelReader(Footage(film), processor, video=video).read(clip(600))
        taken = 16 * pixels.shape[1] * pixels.shape[2] // 28**2
        assert len(pixels) == 32 and taken <= tokens
        sizes.append(taken)
    assert sizes == sorted(sizes, reverse=True) and len(set(sizes)) == 3 and sizes[-1] == 16
    with pytest.raises(
        MediaError,
        match=r"clip toy.fps1/v1/7-206: 32 frames of 28 x 28 .* are 16 vision tokens; 15 are "
        r"allowed, which 30 frames would fit: raise data.video.tokens, or lower "
        r"data.video.max_frames",
    ):
        video = VideoConfig(max_frames=32, tokens=15)
        ModelReader(Footage(film), processor, video=video).read(clip(200, first=7))


@pytest.mark.parametrize("size", [(480, 854), (1080, 1920), (240, 320), (576, 720)])
@pytest.mark.parametrize("frames", [4, 32, 100, 256])
def test_budgets_of_the_published_models_as_in_qwen_vl_utils(size, frames):
    """The rule of its fetch_video, with transformers' smart_resize."""
    module = pytest.importorskip("transformers.models.qwen2_vl.image_processing_pil_qwen2_vl")
    from surgzoo.models.qwen2_5_vl import config as configs

    processor = dataclasses.replace(configs.b7(), tokenizer=None).processor()
    least, largest = 128 * 28 * 28, 768 * 28 * 28
    total = 115_200 * 28 * 28  # 0.9 of 128,000 tokens: VIDEO_TOTAL_PIXELS
    for budget in (total, total // 4):
        most = max(min(largest, budget / frames * 2), int(1.05 * least))
        expected = module.smart_resize(*size, 28, least, most)
        assert processor.clip_size(*size, frames, budget // 28**2) == expected
    smallest = -(-frames // 2) * 128
    height, width = processor.clip_size(480, 854, frames, smallest)
    assert height * width // 28**2 <= 128
    assert processor.clip_size(*size, frames) == processor.resized_size(*size, video=True)


def test_frames_of_several_sizes_are_refused(processor):
    store = Footage([jpeg(natural(112, 112)), jpeg(natural(56, 112))])
    with pytest.raises(MediaError, match=r"clip toy.fps1/v1/0-1: .*different sizes"):
        ModelReader(store, processor).read(clip(2))


def test_training_shows_clips_as_the_config_says(small_data):
    """From the command line to the rows, and a row that cannot be names clip and way out."""
    from surgzoo.models.build import model_config

    processor = model_config("surgvlm-tiny").processor()
    stores = Stores(small_data)
    part = Part("synthsurg", "video_captioning", config="small")
    config = DataConfig(mixture=(part,), batch_size=2, bucket=(384, 512), group=False)
    for key, value in {
        "video.policy": "last", "video.max_frames": "6", "video.tokens": "48", "decode": "fast"
    }.items():  # fmt: skip
        config = config_lib.override(config, key, value)
    assert config.video == VideoConfig(policy="last", max_frames=6, tokens=48)
    rows = list(itertools.islice(pipeline.training_batches(config, processor, stores), 3))
    slices = [row.max() + 1 for batch in rows for row in batch["patch_frame"]]
    assert max(slices) == 3
    narrow = config_lib.override(config, "video.tokens", "40")
    with pytest.raises(ValueError, match=r"clip synthsurg.small/.*raise data.video.tokens"):
        list(itertools.islice(pipeline.training_batches(narrow, processor, stores), 20))
    unbounded = dataclasses.replace(config, video=VideoConfig(), bucket=(384, 64))
    with pytest.raises(ValueError, match=r"does not fit bucket.*data.video.tokens"):
        list(itertools.islice(pipeline.training_batches(unbounded, processor, stores), 20))


def test_prompts_show_what_training_shows(processor, film):
    turns = (Turn("user", "What happens?"), Turn("assistant", "clipping"))
    item = Conversation("toy.fps1/v1/000000/captioning/0", "captioning", (clip(600),), turns, None)
    config = DataConfig(decode="fast", video=VideoConfig(max_frames=16, tokens=64))
    read = reader(config, processor, Footage(film))
    (encoded,) = prompts.encode_unit([item], processor, read)
    (alone,) = prompts.encode_rows([item], processor, read)
    visuals, fps = read(item.media)
    trained, _ = processor.encode_group([ASK], visuals, fps=fps, fitted=True)
    assert encoded.error is None and trained["patch_frame"].max() == 7
    for row in (encoded.row, alone):
        size = min(len(row["patches"]), len(trained["patches"]))
        assert (row["patch_frame"][size:] == -1).all()
        np.testing.assert_array_equal(row["patches"][:size], trained["patches"][:size])
        seen = row["vision_index"] >= 0
        np.testing.assert_array_equal(
            row["positions"][:, seen], trained["positions"][:, trained["vision_index"] >= 0]
        )
