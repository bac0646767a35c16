"""Dense losses against torch, numpy and scikit-image."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from surgzoo.metrics import picture
from surgzoo.train import dense_losses


class Fixed:
    """A model that predicts its parameters."""

    def image_to_image(self, params, images):
        del images
        return params


@functools.cache
def compiled(loss):
    def call(params, batch):
        batch = {"images": jnp.zeros((len(params), 1, 1, 3)), **batch}
        return loss(Fixed(), params, batch, jax.random.key(0))

    return jax.jit(call), jax.jit(jax.grad(call, has_aux=True))


def run(loss, params, **batch):
    return compiled(loss)[0](params, batch)


def grad(loss, params, **batch):
    return compiled(loss)[1](params, batch)[0]


def depths(seed=0, shape=(3, 18, 22)):
    rng = np.random.default_rng(seed)
    valid, noise, truth = rng.random(shape) < 0.8, rng.random(shape), rng.random(shape)
    return truth + noise, truth, valid


def reference_depth(said, truth, valid):
    """One image: numpy's least squares, and the gradients by loops over scales and pixels; of a
    truth whose standard deviation is 1."""
    truth = truth / truth[valid].std()
    design = np.stack([said[valid], np.ones(valid.sum())], axis=1)
    (scale, shift), *_ = np.linalg.lstsq(design, truth[valid], rcond=None)
    error = scale * said + shift - truth
    data = 0.5 * np.mean(error[valid] ** 2)
    gradients = 0.0
    for k in range(4):
        e, v = error[:: 2**k, :: 2**k], valid[:: 2**k, :: 2**k]
        total = 0.0
        for y in range(e.shape[0]):
            for x in range(e.shape[1]):
                if x + 1 < e.shape[1] and v[y, x] and v[y, x + 1]:
                    total += abs(e[y, x + 1] - e[y, x])
                if y + 1 < e.shape[0] and v[y, x] and v[y + 1, x]:
                    total += abs(e[y + 1, x] - e[y, x])
        gradients += total / v.sum()
    return data, gradients


def test_depth_matches_least_squares():
    said, truth, valid = depths()
    loss, metrics = run(
        dense_losses.scale_shift_invariant, said[..., None], depth=truth, valid=valid
    )
    data, gradients = np.mean(
        [reference_depth(*image) for image in zip(said, truth, valid, strict=True)], axis=0
    )
    np.testing.assert_allclose(metrics["aligned"], data, rtol=1e-4)
    np.testing.assert_allclose(metrics["gradients"], gradients, rtol=1e-4)
    np.testing.assert_allclose(loss, data + 0.5 * gradients, rtol=1e-4)
    assert metrics["weight"] == 3


def test_depth_has_no_scale_and_shift():
    said, truth, valid = depths()
    once, _ = run(dense_losses.scale_shift_invariant, said[..., None], depth=truth, valid=valid)
    moved = 7.0 * said[..., None] - 2.0
    twice, _ = run(dense_losses.scale_shift_invariant, moved, depth=truth, valid=valid)
    np.testing.assert_allclose(once, twice, rtol=1e-4)
    right, _ = run(dense_losses.scale_shift_invariant, 3 * truth[..., None] + 1, depth=truth)
    assert right < 1e-4 < once


def test_near_and_far_exchanged_is_not_turned_around():
    """A straight line below a correlation of UPRIGHT, which joins least squares smoothly."""
    said, truth, _ = depths(shape=(1, 16, 16))
    said, truth = said - said.mean(), truth - truth.mean()
    other = said - (said * truth).sum() / (truth**2).sum() * truth  # not correlated with the truth
    other *= np.sqrt((truth**2).sum() / (other**2).sum())

    def mixed(correlation):
        return correlation * truth + np.sqrt(1 - correlation**2) * other

    def squared(correlation):
        valid = np.ones(truth.shape, bool)
        error = jax.jit(dense_losses.aligned_error)(mixed(correlation), truth, valid)
        return float((error**2).mean())

    least = dense_losses.UPRIGHT
    for r in (0.9, 0.4, least):
        assert squared(r) == pytest.approx(1 - r**2, abs=1e-4)
    for r in (0.0, -0.5, -1.0):
        assert squared(r) == pytest.approx(1 + least**2 - 2 * least * r, abs=1e-4)
    # So a map that is rather upside down is pulled towards the truth.
    gradient = grad(dense_losses.scale_shift_invariant, mixed(-0.5)[..., None], depth=truth)
    assert (gradient[..., 0] * truth).sum() < 0


def test_rows_with_another_truth_are_refused():
    for loss, name in (
        (dense_losses.scale_shift_invariant, "depth"),
        (dense_losses.dice_cross_entropy, "labels"),
        (dense_losses.l1_ssim, "targets"),
    ):
        with pytest.raises(ValueError, match=f"learns from '{name}', .* hold images, smoke"):
            run(loss, np.zeros((1, 16, 16, 3)), smoke=np.zeros((1, 16, 16)))


def test_depth_that_is_not_known_counts_nowhere():
    said, truth, valid = depths()
    valid[2] = False  # an image without any
    holes = np.where(valid, truth, np.nan)
    loss = dense_losses.scale_shift_invariant
    two, _ = run(loss, said[:2, ..., None], depth=truth[:2], valid=valid[:2])
    value, metrics = run(loss, said[..., None], depth=holes, valid=valid)
    np.testing.assert_allclose(value, two, rtol=1e-5)
    assert metrics["weight"] == 2
    gradient = grad(loss, said[..., None], depth=holes, valid=valid)
    assert np.isfinite(gradient).all()
    assert np.abs(gradient[~valid]).max() == 0
    flat = grad(loss, np.zeros_like(said)[..., None], depth=truth, valid=valid)
    assert np.isfinite(flat).all()


def torch_dice(probabilities, true):
    """V-Net's Dice with one pixel added above and below: of the classes from 1 on that are there,
    and of all of them together, which alone is left where there are none."""
    values = []
    for said, image in zip(probabilities, true, strict=True):
        pairs = [(said[c], image[c]) for c in range(1, len(said)) if image[c].sum() > 0]
        pairs.append((said[1:].sum(0), image[1:].sum(0)))
        dice = [(2 * (p * t).sum() + 1) / ((p**2).sum() + t.sum() + 1) for p, t in pairs]
        values.append(sum(dice) / len(dice))
    return sum(values) / len(values)


def test_classes_match_torch():
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(1)
    logits = rng.normal(size=(3, 9, 7, 5)).astype(np.float32)
    labels = rng.integers(0, 4, (3, 9, 7))  # class 4 is in no image
    labels[0, 2:] = 0  # an image without any
    labels[:, :2] = dense_losses.IGNORED
    theirs = torch.tensor(logits.transpose(0, 3, 1, 2), requires_grad=True)
    wanted = torch.tensor(labels)
    cross_entropy = torch.nn.functional.cross_entropy(theirs, wanted, ignore_index=255)
    known = (wanted != 255)[:, None]
    true = torch.nn.functional.one_hot(wanted.clamp(max=4), 5).permute(0, 3, 1, 2) * known
    dice = torch_dice(theirs.softmax(1) * known, true)
    (cross_entropy + 1 - dice).backward()

    loss, metrics = run(dense_losses.dice_cross_entropy, logits, labels=labels)
    np.testing.assert_allclose(metrics["cross_entropy"], cross_entropy.item(), rtol=1e-5)
    np.testing.assert_allclose(metrics["dice"], dice.item(), rtol=1e-5)
    np.testing.assert_allclose(loss, (cross_entropy + 1 - dice).item(), rtol=1e-5)
    right = (logits.argmax(-1) == labels)[labels != 255].mean()
    np.testing.assert_allclose(metrics["accuracy"], right, rtol=1e-5)
    ours = grad(dense_losses.dice_cross_entropy, logits, labels=labels)
    np.testing.assert_allclose(ours, theirs.grad.permute(0, 2, 3, 1), atol=1e-6)


def test_a_mask_matches_torch():
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(2)
    logits = rng.normal(size=(2, 8, 8, 1)).astype(np.float32)
    labels = (rng.random((2, 8, 8)) < 0.3).astype(np.uint8)
    labels[1] = 0  # a frame without instruments
    theirs, true = torch.tensor(logits[..., 0]), torch.tensor(labels).float()
    entropy = torch.nn.functional.binary_cross_entropy_with_logits(theirs, true)
    said, true = theirs.sigmoid(), true[:, None]
    dice = torch_dice(torch.stack([1 - said, said], 1), torch.cat([1 - true, true], 1))
    loss, metrics = run(dense_losses.dice_cross_entropy, logits, labels=labels)
    np.testing.assert_allclose(metrics["dice"], dice.item(), rtol=1e-5)
    np.testing.assert_allclose(loss, (entropy + 1 - dice).item(), rtol=1e-5)


def test_nothing_labelled_is_no_loss():
    labels = np.full((2, 4, 4), dense_losses.IGNORED)
    loss, metrics = run(dense_losses.dice_cross_entropy, np.ones((2, 4, 4, 3)), labels=labels)
    assert loss == 0 and metrics["weight"] == 0


def test_weights_make_halves_equal_the_whole():
    """As the step averages microbatches: each loss times its weight."""
    said, truth, valid = depths()
    valid[2] = False
    rng = np.random.default_rng(3)
    labels = rng.integers(0, 3, (3, 18, 22))
    labels[0] = dense_losses.IGNORED
    pictures = rng.random((2, 3, 18, 22, 3))
    for loss, params, batch in (
        (dense_losses.scale_shift_invariant, said[..., None], {"depth": truth, "valid": valid}),
        (dense_losses.dice_cross_entropy, rng.normal(size=(3, 18, 22, 3)), {"labels": labels}),
        (dense_losses.l1_ssim, pictures[0], {"targets": pictures[1]}),
    ):
        whole, metrics = run(loss, params, **batch)
        parts = [
            run(loss, params[cut], **{key: value[cut] for key, value in batch.items()})
            for cut in (slice(0, 1), slice(1, 3))
        ]
        total = sum(part * found["weight"] for part, found in parts)
        np.testing.assert_allclose(total, whole * metrics["weight"], rtol=1e-4)


def test_ssim_matches_scikit_image():
    structural = pytest.importorskip("skimage.metrics").structural_similarity
    rng = np.random.default_rng(4)
    x, y = rng.random((2, 3, 24, 31, 3))
    y = 0.7 * x + 0.3 * y
    wanted = [
        structural(
            a, b, channel_axis=-1, data_range=1.0,
            gaussian_weights=True, sigma=1.5, use_sample_covariance=False,
        )
        for a, b in zip(x, y, strict=True)
    ]  # fmt: skip
    ours = jax.jit(dense_losses.ssim)(x, y)
    np.testing.assert_allclose(ours, wanted, atol=1e-5)
    mine = [picture.ssim(255 * a, 255 * b) for a, b in zip(x, y, strict=True)]
    np.testing.assert_allclose(ours, mine, atol=1e-5)  # the metric that the report shows

    loss, metrics = run(dense_losses.l1_ssim, x, targets=y)
    np.testing.assert_allclose(
        loss, 0.16 * np.abs(x - y).mean() + 0.84 * (1 - np.mean(wanted)), atol=1e-5
    )
    psnr = [picture.psnr(255 * a, 255 * b) for a, b in zip(x, y, strict=True)]
    np.testing.assert_allclose(metrics["psnr"], np.mean(psnr), rtol=1e-4)


def test_ssim_of_equal_images_is_one_and_small_ones_are_refused():
    x = jnp.full((1, 12, 12, 3), 0.999)
    # Variances are differences of means of squares: float32 keeps four digits of small ones.
    np.testing.assert_allclose(jax.jit(dense_losses.ssim)(x, x), 1.0, atol=1e-4)
    with pytest.raises(ValueError, match="at least 11 x 11"):
        dense_losses.ssim(x[:, :10], x[:, :10])
