"""One vector a frame: what each family makes of its image tower."""

import jax
import numpy as np
import pytest
from clip_small import random_params as clip_params
from clip_small import small as small_clip
from qwen_small import picture

from surgzoo.models import models


def drawn(model):
    """Parameters at random; nothing compiles for it."""
    rng = np.random.default_rng(0)

    def draw(leaf):
        noise = rng.standard_normal(leaf.shape).astype(np.float32)
        if leaf.ndim < 2:  # scales, biases, variances
            return 1 + np.float32(0.1) * noise
        return noise * np.float32(np.prod(leaf.shape[:-1]) ** -0.5)

    return jax.tree.map(draw, model.abstract())


def embed(model, params, processor, frames):
    found = np.asarray(jax.jit(model.embed_frames)(params, processor.frames(frames)))
    assert np.isfinite(found).all() and found.std() > 0
    return found


def test_qwen_is_the_mean_of_the_tokens_that_transformers_makes(small):
    # Frames of two sizes: the smaller one is padded.
    frames = [picture(56, 84), picture(112, 140, seed=1)]
    found = embed(small.model, small.params, small.processor, frames)
    torch = small.oracle.torch
    for frame, vector in zip(frames, found, strict=True):
        patches = torch.tensor(small.processor.patchify(frame))
        grid = torch.tensor([list(small.processor.grid(*frame.shape[:2]))])
        with torch.no_grad():
            out = small.oracle.model.model.get_image_features(patches, grid)
        tokens = torch.cat(tuple(getattr(out, "pooler_output", out)))
        np.testing.assert_allclose(vector, tokens.mean(dim=0).numpy(), atol=1e-4)


@pytest.mark.parametrize("family", ["clip", "siglip2"])
def test_dual_encoders_give_the_embedding_with_its_length(family):
    config = small_clip(family)
    model, params, processor = config.build(), clip_params(config), config.processor()
    frames = [picture(40, 48), picture(64, 40, seed=1), picture(32, 32, seed=2)]
    found = embed(model, params, processor, frames)
    length = np.linalg.norm(found, axis=1, keepdims=True)
    assert np.abs(length - 1).min() > 0.01
    expected = jax.jit(model.embed_image)(params, processor.images(frames))
    np.testing.assert_allclose(found / length, expected, atol=1e-5)


def test_surgvlp_gives_the_mean_of_the_last_map():
    config = models.get("surgvlp-tiny")()
    model, processor = config.build(), config.processor()
    params = drawn(model)
    frames = [picture(90, 160), picture(64, 64, seed=1)]
    found = embed(model, params, processor, frames)
    cells = jax.jit(model.image_features)(params, processor.images(frames))
    np.testing.assert_allclose(found, np.asarray(cells).mean(axis=1), rtol=1e-4, atol=1e-5)
    assert models.get("surgvlp")().vision.out == 2048  # what tecno-base reads


def test_a_depth_encoder_gives_the_mean_of_its_last_tokens():
    config = models.get("depth-anything-v2-tiny")()
    model, processor = config.build(), config.processor()
    params = drawn(model)
    frame = picture(60, 80)
    (found,) = embed(model, params, processor, [frame])
    maps = jax.jit(lambda p, x: model.bind(p).backbone(x))(params, processor.encode(frame)[None])
    np.testing.assert_allclose(
        found, np.asarray(maps[-1]).mean(axis=(0, 1, 2)), rtol=1e-4, atol=1e-5
    )


def test_who_can():
    def can(name):
        return models.get(name)().build().can("embed_frames")

    names = ["surgvlm-7b", "clip-vit-b-32", "siglip2-base", "peskavlp", "depth-anything-v2-small"]
    assert all(can(name) for name in names)
    assert not any(can(name) for name in ("bsa-tiny", "bsa-planner", "tecno-tiny"))
