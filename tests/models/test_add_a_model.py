"""docs/add_a_model.md: the files that it shows, as they stand there, are a model that holds."""

import importlib
import importlib.util
import re
import sys
from pathlib import Path

import jax
import numpy as np
import pytest
import torch
from model_checks import all_verbs, assert_parity, random_params

import surgzoo.models
from surgzoo.core import config as config_lib
from surgzoo.core import parallel
from surgzoo.core.registry import Registry, resolve
from surgzoo.models.base import parameter_count
from surgzoo.models.card import in_words
from surgzoo.train.experiment import Experiment

PAGE = Path(__file__).parents[2] / "docs" / "add_a_model.md"
FILE = re.compile(r"^`(\S+\.py)`.*?^```python\n(.*?)^```", re.DOTALL | re.MULTILINE)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """The files, the model's among them importable."""
    found = FILE.findall(PAGE.read_text(encoding="utf-8"))
    assert [Path(name).name for name, _ in found[:4]] == [
        "config.py", "model.py", "weights.py", "cards.py"
    ]  # fmt: skip
    assert sum(len(text.splitlines()) for _, text in found) < 200
    for name, text in found:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    there = [*surgzoo.models.__path__, str(tmp_path / "surgzoo" / "models")]
    monkeypatch.setattr(surgzoo.models, "__path__", there)
    yield tmp_path
    for name in [name for name in sys.modules if name.startswith("surgzoo.models.patchbag")]:
        del sys.modules[name]


def test_the_model_of_the_page(folder):
    registry = Registry("model")
    importlib.import_module("surgzoo.models.patchbag.cards").register(registry)
    (entry,) = registry
    config = resolve(entry.target)()
    model = config.build()
    assert entry.card.details["reads"] == config.reads
    assert entry.card.details["parameters"] == in_words(parameter_count(model))
    parallel.param_specs(model.abstract(), model.logical_axes(), parallel.make_mesh(fsdp=2))

    spec = importlib.util.spec_from_file_location(
        "patchbag_oracle", folder / "tests" / "models" / "oracles" / "patchbag.py"
    )
    oracle = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(oracle)
    params, inputs = random_params(config), oracle.inputs(config, 2)
    weights = folder / "weights"
    config.save_weights(params, weights)
    jax.tree.map(np.testing.assert_array_equal, config.load_weights(weights), params)
    outputs = jax.device_get(jax.jit(all_verbs(model))(params, inputs))
    with torch.no_grad():
        assert_parity(outputs, oracle.parity(config, weights, inputs))

    experiment = config_lib.load(folder / "configs" / "patchbag.py")
    assert isinstance(experiment, Experiment) and experiment.model.name == entry.name
