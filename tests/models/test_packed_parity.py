"""Packed rows: each conversation has the loss and the gradients that it has in a row of its own."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from surgzoo.core.contract import Bucket, Message
from surgzoo.data.packing import join
from tests.models.qwen_small import picture, random_params, small_config, stack_rows

BUCKET = Bucket(496, 432)  # one shape for all, packed and alone: one compilation


def talks(count, images, words="Which instruments are in view?"):
    answers = ("hook, grasper", "calot triangle dissection", "(100,200),(300,400)", "yes")
    return [
        [Message("user", f"{words} {n}", images), Message("assistant", answers[n % 4])]
        for n in range(count)
    ]


# Units: conversations about the same visuals, the visuals, their frame rates.
UNITS = (
    (talks(3, 1), [picture(90, 120, 0)], []),  # grouped about an image
    (talks(1, 0, "What is a trocar?"), [], []),  # words alone
    (talks(2, 1, "What happens here?"), [picture(60, 90, 1, frames=4)], [2.0]),  # a clip
    (talks(1, 2, "What changed?"), [picture(120, 60, 2), picture(84, 84, 3)], [0, 0]),
    (talks(1, 1), [picture(90, 120, 0)], []),  # ungrouped, and the first image once more
    (talks(1, 1, "And then?"), [picture(150, 200, 4, frames=3)], [1.0]),  # an odd clip
    (talks(1, 1, "What is it?"), [picture(150, 180, 5)], []),
)


def exact(processor, unit):
    """A row without padding."""
    conversations, visuals, fps = unit
    size = processor.measure_group(conversations, visuals, fps=fps)
    bucket = Bucket(size.prefix + sum(size.questions), size.patches)
    row, fitted = processor.encode_group(conversations, visuals, fps=fps, bucket=bucket)
    assert fitted == len(conversations) and (row["segments"] > 0).all()
    assert (row["patch_frame"] >= 0).all() and len(row["patches"]) == size.patches
    return row


@pytest.fixture(scope="module")
def setting():
    config = small_config(compute_dtype="float32")
    processor, model = config.processor(), config.build()
    params = random_params(config)

    @jax.jit
    def loss_and_gradients(params, batch):
        def loss(params):
            logits = model.forward(params, batch)[:, :-1]
            scores = jax.nn.log_softmax(logits, axis=-1)
            picked = jnp.take_along_axis(scores, batch["tokens"][:, 1:, None], axis=-1)[..., 0]
            return -(picked * batch["loss_mask"][:, 1:]).sum()

        return jax.value_and_grad(loss)(params)

    return processor, params, loss_and_gradients


def test_packed_equals_alone(setting):
    processor, params, loss_and_gradients = setting
    rows = [exact(processor, unit) for unit in UNITS]
    packed = join(rows, BUCKET)

    segment = 0
    for (conversations, visuals, fps), row in zip(UNITS, rows, strict=True):
        own = sorted(set(row["segments"]) - set(row["prefix"]))
        for number, conversation in zip(own, conversations, strict=True):
            weights = np.where(packed["segments"] == segment + number, packed["loss_mask"], 0)
            assert weights.sum() > 0
            mine = loss_and_gradients(params, stack_rows([packed | {"loss_mask": weights}]))
            single = processor.encode(conversation, visuals, fps=fps, bucket=BUCKET)
            assert single["loss_mask"].sum() == weights.sum()
            alone = loss_and_gradients(params, stack_rows([single]))
            np.testing.assert_allclose(mine[0], alone[0], rtol=2e-5)
            for a, b in zip(jax.tree.leaves(mine[1]), jax.tree.leaves(alone[1]), strict=True):
                scale = max(float(np.abs(b).max()), 1e-6)
                np.testing.assert_allclose(a / scale, b / scale, atol=1e-4)
        segment += int(row["segments"].max())
    assert segment == packed["segments"].max()


def test_a_neighbour_changes_nothing(setting):
    """Not even bits of it: other pictures and words beside a conversation, same shapes."""
    processor, params, loss_and_gradients = setting
    rows = [exact(processor, unit) for unit in UNITS]
    packed = join(rows, BUCKET)
    mine = packed["segments"] == rows[0]["segments"].max()
    packed["loss_mask"] = np.where(mine, packed["loss_mask"], 0)
    other = {key: value.copy() for key, value in packed.items()}
    patches = len(rows[0]["patches"])
    tokens = len(rows[0]["tokens"])
    other["patches"][patches:] *= -1
    text = np.flatnonzero(other["vision_index"] < 0)
    other["tokens"][text[text >= tokens]] += 7
    a, b = (loss_and_gradients(params, stack_rows([row])) for row in (packed, other))
    np.testing.assert_array_equal(a[0], b[0])
