"""The rooms of the house: imports point down, and the light rooms stay light.

Reads every import statement of the tree with `ast`, also those inside functions and under
`TYPE_CHECKING`: an arrow is an arrow. References by string ("module:attribute", as registries have
them) are no imports and may point anywhere.
"""

import ast
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).resolve().parent.parent

# What each room may import beside itself, from the bottom of the house to its top.
ROOMS = ("core", "metrics", "db", "tasks", "models", "data", "decode", "train", "evaluate", "serve")
MAY = {room: set(ROOMS[:height]) for height, room in enumerate(ROOMS)}
MAY["models"] = {"core"}
MAY["data"] -= {"models"}  # a processor comes in as an argument
MAY["datasets"] = {"db", "tasks", "core"}  # of core the registry alone, see below
MAY["configs"] = {*ROOMS, "datasets"}
MAY["tools"] = {*ROOMS, "datasets", "configs"}
MAY["surgzoo"] = set()  # surgzoo/__init__.py: imported before anything else
OUTSIDE = ("datasets", "configs", "tools")  # stand at the top level, imported as surgzoo.<name>

JAX = {"jax", "jaxlib", "flax", "optax", "orbax", "chex"}
NEVER = {"tensorflow", "torch", "torchvision", "transformers", "diffusers"}
WITHOUT_JAX = {"core", "metrics", "db", "tasks"}
WITH_JAX_ALL_THE_SAME = {"surgzoo/core/parallel.py"}
METRICS_MAY = {"numpy", "jaxtyping"}


class Import(NamedTuple):
    """One import statement: where it stands and the dotted name that it fetches."""

    path: str  # from the root of the repository
    line: int
    target: str

    @property
    def room(self):
        parts = Path(self.path).parts
        if parts[0] != "surgzoo":
            return parts[0]
        return parts[1] if len(parts) > 2 else "surgzoo"

    def __str__(self):
        return f"{self.path}:{self.line} imports {self.target}"


def module_name(path):
    """surgzoo/db/schema.py -> surgzoo.db.schema; datasets/x/y.py -> surgzoo.datasets.x.y."""
    parts = [*path.with_suffix("").parts]
    if parts[-1] == "__init__":
        parts.pop()
    return ".".join(parts if parts[0] == "surgzoo" else ["surgzoo", *parts])


def imports_of(path, text):
    """The imports of one file. `from a import b` fetches a.b, as b may be a module."""
    package = module_name(path).split(".")
    if path.name != "__init__.py":
        package = package[:-1]
    for node in ast.walk(ast.parse(text, str(path))):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield Import(str(path), node.lineno, alias.name)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            base += node.module.split(".") if node.module else []
            for alias in node.names:
                yield Import(str(path), node.lineno, ".".join([*base, alias.name]))


def tree():
    for top in ("surgzoo", *OUTSIDE):
        for path in sorted((ROOT / top).rglob("*.py")):
            yield path.relative_to(ROOT), path.read_text(encoding="utf-8")


def room_of_target(target):
    """The room of a dotted name, "surgzoo" for the package itself, None for anything else."""
    parts = target.split(".")
    if parts[0] != "surgzoo":
        return None
    return parts[1] if len(parts) > 1 and parts[1] in MAY else "surgzoo"


def complaint(found):
    """Why an import is not allowed, or None."""
    room, top = found.room, found.target.split(".")[0]
    target = room_of_target(found.target)
    if room not in MAY:
        return f"'{room}' is no room of the house; add it to ROOMS here and to the design"
    if top in OUTSIDE:
        return f"say surgzoo.{found.target}: '{top}' may be another installed package"
    if found.target in {f"surgzoo.{name}" for name in OUTSIDE if is_namespace(name)}:
        return None  # runs no code and gives nothing but a path; its modules are still checked
    if target not in (None, room, "surgzoo") and target not in MAY[room]:
        allowed = ", ".join(sorted(MAY[room])) or "nothing"
        return f"{room}/ may import {allowed}; {target}/ is not below it. Name it by a string, " + (
            "pass the object in, or move the code down"
        )
    if room == "datasets" and target == "core" and not in_module(found, "surgzoo.core.registry"):
        return "of core, datasets/ may import the registry alone"
    if top in NEVER and not found.path.startswith("tools/bench/"):  # which measures them
        return f"{top} is a test oracle, not a run-time dependency"
    if top in JAX and room in WITHOUT_JAX and found.path not in WITH_JAX_ALL_THE_SAME:
        return f"{room}/ works without JAX"
    if room in WITHOUT_JAX and room != "core" and in_module(found, "surgzoo.core.parallel"):
        return f"{room}/ works without JAX, which core/parallel.py imports"
    if room == "metrics" and target is None and top not in METRICS_MAY | sys.stdlib_module_names:
        return "metrics/ is numpy only"
    return None


