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


def test_shapes_are_checked():
    with pytest.raises(ValueError, match="against one of"):
        picture.psnr(np.zeros((4, 4)), np.zeros((4, 5)))
    with pytest.raises(ValueError, match="at least 11 x 11"):
        picture.ssim(np.zeros((10, 40)), np.zeros((10, 40)))
