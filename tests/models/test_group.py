"""Frame-grouped rows: each conversation computes what it computes in a row of its own."""

import jax
import numpy as np
import pytest

from surgzoo.core.contract import Bucket, Message
from surgzoo.data.pipeline import stack
from surgzoo.models.build import model_config

IMAGE = np.random.default_rng(0).integers(0, 255, (90, 120, 3), np.uint8)
TALKS = [
    [Message("user", question, 1), Message("assistant", answer)]
    for question, answer in (
        ("Which instruments are in view?", "hook, grasper"),
        ("Which surgical phase is shown?", "calot triangle dissection"),
        ("Locate the hook.", "(100,200),(300,400)"),
    )
]


@pytest.fixture(scope="module")
def tiny():
    config = model_config("surgvlm-tiny", {"text.depth": 2, "vision.depth": 2})
    return config.build(), config.processor()


def test_grouped_equals_one_by_one(tiny):
    model, processor = tiny
    params = jax.jit(model.init)(jax.random.key(1))
    forward = jax.jit(model.forward)
    grouped, fitted = processor.encode_group(TALKS, [IMAGE], bucket=Bucket(192, 64))
    assert fitted == 3
    logits = np.asarray(forward(params, stack([grouped])))[0]
    for number, talk in enumerate(TALKS, start=2):
        single = processor.encode(talk, [IMAGE], bucket=Bucket(96, 64))
        alone = np.asarray(forward(params, stack([single])))[0]
        mine = np.flatnonzero(grouped["segments"] == number)
        length = int((single["segments"] > 0).sum())
        own = np.arange(length - len(mine), length)  # after the shared opening
        np.testing.assert_array_equal(grouped["tokens"][mine], single["tokens"][own])
        np.testing.assert_array_equal(grouped["positions"][:, mine], single["positions"][:, own])
        np.testing.assert_array_equal(grouped["loss_mask"][mine], single["loss_mask"][own])
        np.testing.assert_allclose(logits[mine], alone[own], atol=2e-5)


def test_what_does_not_fit_is_left_to_the_next_row(tiny):
    _, processor = tiny
    row, fitted = processor.encode_group(TALKS, [IMAGE], bucket=Bucket(72, 64))
    assert 0 < fitted < 3
    assert (row["segments"] > 0).sum() <= 72
    with pytest.raises(ValueError, match="does not fit"):
        processor.encode_group(TALKS, [IMAGE], bucket=Bucket(24, 64))


def test_text_only_group_shares_nothing(tiny):
    _, processor = tiny
    talks = [[Message("user", "Hello?"), Message("assistant", "hook")]] * 2
    row, fitted = processor.encode_group(talks, [], bucket=Bucket(64, 0))
    assert fitted == 2 and set(row["segments"]) == {0, 2, 3}
    assert (row["positions"][:, row["segments"] == 3][:, 0] == 0).all()
