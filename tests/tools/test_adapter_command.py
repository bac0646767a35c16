"""model.adapter by command: a run that starts from a peft folder, and what becomes of it."""

import dataclasses
import json
import os
import subprocess
import sys

import jax
import numpy as np
import pytest
from safetensors.numpy import load_file

from surgzoo.core import parallel
from surgzoo.evaluate.predictors.local import from_weights
from surgzoo.models.build import model_config
from surgzoo.models.layers.lora import adapters_of, with_adapters
from surgzoo.models.layers.lora_config import LoraConfig
from surgzoo.models.qwen2_5_vl import peft
from surgzoo.train import adapter
from surgzoo.train.experiment import ModelConfig
from surgzoo.train.state import flatten
from tests.train.toy_run import OVERRIDES

LORA = LoraConfig(rank=4, alpha=6.0, targets="text/layers/.*/(q|down)|vision/layers/.*/qkv")
CONFIG = """
import dataclasses
from surgzoo.train.experiment import EvalConfig
from tests.train.toy_run import experiment

def get_config():
    toy = experiment({data_dir!r}, eval=EvalConfig(
        sources=("synthsurg.small",), tasks=("phase_recognition",), limit=3, max_new_tokens=2))
    return dataclasses.replace(toy, steps=0)
"""


def surgzoo(*arguments):
    return subprocess.run(
        [sys.executable, "-m", "surgzoo.tools.main", *map(str, arguments)],
        capture_output=True,
        text=True,
        env={**os.environ, "XLA_FLAGS": ""},
    )


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """A base and an adapter for it, none of whose tensors is zero; and the adapted parameters."""
    top = tmp_path_factory.mktemp("adapter")
    config = dataclasses.replace(model_config("surgvlm-tiny", OVERRIDES), lora=LORA)
    params = config.build().init(jax.random.key(7))
    rng = np.random.default_rng(0)
    drawn = jax.tree.map(
        lambda a: rng.normal(size=a.shape).astype(np.float32) * 0.1, adapters_of(params)
    )
    params = with_adapters(params, drawn)
    plain = dataclasses.replace(config, lora=None)
    plain.save_weights(plain.build().init(jax.random.key(7)), top / "base", dtype="float32")
    config.save_adapter(params, top / "peft")
    return top / "base", top / "peft", params


@pytest.fixture(scope="module")
def command(folders, small_data, tmp_path_factory):
    base, adapter, _ = folders
    file = tmp_path_factory.mktemp("config") / "toy.py"
    file.write_text(CONFIG.format(data_dir=str(small_data)))
    return [
        f"--config={file}", f"--config.model.weights={base}", f"--config.model.adapter={adapter}",
        "--config.model.trainable=lora_",
    ]  # fmt: skip


def test_a_run_starts_from_an_adapter_and_needs_its_folder_no_more(folders, command, tmp_path):
    _, given, _ = folders
    run = tmp_path / "run"
    done = surgzoo("train", *command, f"--run_dir={run}")
    assert done.returncode == 0, done.stderr
    lora = json.loads((run / "config.json").read_text())["model"]["overrides"]["lora"]
    assert (lora["rank"], lora["alpha"]) == (4, 6.0)

    done = surgzoo("weights", f"--run_dir={run}", f"--out={tmp_path / 'out'}", "--form=adapter")
    assert done.returncode == 0, done.stderr
    before, after = load_file(given / peft.TENSORS), load_file(tmp_path / "out" / peft.TENSORS)
    assert before.keys() == after.keys()
    for key, tensor in before.items():
        np.testing.assert_array_equal(after[key], tensor, err_msg=key)

    done = surgzoo("train", *command, f"--run_dir={run}", "--config.steps=1")  # continues
    assert done.returncode == 0 and "at step 0" in done.stdout, done.stdout + done.stderr
    config = json.loads((run / "config.json").read_text())
    config["model"]["adapter"] = str(tmp_path / "gone")
    (run / "config.json").write_text(json.dumps(config))
    done = surgzoo("evaluate", f"--run_dir={run}", "--noreport")
    assert done.returncode == 0, done.stderr
    assert len((run / "eval-test" / "predictions.jsonl").read_text().splitlines()) == 3


def test_an_adapter_lies_as_the_mesh_says(folders):
    base, given, expected = folders
    settings = adapter.with_lora(
        ModelConfig(overrides=OVERRIDES, weights=str(base), adapter=str(given))
    )
    architecture = model_config(settings.name, settings.overrides)
    model, mesh = architecture.build(), parallel.make_mesh(data=1, fsdp=8)
    shapes = model.abstract()
    specs = parallel.param_specs(shapes, model.logical_axes(), mesh)
    abstract = jax.tree.map(
        lambda leaf, s: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=s),
        shapes,
        parallel.shardings(specs, mesh),
    )
    params = adapter.load_weights(settings, architecture, abstract, jax.random.key(0))
    cut = 0
    for path, leaf in flatten(params).items():
        wanted = flatten(abstract)[path]
        assert leaf.sharding == wanted.sharding and leaf.dtype == wanted.dtype, path
        np.testing.assert_array_equal(leaf, flatten(expected)[path], err_msg=path)
        cut += "lora_" in path and not leaf.sharding.is_fully_replicated
    assert cut
    found = from_weights(ModelConfig(overrides=OVERRIDES, weights=str(base), adapter=str(given)))
    for path, leaf in flatten(found.params).items():
        np.testing.assert_array_equal(leaf, flatten(expected)[path], err_msg=path)


def test_the_same_in_other_words_and_what_does_not_go_together(folders, command, tmp_path):
    base, given, _ = folders

    def settings(**changes):
        known = {"overrides": OVERRIDES, "weights": str(base), "adapter": str(given)}
        return ModelConfig(**{**known, **changes})

    same = {"rank": 4, "alpha": 6.0, "targets": "text/.*/(down|q)|.*/qkv"}
    same = settings(overrides={**OVERRIDES, "lora": same})
    assert adapter.with_lora(same) == same
    for wrong in ({"rank": 2}, {"alpha": 1.0}, {"targets": ".*/q"}):
        lora = {"rank": 4, "alpha": 6.0, "targets": "text/.*/(down|q)|.*/qkv", **wrong}
        with pytest.raises(ValueError, match=r"has rank 4, alpha 6 .*Leave lora out"):
            adapter.with_lora(settings(overrides={**OVERRIDES, "lora": lora}))
    with pytest.raises(ValueError, match=r"say which with model\.weights"):
        adapter.with_lora(settings(weights=None))
    with pytest.raises(ValueError, match="clip-tiny reads no adapters"):
        adapter.with_lora(settings(name="clip-tiny", overrides={}))
    with pytest.raises(FileNotFoundError, match=r"no adapter_config\.json in"):
        adapter.with_lora(settings(adapter=str(base)))
    done = surgzoo(
        "train", *command, f"--run_dir={tmp_path}", "--config.model.overrides.lora.rank=2"
    )
    assert done.returncode != 0 and "Leave lora out" in done.stderr
    assert "Traceback" not in done.stderr
    done = surgzoo("plan", *command, "--device_memory=100GiB")
    assert done.returncode == 0, done.stderr
    assert "all of them trained" not in done.stdout and "fits" in done.stdout
