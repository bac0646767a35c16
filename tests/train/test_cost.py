"""Operations of one input: by hand, beside the compiler's count, and of models too large to run."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from surgzoo.models.build import create_model
from surgzoo.models.verbs import CHIEF, batch_of, verbs
from surgzoo.train.cost import cost, flops


def shape(*sizes):
    return jax.ShapeDtypeStruct(sizes, np.float32)


@pytest.mark.parametrize(
    ("fn", "arguments", "expected"),
    [
        (lambda a, b: a @ b, (shape(3, 5), shape(5, 7)), 2 * 3 * 5 * 7),
        (lambda a, b: jnp.einsum("bij,bjk->bik", a, b), (shape(2, 3, 5), shape(2, 5, 7)), 420),
        # Kernel 3 x 3 x 2 a group of channels, 4 outputs at 6 x 6 places.
        (
            lambda x, k: jax.lax.conv_general_dilated(
                x, k, (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC"),
                feature_group_count=2,
            ),
            (shape(1, 6, 6, 4), shape(3, 3, 2, 4)),
            2 * 36 * 4 * 18,
        ),
        (lambda a: jax.lax.scan(lambda x, _: (x @ x, None), a, length=6)[0], (shape(4, 4),), 768),
        (
            lambda a: jax.lax.cond(a[0, 0] > 0, lambda x: x @ x @ x, lambda x: x @ x, a),
            (shape(4, 4),),
            256,
        ),
        (jax.checkpoint(lambda a: jnp.sin(a @ a)), (shape(4, 4),), 128),
    ],
)  # fmt: skip
def test_by_hand(fn, arguments, expected):
    assert flops(jax.make_jaxpr(fn)(*arguments)) == expected


@pytest.mark.parametrize("name", ["clip-tiny", "bsa-tiny", "depth-anything-v2-tiny", "tecno-base"])
def test_beside_the_compiler(name):
    """It counts elementwise operations too, which weigh more the narrower a model is; and the body
    of a scan once, so layers stand side by side. Padding it leaves out."""
    config = create_model(name)
    if hasattr(config, "scan_layers"):
        flat = dataclasses.replace(config, scan_layers=False)
        assert cost(flat).flops == cost(config).flops
        config = flat
    model, theirs = config.build(), 0.0
    for verb in CHIEF[config.reads]:
        lowered = jax.jit(verbs(model)[verb]).lower(model.abstract(), batch_of(config, 1))
        theirs += lowered.cost_analysis()["flops"]
    assert 0.8 < cost(config).flops / theirs < 1.03


def test_the_largest_by_its_parameters():
    """Every parameter of the layers multiplies each token once; scores and pictures come on top."""
    config = create_model("surgvlm-72b")
    found = cost(config)
    tokens, text = config.row()["tokens"][0][0], config.text
    products = found.parameter_count - text.vocab * text.width  # the embedding is looked up
    assert 1.0 < found.flops / (2 * products * tokens) < 1.15
    assert found.parameter_bytes == 4 * found.parameter_count
    # Logits in float32 are the largest of what is held.
    assert found.activation_bytes > 4 * tokens * text.vocab
