"""The tiny segmenter learns to see rendered instruments, on patients that it was not trained on."""

import dataclasses

import jax
import numpy as np
import optax
import pytest

from surgzoo.datasets.synthsurg.procedures import PROCEDURES
from surgzoo.datasets.synthsurg.render import Operation
from surgzoo.metrics.dense import overlap
from surgzoo.models import models
from surgzoo.train.dense_losses import dice_cross_entropy

STEPS, ROWS = 60, 8


def frames(numbers, each, side):
    """Images and instrument masks from all over the operations of these patients."""
    images, masks = [], []
    for number in numbers:
        procedure = tuple(PROCEDURES)[number % len(PROCEDURES)]
        operation = Operation(0, number, procedure, side)
        for time in np.linspace(0.05, 0.95, each) * operation.duration:
            view = operation.frame(time)
            images.append(view.image)
            masks.append(view.instruments > 0)
    return np.stack(images), np.stack(masks)


@pytest.mark.slow
def test_segmenter_learns_instruments():
    # Side by side: so few layers compile in less time than four scans do.
    config = dataclasses.replace(models.get("instrument-segmentation-tiny")(), scan_layers=False)
    processor, model = config.processor(), config.build()
    side = config.input.size
    images, masks = frames(range(1, 17), 6, side)
    held_out, truth = frames(range(3001, 3005), 6, side)  # a test patient is number 3001 or above
    pixels, unseen = (np.stack([processor.encode(f) for f in x]) for x in (images, held_out))

    rate = optax.warmup_cosine_decay_schedule(0.0, 2e-3, 5, STEPS)
    tx = optax.chain(optax.clip_by_global_norm(1.0), optax.adamw(rate))
    params = jax.jit(model.init)(jax.random.key(0))

    @jax.jit
    def step(params, opt, batch):
        def loss(params):
            return dice_cross_entropy(model, params, batch, jax.random.key(0))

        gradients, metrics = jax.grad(loss, has_aux=True)(params)
        updates, opt = tx.update(gradients, opt, params)
        return optax.apply_updates(params, updates), opt, metrics

    rng, opt = np.random.default_rng(0), tx.init(params)
    for _ in range(STEPS):
        rows = rng.choice(len(pixels), ROWS, replace=False)
        batch = {"images": pixels[rows], "labels": masks[rows].astype(np.int32)}
        params, opt, _ = step(params, opt, batch)

    predict = jax.jit(model.image_to_image)
    said = np.concatenate(
        [predict(params, unseen[i : i + ROWS]) for i in range(0, len(unseen), ROWS)]
    )[..., 0]

    def mean_dice(said):
        return np.mean([overlap(a, b).dice for a, b in zip(truth, said, strict=True)])

    dice = mean_dice(said > 0)
    everything, nothing = (mean_dice(np.full_like(truth, value)) for value in (True, False))
    print(f"Dice {dice:.3f}; all instrument {everything:.3f}, none {nothing:.3f}")
    assert dice > 0.7 > 2 * max(everything, nothing)