def is_namespace(name):
    return not (ROOT / name / "__init__.py").exists()


def in_module(found, module):
    return f"{found.target}.".startswith(f"{module}.")


def test_imports_point_down():
    wrong = []
    for path, text in tree():
        for found in imports_of(path, text):
            reason = complaint(found)
            if reason:
                wrong.append(f"{found}\n    {reason}")
    assert not wrong, f"{len(wrong)} imports point the wrong way:\n" + "\n".join(wrong)


@pytest.mark.parametrize(
    ("path", "statement", "right"),
    [
        ("surgzoo/tasks/x.py", "from surgzoo.db import schema", True),
        ("surgzoo/tasks/x.py", "from . import base", True),
        ("surgzoo/tasks/x.py", "from surgzoo.data import pipeline", False),
        ("surgzoo/tasks/x.py", "from ..data.pipeline import a", False),
        ("surgzoo/tasks/x.py", "from surgzoo import train", False),
        ("surgzoo/tasks/x.py", "def f():\n  import surgzoo.train.loop as loop", False),
        ("surgzoo/tasks/x.py", "import jax.numpy as jnp", False),
        ("surgzoo/tasks/x.py", "from surgzoo.core import parallel", False),
        ("surgzoo/tasks/__init__.py", "from .base import Task", True),
        ("surgzoo/core/parallel.py", "import jax", True),
        ("surgzoo/core/config.py", "import jax", False),
        ("surgzoo/core/config.py", "from surgzoo.db import schema", False),
        ("surgzoo/core/config.py", "import surgzoo", True),
        ("surgzoo/core/config.py", "import surgzoo.configs", True),
        ("surgzoo/core/config.py", "from surgzoo.configs import smoke", False),
        ("surgzoo/models/qwen/x.py", "from surgzoo.core.contract import Batch", True),
        ("surgzoo/models/qwen/x.py", "from surgzoo.db.schema import Box", False),
        ("surgzoo/data/x.py", "from surgzoo.models import models", False),
        ("surgzoo/decode/x.py", "from surgzoo.models.base import Model", True),
        ("surgzoo/evaluate/x.py", "from surgzoo.serve import app", False),
        ("surgzoo/serve/x.py", "from surgzoo.evaluate import score", True),
        ("surgzoo/train/x.py", "import torch", False),
        ("surgzoo/train/x.py", "from surgzoo.configs import smoke", False),
        ("surgzoo/metrics/x.py", "import scipy", False),
        ("surgzoo/metrics/x.py", "import collections, numpy", True),
        ("surgzoo/hall/x.py", "import os", False),
        ("surgzoo/__init__.py", "from surgzoo.core import registry", False),
        ("datasets/cholec80/x.py", "from surgzoo.datasets import source_builder", True),
        ("datasets/cholec80/x.py", "from surgzoo.core.registry import Card", True),
        ("datasets/cholec80/x.py", "from surgzoo.core import config", False),
        ("datasets/cholec80/x.py", "from datasets import source_builder", False),
        ("datasets/cholec80/x.py", "import tensorflow_datasets as tfds", True),
        ("datasets/cholec80/x.py", "import tensorflow as tf", False),
        ("configs/smoke.py", "from surgzoo.train.experiment import Experiment", True),
        ("configs/smoke.py", "from surgzoo.tools import train", False),
        ("tools/train.py", "from surgzoo.configs import smoke", True),
    ],
)
def test_the_rule_itself(path, statement, right):
    reasons = [complaint(found) for found in imports_of(Path(path), statement)]
    assert (reasons == [None] * len(reasons)) == right, reasons


HEAVY = ("jax", "flax", "tensorflow", "torch", "tensorflow_datasets")


@pytest.mark.parametrize(
    "statement",
    [
        "import surgzoo.tasks, surgzoo.metrics, surgzoo.db, surgzoo.db.sources, surgzoo.db.records",
        "from surgzoo.tasks import tasks; [tasks.get(name)() for name in tasks.names()]",
        "import surgzoo.models, surgzoo.core.registry, surgzoo.core.contract",
        "import surgzoo.metrics.classification, surgzoo.metrics.detection, surgzoo.metrics.triplet",
    ],
)
def test_light_rooms_load_nothing_heavy(statement):
    """In a fresh interpreter, as a neighbouring test may have imported anything."""
    program = f"import sys\n{statement}\nprint(*[m for m in {HEAVY} if m in sys.modules])"
    result = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, timeout=120
    )
    assert result.returncode == 0, result.stderr
    assert result.stdout.split() == [], f"`{statement}` loads {result.stdout.strip()}"
