"""Objectives of models that map a frame to one value, or some, a pixel.

Each is `loss(model, params, batch, rng) -> (loss, metrics)` as in `objectives.py`. A batch has
`images` [B H W 3] as the model's processor made them, and the truth. A loss is the mean over images
of a mean over their pixels, so a frame counts the same whatever is marked in it;
`metrics["weight"]` is how many images counted.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from surgzoo.metrics import picture

IGNORED = 255  # a label that says nothing
SCALES = 4  # of the gradients that are compared, each of half the resolution
GRADIENTS = 0.5  # their weight: alpha of arXiv 1907.01341, section 5
UPRIGHT = 0.1  # correlation with the truth below which a depth is not fitted any better
SSIM_SHARE = 0.84  # of arXiv 1511.08861, section III; there for its multi-scale form


def scale_shift_invariant(model: Any, params: Any, batch: Any, rng: jax.Array):
    """Depth up to scale and shift: squared error after alignment, and gradients at four scales.

    `batch["depth"]` [B H W] is in the quantity that the model predicts, so for Depth Anything
    *inverse* depth; `batch["valid"]` [B H W], bool, may say where it is known. Metrics: `aligned`
    and `gradients`, the two parts.
    Source: arXiv 1907.01341 (MiDaS), section 5. That each truth is brought to a standard deviation
    of 1, as there with another measure of spread, is what the balance of the parts depends on.
    """
    del rng
    truth = _truth(batch, "depth")
    said = model.image_to_image(params, batch["images"])[..., 0]
    valid = batch.get("valid")
    valid = jnp.ones(truth.shape, bool) if valid is None else valid
    # Where nothing was measured files hold anything, also NaN, which a product with 0 keeps.
    truth = jnp.where(valid, truth, 0.0).astype(jnp.float32)
    error = aligned_error(said, truth, valid)
    aligned = (error**2).sum((1, 2)) / (2 * _count(valid))
    gradients = _gradients(error, valid)
    per_image = aligned + GRADIENTS * gradients
    present = valid.any((1, 2))
    metrics = {"aligned": _mean(aligned, present), "gradients": _mean(gradients, present)}
    return _mean(per_image, present), {"weight": present.sum(dtype=jnp.float32), **metrics}


def aligned_error(
    said: Float[Array, "B H W"], truth: Float[Array, "B H W"], valid: Bool[Array, "B H W"]
) -> Float[Array, "B H W"]:
    """scale * said + shift - truth with each image's best scale and shift (least squares), in
    standard deviations of its truth. 0 where not valid.

    The scale is that of a correlation of UPRIGHT at least: least squares would turn a map with near
    and far exchanged around, and a model that began that way would stay so. The mean square,
    1 - r**2 for a correlation of r, goes on below in a straight line, with the slope that it has
    there.
    """
    count = _count(valid)

    def standard(x):
        x = jnp.where(valid, x - ((x * valid).sum((1, 2)) / count)[:, None, None], 0.0)
        variance = jnp.maximum((x**2).sum((1, 2)) / count, 1e-8)  # of a flat map nothing is made
        return x / jnp.sqrt(variance)[:, None, None]

    said, truth = standard(said), standard(truth)
    correlation = (said * truth).sum((1, 2)) / count
    return jnp.maximum(correlation, UPRIGHT)[:, None, None] * said - truth


def dice_cross_entropy(model: Any, params: Any, batch: Any, rng: jax.Array):
    """Cross entropy plus 1 - soft Dice, in equal parts.

    `batch["labels"]` [B H W], integers; IGNORED counts nowhere. A model with one output is a mask:
    label 1 inside, 0 outside. Otherwise they are its classes, 0 is none of them, and Dice is the
    mean over what the tasks ask: each class that the image has, and all of them as one mask. With
    squares in the denominator (arXiv 1606.04797, section 3). Metrics: `cross_entropy`, `dice`
    (soft), `accuracy` of pixels.
    """
    del rng
    labels = _truth(batch, "labels")
    logits = model.image_to_image(params, batch["images"])
    valid = labels != IGNORED
    labels = jnp.where(valid, labels, 0)
    count = _count(valid)
    if logits.shape[-1] == 1:  # the classes outside (logit 0) and inside
        logits = jnp.concatenate([jnp.zeros_like(logits), logits], axis=-1)
    logs = jax.nn.log_softmax(logits.astype(jnp.float32))
    true = jax.nn.one_hot(labels, logits.shape[-1]) * valid[..., None]
    cross_entropy = -(true * logs).sum((1, 2, 3)) / count
    dice = _soft_dice(jnp.exp(logs) * valid[..., None], true)
    right = ((logits.argmax(-1) == labels) & valid).sum((1, 2)) / count
    present = valid.any((1, 2))
    metrics = {
        "cross_entropy": _mean(cross_entropy, present),
        "dice": _mean(dice, present),
        "accuracy": _mean(right, present),
    }
    loss = metrics["cross_entropy"] + 1 - metrics["dice"]
    loss = jnp.where(present.any(), loss, 0.0)
    return loss, {"weight": present.sum(dtype=jnp.float32), **metrics}


def _soft_dice(said: Float[Array, "B H W C"], true: Float[Array, "B H W C"]) -> Float[Array, " B"]:
    """The mean over the classes from 1 on that the image has, and all of them as one mask; of an
    image without any, how empty the prediction is (1 where it is)."""
    pixels = (1, 2)
    smooth = 1.0  # pixels: keeps the quotient of nearly nothing from jumping

    def masks(x):
        classes = x[..., 1:]
        return jnp.concatenate([classes, classes.sum(-1, keepdims=True)], axis=-1)

    said, true = masks(said), masks(true)
    both, size = (said * true).sum(pixels), true.sum(pixels)
    dice = (2 * both + smooth) / ((said**2).sum(pixels) + size + smooth)
    asked = (size > 0).at[:, -1].set(True)
    return (dice * asked).sum(-1) / asked.sum(-1)


def l1_ssim(model: Any, params: Any, batch: Any, rng: jax.Array):
    """(1 - SSIM_SHARE) * L1 + SSIM_SHARE * (1 - SSIM).

    `batch["targets"]` [B H W 3] is RGB from 0 to 1. Metrics: `l1`, `ssim`, and `psnr` in dB of the
    prediction clipped to that range.
    """
    del rng
    truth = _truth(batch, "targets").astype(jnp.float32)
    said = model.image_to_image(params, batch["images"])
    l1 = jnp.abs(said - truth).mean()
    similar = ssim(said, truth).mean()
    error = ((jnp.clip(said, 0.0, 1.0) - truth) ** 2).mean((1, 2, 3))
    metrics = {
        "weight": jnp.float32(len(said)),
        "l1": l1,
        "ssim": similar,
        "psnr": (-10 * jnp.log10(jnp.maximum(error, 1e-10))).mean(),
    }
    return (1 - SSIM_SHARE) * l1 + SSIM_SHARE * (1 - similar), metrics


def ssim(x: Float[Array, "B H W C"], y: Float[Array, "B H W C"]) -> Float[Array, " B"]:
    """Mean structural similarity of images from 0 to 1, as `metrics.picture.ssim` defines it.

    Raises ValueError for images smaller than the window.
    """
    side = picture.WINDOW
    if min(x.shape[1:3]) < side:
        raise ValueError(f"SSIM needs images of at least {side} x {side} pixels: {x.shape[1:3]}")
    return picture.similarity(x, y, _blurred, 1.0).mean((1, 2, 3))


def _blurred(x: Float[Array, "B H W C"]) -> Float[Array, "B h w C"]:
    """Gaussian means over the windows that lie inside: sums of shifted images along one side, then
    the other. Variances are differences of them, so they are taken in full precision."""
    weights = picture.window_weights().astype(np.float32)
    for axis in (1, 2):
        size = x.shape[axis] - picture.WINDOW + 1
        x = sum(
            weight * jax.lax.slice_in_dim(x, shift, shift + size, axis=axis)
            for shift, weight in enumerate(weights)
        )
    return x


def _gradients(error: Float[Array, "B H W"], valid: Bool[Array, "B H W"]) -> Float[Array, " B"]:
    """The sum over scales of the mean absolute differences of neighbouring errors."""
    total = jnp.zeros(len(error))
    for scale in range(SCALES):
        step = 2**scale
        e, v = error[:, ::step, ::step], valid[:, ::step, ::step]
        across = jnp.abs(e[:, :, 1:] - e[:, :, :-1]) * (v[:, :, 1:] & v[:, :, :-1])
        down = jnp.abs(e[:, 1:] - e[:, :-1]) * (v[:, 1:] & v[:, :-1])
        total += (across.sum((1, 2)) + down.sum((1, 2))) / _count(v)
    return total


def _truth(batch: Any, name: str) -> Array:
    """What the loss compares with. Raises ValueError where the rows hold another truth."""
    if name not in batch:
        raise ValueError(
            f"this objective learns from '{name}', and the rows of this run hold "
            f"{', '.join(batch)}: take the objective that goes with the model (docs/dense.md)"
        )
    return batch[name]


def _count(valid: Bool[Array, "B H W"]) -> Float[Array, " B"]:
    """Valid pixels of each image, 1 where there are none."""
    return jnp.maximum(valid.sum((1, 2)), 1).astype(jnp.float32)


def _mean(values: Float[Array, " B"], present: Bool[Array, " B"]) -> Float[Array, ""]:
    """Over the images that are present; 0 without any."""
    return (values * present).sum() / jnp.maximum(present.sum(), 1)
