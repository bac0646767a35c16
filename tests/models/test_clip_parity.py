"""CLIP, SigLIP and SigLIP 2 against transformers, with the same random weights on both sides."""

import dataclasses

import jax
import numpy as np
import pytest
import torch
import transformers
from clip_small import random_params, small

CLASSES = {
    "clip": transformers.CLIPModel,
    "siglip": transformers.SiglipModel,
    "siglip2": transformers.Siglip2Model,
}


@pytest.fixture(scope="module", params=CLASSES)
def pair(request, tmp_path_factory):
    """Family, config, params, and the model of transformers that loads what we saved."""
    config = small(request.param)
    params = random_params(config)
    folder = tmp_path_factory.mktemp(request.param)
    config.save_weights(params, folder)
    oracle, info = CLASSES[request.param].from_pretrained(folder, output_loading_info=True)
    assert not info["missing_keys"] and not info["unexpected_keys"]
    return request.param, config, params, oracle.eval()


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


def pixels(family, images, patch=8):
    """What transformers takes: channels first, or with SigLIP 2 flat patches and their grid."""
    if family != "siglip2":
        return {"pixel_values": torch.from_numpy(images.transpose(0, 3, 1, 2).copy())}
    b, size = images.shape[:2]
    grid = size // patch
    flat = images.reshape(b, grid, patch, grid, patch, 3).transpose(0, 1, 3, 2, 4, 5)
    return {
        "pixel_values": torch.from_numpy(flat.reshape(b, grid * grid, -1).copy()),
        "pixel_attention_mask": torch.ones(b, grid * grid, dtype=torch.long),
        "spatial_shapes": torch.tensor([[grid, grid]] * b),
    }


@pytest.mark.parametrize("scan_layers", [True, False])
def test_embeddings_and_logits(pair, inputs, scan_layers):
    family, config, params, oracle = pair
    images, tokens, mask = inputs
    if not scan_layers:
        from surgzoo.models.layers.stack import unstack

        config, params = dataclasses.replace(config, scan_layers=False), unstack(params)
    with torch.no_grad():
        theirs = oracle(
            input_ids=torch.from_numpy(tokens).long(),
            attention_mask=torch.from_numpy(mask).long(),
            **pixels(family, images),
        )
    model = config.build()
    image = jax.jit(model.embed_image)(params, images)
    text = jax.jit(model.embed_text)(params, tokens, mask)
    np.testing.assert_allclose(image, theirs.image_embeds, atol=1e-4)
    np.testing.assert_allclose(text, theirs.text_embeds, atol=1e-4)
    logits = model.similarity(params, image, text)
    np.testing.assert_allclose(logits, theirs.logits_per_image, atol=1e-4)
    assert np.std(logits) > 0.01  # the comparison can tell inputs apart


def test_features(pair, inputs):
    family, config, params, oracle = pair
    images = inputs[0]
    with torch.no_grad():
        out = oracle.vision_model(**pixels(family, images)).last_hidden_state
    out = out[:, 1:] if family == "clip" else out
    ours = config.build().image_features(params, images)
    np.testing.assert_allclose(ours, out, atol=1e-4)


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
    family, config, params, _ = pair
    if family == "siglip2":
        pytest.skip("the same graph as siglip")
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
