"""PSNR and SSIM against scikit-image."""

import numpy as np
import pytest
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from surgzoo.metrics import picture

RNG = np.random.default_rng(0)


def pair(shape, noise):
    ramp = np.linspace(0, 255, shape[0] * shape[1]).reshape(shape[:2])
    clean = ramp if len(shape) == 2 else np.stack([ramp, 255 - ramp, ramp[::-1]], -1)
    noisy = clean + RNG.normal(0, noise, shape)
    return clean.astype(np.uint8), np.clip(noisy, 0, 255).astype(np.uint8)


@pytest.mark.parametrize("shape", [(40, 52), (33, 47, 3)])
@pytest.mark.parametrize("noise", [1, 20, 90])
def test_oracle(shape, noise):
    truth, said = pair(shape, noise)
    assert picture.psnr(truth, said) == pytest.approx(peak_signal_noise_ratio(truth, said))
    oracle = structural_similarity(
        truth,
        said,
        gaussian_weights=True,
        sigma=1.5,
        use_sample_covariance=False,
        data_range=255,
        channel_axis=-1 if len(shape) == 3 else None,
    )
    assert picture.ssim(truth, said) == pytest.approx(oracle, abs=1e-9)


def test_by_hand():
    black, white = np.zeros((16, 16), np.uint8), np.full((16, 16), 255, np.uint8)
    assert picture.psnr(black, white) == 0
    assert picture.psnr(black, black) == picture.PSNR_CAP
    grey = np.full((16, 16), 51, np.uint8)  # a fifth of the range: 20 log10 5
    assert picture.psnr(black, grey) == pytest.approx(20 * np.log10(5))
    assert picture.ssim(white, white) == pytest.approx(1)
    # Flat images: only the means speak, (2 x y + C1) / (x^2 + y^2 + C1).
    c1 = 2.55**2
    assert picture.ssim(white, grey) == pytest.approx((2 * 255 * 51 + c1) / (255**2 + 51**2 + c1))


def test_clip_counts_missing_frames_as_worst_and_ignores_extra_ones():
    truth = RNG.integers(0, 255, (4, 16, 16, 3)).astype(np.uint8)
    assert picture.clip(truth, truth) == pytest.approx({"psnr": 100, "ssim": 1})
    assert picture.clip(truth, truth[:1]) == pytest.approx({"psnr": 25, "ssim": 0.25})
    assert picture.clip(truth[:2], truth) == pytest.approx({"psnr": 100, "ssim": 1})
    assert picture.clip(truth, truth[:0]) == {"psnr": 0, "ssim": 0}


def test_flicker_is_change_beyond_the_true_change():
    moving = np.stack([np.full((12, 12, 3), level, np.uint8) for level in (0, 10, 20, 40)])
    flashing = np.stack([np.full((12, 12, 3), level, np.uint8) for level in (0, 100, 0, 100)])
    still = np.repeat(moving[:1], 4, axis=0)
    assert picture.flicker(moving, moving) == picture.flicker(moving, still) == 0
    assert picture.flicker(moving, 255 - moving) == 0  # the same changes, downwards
    assert picture.flicker(moving, flashing) == pytest.approx((90 + 90 + 80) / 3)
    assert picture.flicker(still, moving) == pytest.approx((10 + 10 + 20) / 3)
    assert picture.flicker(moving, flashing[:3]) == pytest.approx((90 + 90 + 255) / 3)
    assert picture.flicker(moving[:3], flashing) == pytest.approx(90)
    assert picture.flicker(moving, moving[:1]) == picture.flicker(moving, moving[:0]) == 255
    assert np.isnan(picture.flicker(moving[:1], moving))
    with pytest.raises(ValueError, match="against one of"):
        picture.flicker(moving, moving[:, :5])


@pytest.mark.parametrize("seed", range(3))
def test_flicker_of_noise(seed):
    """Independent noise of +-d on a still clip changes each pixel by 0 or 2 d, by d on average."""
    rng = np.random.default_rng(seed)
    truth = np.full((6, 40, 40, 3), 128, np.uint8)
    said = (truth + rng.choice([-7, 7], truth.shape)).astype(np.uint8)
    assert picture.flicker(truth, said) == pytest.approx(7, abs=0.3)


def test_shapes_are_checked():
    with pytest.raises(ValueError, match="against one of"):
        picture.psnr(np.zeros((4, 4)), np.zeros((4, 5)))
    with pytest.raises(ValueError, match="at least 11 x 11"):
        picture.ssim(np.zeros((10, 40)), np.zeros((10, 40)))
