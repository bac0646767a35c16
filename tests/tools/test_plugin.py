"""An outside package with a model, a task and a source: listed, prepared, trained, evaluated."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[1] / "plugin_project"

CONFIG = """
from surgzoo.data.config import DataConfig, Part
from surgzoo.train.experiment import EvalConfig, Experiment, MeshConfig, ModelConfig, OptimConfig

def get_config():
    return Experiment(
        name="toy",
        model=ModelConfig(name="toy-vlm"),
        data=DataConfig(
            mixture=(Part("toy", "toy_colour"),), data_dir="data", batch_size=8, bucket=(48, 64)
        ),
        optim=OptimConfig(lr=3e-3, warmup_steps=5),
        eval=EvalConfig(sources=("toy",), tasks=("toy_colour",), batch_size=8, max_new_tokens=8),
        steps=40,
    )
"""


@pytest.fixture(scope="module")
def surgzoo(tmp_path_factory):
    """Installs the plug-in with pip into a folder of its own; returns a runner of the command."""
    folder = tmp_path_factory.mktemp("plugin")
    site = folder / "site"
    subprocess.run(
        [
            *(sys.executable, "-m", "pip", "install", "--quiet"),
            *("--no-deps", "--no-build-isolation", "--target", site, PROJECT),
        ],
        check=True,
    )
    env = {**os.environ, "PYTHONPATH": str(site), "XLA_FLAGS": ""}

    def run(*arguments):
        return subprocess.run(
            [sys.executable, "-m", "surgzoo.tools.main", *arguments],
            cwd=folder,
            env=env,
            capture_output=True,
            text=True,
        )

    (folder / "toy.py").write_text(CONFIG)
    return run


@pytest.mark.slow
def test_plugin_is_listed_and_trains(surgzoo):
    for kind, name in (("models", "toy-vlm"), ("tasks", "toy_colour"), ("sources", "toy")):
        listed = surgzoo("list", kind, "--json")
        rows = {row["name"]: row for row in json.loads(listed.stdout)}
        assert rows[name]["origin"] == "surgzoo-toy-plugin", listed.stderr
        assert len(rows) > 1

    prepared = surgzoo("prepare", "--source=toy", "--workers=1")
    assert "2 videos, 16 frames" in prepared.stdout, prepared.stderr
    trained = surgzoo("train", "--config=toy.py")
    assert "trained 40 steps" in trained.stdout, trained.stderr
    evaluated = surgzoo("evaluate", "--run_dir=runs/toy", "--noreport")
    assert "100.0" in evaluated.stdout, evaluated.stdout + evaluated.stderr


def test_a_broken_plugin_is_named(monkeypatch):
    import importlib.metadata

    from surgzoo.core import registry

    point = importlib.metadata.EntryPoint(
        "broken", "no_such_module:register", registry.PLUGIN_GROUP
    )
    monkeypatch.setattr(registry, "_plugins_loaded", False)
    monkeypatch.setattr(importlib.metadata, "entry_points", lambda group: [point])
    with pytest.raises(RuntimeError, match="plug-in 'broken'"):
        registry.load_plugins()
