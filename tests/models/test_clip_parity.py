"""Narrow CLIP and SigLIP 2 against transformers, padding, gradients."""

import dataclasses

import jax
import numpy as np
import pytest
import torch
from clip_small import random_params, small
from oracles.clip import pixels, read


@pytest.fixture(scope="module", params=["clip", "siglip2"])
def pair(request, tmp_path_factory):
    """Family, config, params, and the model of transformers that loads what we saved."""
    config = small(request.param, scan_layers=False)
    params = random_params(config)
    folder = tmp_path_factory.mktemp(request.param)
    config.save_weights(params, folder)
    oracle, family = read(folder)
    assert family == request.param
    return family, config, params, oracle


@pytest.fixture(scope="module")
def inputs():
    rng = np.random.default_rng(1)
    images = rng.standard_normal((3, 32, 32, 3)).astype(np.float32)
    tokens = rng.integers(8, 60, (4, 12)).astype(np.int32)
    mask = np.ones((4, 12), bool)
    for row, end in enumerate((11, 5, 8, 1)):
        tokens[row, end:] = 7  # the end token, then padding of the same id
        mask[row, end + 1 :] = False
    return images, tokens, mask


def test_side_by_side(pair, inputs):
    """Narrow towers of sizes that differ, layers side by side, and SigLIP 2's own files; the rest
    is in test_zoo.py."""
    family, config, params, oracle = pair
    images, tokens, mask = inputs
    with torch.no_grad():
        theirs = oracle(
            input_ids=torch.from_numpy(tokens).long(),
            attention_mask=torch.from_numpy(mask).long(),
            **pixels(config, family, images),
        )
    model = config.build()
    image = jax.jit(model.embed_image)(params, images)
    text = jax.jit(model.embed_text)(params, tokens, mask)
    np.testing.assert_allclose(image, theirs.image_embeds, atol=1e-4)
    np.testing.assert_allclose(text, theirs.text_embeds, atol=1e-4)
    logits = model.similarity(params, image, text)
    np.testing.assert_allclose(logits, theirs.logits_per_image, atol=1e-4)
    assert np.std(logits) > 0.01  # the comparison can tell inputs apart


def test_padding_is_not_read(pair, inputs):
    """Where the mask is False nothing changes the embedding (CLIP), whatever token stands there."""
    family, config, params, _ = pair
    if family != "clip":
        pytest.skip("SigLIP reads the last position, padding or not")
    _, tokens, mask = inputs
    other = np.where(mask, tokens, 33).astype(np.int32)
    model = config.build()
    left, right = (model.embed_text(params, t, mask) for t in (tokens, other))
    np.testing.assert_allclose(left, right, atol=1e-6)


def test_gradients_reach_every_parameter(pair, inputs):
    _, config, params, _ = pair
    images, tokens, mask = inputs
    model = dataclasses.replace(config, remat="full").build()

    def loss(params):
        image, text = (
            model.embed_image(params, images), model.embed_text(params, tokens, mask)
        )  # fmt: skip
        return (model.similarity(params, image, text) ** 2).sum()

    grads = jax.jit(jax.grad(loss))(params)
    dead = [
        jax.tree_util.keystr(path)
        for path, g in jax.tree_util.tree_leaves_with_path(grads)
        if not np.any(np.asarray(g))
    ]
    # A key's bias moves all scores of a query alike, but for rounding.
    assert not [path for path in dead if "'k'" not in path]
