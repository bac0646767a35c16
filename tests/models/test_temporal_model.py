"""The causal MS-TCN: against torch with the authors' keys, causal, round trip, errors."""

import jax
import numpy as np
import pytest
import torch
from bsa_small import random_params
from safetensors.numpy import load_file
from torch import nn

from surgzoo.models.base import parameter_count
from surgzoo.models.temporal import config as configs
from surgzoo.models.temporal.config import TemporalConfig

CONFIG = TemporalConfig(features=10, classes=4, stages=3, layers=4, maps=6)


class OracleLayer(nn.Module):
    def __init__(self, dilation, maps):
        super().__init__()
        self.dilation = dilation
        self.conv_dilated = nn.Conv1d(maps, maps, 3, dilation=dilation)
        self.conv_1x1 = nn.Conv1d(maps, maps, 1)

    def forward(self, x):
        before = nn.functional.pad(x, (2 * self.dilation, 0))
        return x + self.conv_1x1(torch.relu(self.conv_dilated(before)))


class OracleStage(nn.Module):
    def __init__(self, features, maps, layers, classes):
        super().__init__()
        self.conv_1x1 = nn.Conv1d(features, maps, 1)
        self.layers = nn.ModuleList([OracleLayer(2**i, maps) for i in range(layers)])
        self.conv_out = nn.Conv1d(maps, classes, 1)

    def forward(self, x):
        x = self.conv_1x1(x)
        for layer in self.layers:
            x = layer(x)
        return self.conv_out(x)


class Oracle(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.stage1 = OracleStage(c.features, c.maps, c.layers, c.classes)
        later = [OracleStage(c.classes, c.maps, c.layers, c.classes) for _ in range(c.stages - 1)]
        self.stages = nn.ModuleList(later)

    def forward(self, x):
        out = [self.stage1(x)]
        for stage in self.stages:
            out.append(stage(out[-1].softmax(dim=1)))
        return torch.stack(out)


def features(batch=2, length=40, seed=0):
    return np.random.default_rng(seed).standard_normal((batch, length, 10)).astype("f")


def test_parity_and_round_trip(tmp_path):
    params, x = random_params(CONFIG), features()
    files = CONFIG.save_weights(params, tmp_path)
    assert [file.name for file in files] == ["model.safetensors", "config.json"]
    oracle = Oracle(CONFIG)
    tensors = {key: torch.tensor(value) for key, value in load_file(files[0]).items()}
    oracle.load_state_dict(tensors)
    with torch.no_grad():
        wanted = oracle(torch.tensor(x.swapaxes(1, 2))).numpy().swapaxes(2, 3)
    found = CONFIG.build().label_frames(params, x)
    assert found.shape == (3, 2, 40, 4)
    np.testing.assert_allclose(found, wanted, atol=1e-4)
    loaded = CONFIG.load_weights(tmp_path)
    assert jax.tree.structure(loaded) == jax.tree.structure(params)
    jax.tree.map(np.testing.assert_array_equal, loaded, params)


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
    assert moved[CONFIG.reach - 10] > 0


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
