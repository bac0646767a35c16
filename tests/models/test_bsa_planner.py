"""The planner: causal, against torch's encoder layers, round trip, errors."""

import dataclasses

import jax
import numpy as np
import pytest
import torch
from bsa_small import random_params

from surgzoo.models.base import parameter_count
from surgzoo.models.bsa import config as configs
from surgzoo.models.bsa.config import PlannerConfig
from surgzoo.models.layers.stack import unstack

CONFIG = PlannerConfig(actions=5, longest=9, width=16, depth=2, heads=2, mlp=24)


def histories(batch=3, length=7, seed=0):
    rng = np.random.default_rng(seed)
    return rng.dirichlet(np.ones(CONFIG.actions), (batch, length)).astype("f")


def test_against_torch():
    params, history = random_params(CONFIG), histories()
    flat = unstack(params)

    def tensor(x):
        return torch.tensor(np.asarray(x))

    x = tensor(history) @ tensor(params["action"]["kernel"])
    x = torch.cat([tensor(params["start"]).expand(3, 1, 16), x], 1) + tensor(params["place"][:8])
    for number in range(2):
        ours = flat["layers"][str(number)]
        layer = torch.nn.TransformerEncoderLayer(
            16, 2, 24, 0.0, "gelu", CONFIG.norm_eps, batch_first=True, norm_first=True
        ).eval()
        state = {
            "self_attn.in_proj_weight": ours["attention"]["qkv"]["kernel"].reshape(16, 48).T,
            "self_attn.in_proj_bias": ours["attention"]["qkv"]["bias"].reshape(48),
            "self_attn.out_proj.weight": ours["attention"]["out"]["kernel"].T,
            "self_attn.out_proj.bias": ours["attention"]["out"]["bias"],
            "linear1.weight": ours["mlp"]["fc1"]["kernel"].T,
            "linear1.bias": ours["mlp"]["fc1"]["bias"],
            "linear2.weight": ours["mlp"]["fc2"]["kernel"].T,
            "linear2.bias": ours["mlp"]["fc2"]["bias"],
            **{f"{n}.weight": ours[n]["scale"] for n in ("norm1", "norm2")},
            **{f"{n}.bias": ours[n]["bias"] for n in ("norm1", "norm2")},
        }
        layer.load_state_dict({key: tensor(value) for key, value in state.items()})
        with torch.no_grad():
            x = layer(x, torch.nn.Transformer.generate_square_subsequent_mask(8), is_causal=True)
    x = torch.nn.functional.layer_norm(
        x, (16,), tensor(params["norm"]["scale"]), tensor(params["norm"]["bias"]), CONFIG.norm_eps
    )
    wanted = x @ tensor(params["next"]["kernel"]) + tensor(params["next"]["bias"])
    found = CONFIG.build().plan(params, history)
    assert found.shape == (3, 8, 5)
    np.testing.assert_allclose(found, wanted.numpy(), atol=1e-4)


def test_the_future_changes_nothing():
    params, history = random_params(CONFIG), histories()
    model = CONFIG.build()
    changed = history.copy()
    changed[:, 4:] = histories(seed=1)[:, 4:]
    one, other = model.plan(params, history), model.plan(params, changed)
    np.testing.assert_allclose(one[:, :5], other[:, :5], atol=1e-6)
    assert np.abs(one[:, 5:] - other[:, 5:]).max() > 1e-3
    np.testing.assert_allclose(one[:, :5], model.plan(params, history[:, :4]), atol=1e-5)


def test_round_trip_and_errors(tmp_path):
    params = random_params(CONFIG)
    CONFIG.save_weights(params, tmp_path)
    loaded = CONFIG.load_weights(tmp_path)
    assert jax.tree.structure(loaded) == jax.tree.structure(params)
    jax.tree.map(np.testing.assert_array_equal, loaded, params)
    flat = dataclasses.replace(CONFIG, scan_layers=False)
    jax.tree.map(np.testing.assert_array_equal, flat.load_weights(tmp_path), unstack(params))
    with pytest.raises(
        ValueError, match=r"config.json beside[^@]*place: expected \(13, 16\), found"
    ):
        dataclasses.replace(CONFIG, longest=12).load_weights(tmp_path)
    with pytest.raises(ValueError, match="up to 9 actions of 5 kinds, not 10 of 5"):
        CONFIG.build().plan(params, histories(length=10))
    with pytest.raises(ValueError, match="not a multiple"):
        PlannerConfig(heads=3)
    assert parameter_count(configs.planner().build()) < 1e6
