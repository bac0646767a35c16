"""Every dual encoder as a vision tower: the shape of its features, and that they go row by row."""

import jax
import numpy as np
import pytest

from surgzoo.models import models
from surgzoo.models.build import model_config

PAIRS = [name for name in models.names() if model_config(name).reads == "pairs"]


def grid_and_width(config, image):
    """Cells of the feature map by the published architectures: patches, or a 32nd of the side."""
    if hasattr(config, "patch") or hasattr(config.vision, "patch"):
        return image // config.vision.patch, config.vision.width
    return -(-image // 32), 4 * config.vision.widths[-1]


@pytest.mark.parametrize("name", PAIRS)
def test_shapes_of_all_registered_models(name):
    """Nothing is allocated, so the largest take no longer than the smallest."""
    config = model_config(name)
    model, (height, width, channels) = config.build(), config.processor().image_shape
    assert height == width and channels == 3
    images = jax.ShapeDtypeStruct((2, height, width, 3), np.float32)
    features = jax.eval_shape(model.image_features, model.abstract(), images)
    grid, size = grid_and_width(config, height)
    assert features.shape == (2, grid * grid, size)
    embedded = jax.eval_shape(model.embed_image, model.abstract(), images)
    tokens = jax.ShapeDtypeStruct((2, config.processor().text_length), np.int32)
    mask = jax.ShapeDtypeStruct(tokens.shape, bool)
    text = jax.eval_shape(model.embed_text, model.abstract(), tokens, mask)
    assert embedded.shape == text.shape == (2, embedded.shape[1])


@pytest.mark.parametrize("name", ["clip-tiny", "siglip2-tiny"])
def test_features_stand_row_by_row(name):
    """What changes in one patch changes most in the feature of that patch. (The cells of SurgVLP's
    map are compared one by one with an oracle in test_surgvlp_parity.py.)"""
    config = model_config(name, {"vision.depth": 1, "scan_layers": False})
    model = config.build()
    params = model.init(jax.random.key(0))
    rng = np.random.default_rng(0)
    side, patch = config.vision.image_size, config.vision.patch
    grid = side // patch
    places = [(0, 1), (1, 0), (grid - 1, 2), (3, grid - 2)]
    images = np.repeat(rng.standard_normal((1, side, side, 3)), 5, axis=0).astype(np.float32)
    for n, (row, column) in enumerate(places, 1):
        rows, columns = (slice(at * patch, (at + 1) * patch) for at in (row, column))
        images[n, rows, columns] = 3 * rng.standard_normal((patch, patch, 3))
    features = jax.jit(model.image_features)(params, images)
    moved = np.linalg.norm(features[1:] - features[0], axis=-1)
    assert moved.argmax(axis=1).tolist() == [row * grid + column for row, column in places]
