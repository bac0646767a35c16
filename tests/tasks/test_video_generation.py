import numpy as np
import pytest
from footage_records import encode, spans, task

TASK = task("video_generation")
RNG = np.random.default_rng(0)
CLIP = RNG.integers(0, 255, (4, 16, 20, 3)).astype(np.uint8)


def test_the_captioning_pair_turned_round():
    items = encode(
        "video_generation", captions=[(0.0, 3.0, "The hook cuts."), (5.0, 6.0, "One frame.")]
    )
    assert [spans(item) for item in items] == [[], [(0, 1, "image")]]
    for item in items:
        assert "The hook cuts." in item.prompt
        assert item.answer["media"]["count"] == 3 and item.answer["media"]["kind"] == "clip"
        assert item.target == "<video>"
    assert [item.id[-2:] for item in items] == ["/0", "/1"]


def test_compare():
    perfect = pytest.approx({"ssim": 1, "psnr": 100, "flicker": 0})
    assert TASK.compare(CLIP, CLIP, {}) == perfect
    half = {"ssim": 0.5, "psnr": 50, "flicker": 2 / 3 * 255}
    assert TASK.compare(CLIP, CLIP[:2], {}) == pytest.approx(half)
    sixteen = CLIP.astype(np.uint16) * 257
    assert TASK.compare(CLIP, sixteen, {}) == perfect
    longer = np.concatenate([CLIP, CLIP])
    assert TASK.compare(CLIP, longer, {}) == perfect
    assert TASK.compare(CLIP, CLIP[:0], {}) == TASK.worst


def test_an_image_is_a_clip_that_stands_still():
    still = np.stack([CLIP[0]] * 4)
    assert TASK.compare(still, CLIP[0], {}) == pytest.approx({"ssim": 1, "psnr": 100, "flicker": 0})
    assert TASK.compare(CLIP, CLIP[0], {})["ssim"] < 0.5
