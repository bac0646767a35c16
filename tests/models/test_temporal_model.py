"""The causal MS-TCN: causal, errors, sizes."""

import jax
import numpy as np
import pytest
from bsa_small import random_params

from surgzoo.models.base import parameter_count
from surgzoo.models.temporal import config as configs
from surgzoo.models.temporal.config import TemporalConfig

CONFIG = TemporalConfig(features=10, classes=4, stages=3, layers=4, maps=6)


def features(batch=2, length=40, seed=0):
    return np.random.default_rng(seed).standard_normal((batch, length, 10)).astype("f")


def test_later_frames_change_nothing_and_early_ones_do_within_reach():
    params, x = random_params(CONFIG), features(1, 120)
    answer = jax.jit(CONFIG.build().label_frames)
    plain = answer(params, x)
    for place in (60, 119):
        changed = x.copy()
        changed[:, place] += 5
        moved = np.abs(answer(params, changed) - plain).max(axis=(0, 1, 3))
        assert not moved[:place].any()
        assert moved[place] > 0.01
        assert not moved[place + CONFIG.reach + 1 :].any()
    changed = x.copy()
    changed[:, 0] += 5
    moved = np.abs(answer(params, changed) - plain).max(axis=(0, 1, 3))
    assert CONFIG.reach == 90
    # The farthest frames may be touched by too little to show in float32.
    assert moved[CONFIG.reach // 2 : CONFIG.reach + 1].any()
    assert not moved[CONFIG.reach + 1 :].any()


def test_errors_and_sizes(tmp_path):
    params = random_params(CONFIG)
    CONFIG.save_weights(params, tmp_path)
    with pytest.raises(
        ValueError, match=r"(?s)stage1.conv_1x1.weight: expected \(6, 12, 1\), found"
    ):
        TemporalConfig(12, 4, 3, 4, 6).load_weights(tmp_path)
    with pytest.raises(ValueError, match="reads 10 features a frame, not 12"):
        CONFIG.build().label_frames(params, np.zeros((1, 5, 12), "f"))
    with pytest.raises(ValueError, match="stages is at least 1"):
        TemporalConfig(stages=0)
    assert parameter_count(configs.base().build()) == 132_846
    assert configs.base().reach == 1020
    assert configs.tiny().reach == 60
