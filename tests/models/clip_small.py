"""Small dual encoders with random weights for the tests."""

import dataclasses

import jax
import numpy as np

from surgzoo.models.clip import config as configs


def small(family, **changes):
    """A few layers, sizes that differ from one another; also biases and norms are random."""
    config = configs.clip_tiny() if family == "clip" else configs.siglip2_tiny()
    text = dataclasses.replace(
        config.text, vocab=60, width=32, heads=2, mlp=48, length=12, end=7, pad=7
    )
    vision = dataclasses.replace(config.vision, width=48, heads=3, mlp=80, image_size=32)
    return dataclasses.replace(
        config, text=text, vision=vision, embed=48, naflex_files=family == "siglip2",
        tokenizer=None, **changes,
    )  # fmt: skip


def random_params(config, seed=0):
    """Parameters of which none is zero or one."""
    params = config.build().init(jax.random.key(seed))
    leaves, tree = jax.tree.flatten(params)
    rng = np.random.default_rng(seed)
    leaves = [leaf + 0.1 * rng.standard_normal(leaf.shape).astype(np.float32) for leaf in leaves]
    return jax.tree.unflatten(tree, leaves)
