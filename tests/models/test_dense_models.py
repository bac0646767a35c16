"""Dense models: outputs, where they start, weights."""

import dataclasses

import jax
import numpy as np
import pytest
import torch
from model_checks import random_batch, random_params
from oracles.dense import parity

from surgzoo.models import models
from surgzoo.models.depth_anything_v2 import config as depth

NAMES = ("instrument-segmentation", "tissue-segmentation", "desmoking", "next-frame")
CHANNELS = dict(zip(NAMES, (1, 13, 3, 3), strict=True))


def narrow(name, **changes):
    config = models.get(f"{name}-tiny")()
    backbone = depth.BackboneConfig(32, depth=4, heads=2, taps=(1, 2, 3, 4), patch=8, grid=4)
    fields = {
        "backbone": backbone,
        "neck": depth.NeckConfig((8, 8, 8, 8), fusion=8, head=8),
        "input": depth.InputConfig(size=32, square=True),
        "scan_layers": False,
    }
    return dataclasses.replace(config, **fields | changes)


@pytest.mark.parametrize("name", NAMES)
def test_outputs(name):
    config = models.get(f"{name}-tiny")()
    assert config.outputs == CHANNELS[name]
    model = config.build()
    images = jax.ShapeDtypeStruct((2, 112, 112, 3), np.float32)
    out = jax.eval_shape(model.image_to_image, model.abstract(), images)
    assert out.shape == (2, 112, 112, CHANNELS[name])


def test_residual_and_classes_against_transformers(tmp_path):
    """What the smallest of the family, in test_zoo.py, has not."""
    for number, name in enumerate(("desmoking", "tissue-segmentation")):
        config = narrow(name)
        params, inputs = random_params(config), random_batch(config, 2)
        config.save_weights(params, tmp_path / str(number))
        with torch.no_grad():
            wanted = parity(config, tmp_path / str(number), inputs)["image_to_image"]
        found = jax.jit(config.build().image_to_image)(params, inputs["images"])
        assert np.std(wanted) > 0.05
        np.testing.assert_allclose(found, wanted, atol=1e-4, rtol=0)


def test_untrained_residual_returns_the_frame():
    config = narrow("desmoking")
    frame = np.random.default_rng(0).integers(0, 256, (32, 32, 3), np.uint8)
    x = config.processor().encode(frame)[None]
    model = config.build()
    params = jax.jit(model.init)(jax.random.key(0))

    def loss(params):
        out = model.image_to_image(params, x)
        return (out**2).sum(), out

    gradients, out = jax.jit(jax.grad(loss, has_aux=True))(params)
    np.testing.assert_allclose(out[0], frame / 255, atol=1e-6)
    gradient = gradients["head"]["out"]["kernel"]
    assert np.abs(gradient).max() > 0  # and yet it can learn


def test_starts_from_a_depth_model(tmp_path):
    config = narrow("tissue-segmentation")
    shared = {f.name: getattr(config, f.name) for f in dataclasses.fields(depth.DepthAnythingConfig)
              if f.name != "max_depth"}  # fmt: skip
    source = depth.DepthAnythingConfig(**shared)
    params = jax.jit(source.build().init)(jax.random.key(1))
    source.save_weights(params, tmp_path)
    with pytest.raises(ValueError, match=r"head\.conv3\.weight: expected \(13, 8, 1, 1\)"):
        config.load_weights(tmp_path)
    rng = jax.random.key(2)
    ours, fresh = config.load_weights(tmp_path, rng=rng), jax.jit(config.build().init)(rng)
    for name, drawn in fresh["head"]["out"].items():
        np.testing.assert_allclose(ours["head"]["out"][name], drawn, rtol=1e-6)
    # A mask has one output as depth has, so there is nothing to draw.
    mask = narrow("instrument-segmentation").load_weights(tmp_path, rng=rng)
    jax.tree.map(np.testing.assert_array_equal, mask, params)
    del ours["head"]["out"], params["head"]["out"]
    jax.tree.map(np.testing.assert_array_equal, ours, params)


def test_configs_that_cannot_be():
    with pytest.raises(ValueError, match="labels or residual"):
        narrow("desmoking", kind="mask")
    with pytest.raises(ValueError, match="from 1 on"):
        narrow("tissue-segmentation", classes=0)
