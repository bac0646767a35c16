"""The planner: causal, errors, size."""

import dataclasses

import numpy as np
import pytest
from bsa_small import random_params

from surgzoo.models.base import parameter_count
from surgzoo.models.bsa import config as configs
from surgzoo.models.bsa.config import PlannerConfig

CONFIG = PlannerConfig(actions=5, longest=9, width=16, depth=2, heads=2, mlp=24)


def histories(batch=3, length=7, seed=0):
    rng = np.random.default_rng(seed)
    return rng.dirichlet(np.ones(CONFIG.actions), (batch, length)).astype("f")


def test_the_future_changes_nothing():
    params, history = random_params(CONFIG), histories()
    model = CONFIG.build()
    changed = history.copy()
    changed[:, 4:] = histories(seed=1)[:, 4:]
    one, other = model.plan(params, history), model.plan(params, changed)
    np.testing.assert_allclose(one[:, :5], other[:, :5], atol=1e-6)
    assert np.abs(one[:, 5:] - other[:, 5:]).max() > 1e-3
    np.testing.assert_allclose(one[:, :5], model.plan(params, history[:, :4]), atol=1e-5)


def test_errors(tmp_path):
    params = random_params(CONFIG)
    CONFIG.save_weights(params, tmp_path)
    with pytest.raises(
        ValueError, match=r"config.json beside[^@]*place: expected \(13, 16\), found"
    ):
        dataclasses.replace(CONFIG, longest=12).load_weights(tmp_path)
    with pytest.raises(ValueError, match="up to 9 actions of 5 kinds, not 10 of 5"):
        CONFIG.build().plan(params, histories(length=10))
    with pytest.raises(ValueError, match="not a multiple"):
        PlannerConfig(heads=3)
    assert parameter_count(configs.planner().build()) < 1e6
