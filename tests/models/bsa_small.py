"""A small video model whose every parameter is random, those that start at zero too."""

import jax
import numpy as np

from surgzoo.models.bsa.config import BSAConfig


def small_config(**changes):
    fields = {
        "actions": 5, "width": 32, "depth": 2, "heads": 4, "mlp": 48, "frames": 3,
        "image_size": 32, "patch": 8,
    }  # fmt: skip
    return BSAConfig(**fields | changes)


def random_params(config, seed=0):
    """Of any config with `build()`."""
    rng = np.random.default_rng(seed)

    def leaf(path, like):
        center = path[-1].key == "scale"  # of a norm
        return (center + 0.2 * rng.standard_normal(like.shape)).astype("f")

    return jax.tree_util.tree_map_with_path(leaf, config.build().abstract())


def video(config, batch=2, seed=0):
    shape = (batch, config.frames, config.image_size, config.image_size, 3)
    return np.random.default_rng(seed).standard_normal(shape).astype("f")
