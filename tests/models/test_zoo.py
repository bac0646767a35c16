"""Every registered model, by one test: it gets all of them by being registered.

Of every family, with the smallest variant and random weights:
  the verbs are those of an independent implementation, tests/models/oracles/<family>.py
  weights that were written are read again bit by bit, stacked or side by side
  sharded over four devices it computes the same
Of every variant, without memory: the verbs trace, and the card says what is so.

An oracle is a module with `parity(config, folder, inputs)`: from the weights that `save_weights`
wrote into the folder, and a batch of what the model reads, the outputs of verbs by name, as numpy
arrays (NaN = nothing to compare) or dicts of them. It may also have `inputs(config, rows)`, where
random numbers of the shapes of `config.row()` would make no sense. See docs/add_a_model.md.
"""

import dataclasses
import functools
import importlib
from types import SimpleNamespace

import jax
import numpy as np
import pytest
import torch
from model_checks import all_verbs, assert_parity, random_batch, random_params

from surgzoo.core import parallel
from surgzoo.data.config import DataConfig
from surgzoo.data.feed import batch_shapes
from surgzoo.models import models
from surgzoo.models.base import Model, parameter_count
from surgzoo.models.build import create_model
from surgzoo.models.card import in_words
from surgzoo.models.layers.stack import unstack
from surgzoo.models.verbs import CHIEF, PARTS, batch_of, verbs
from surgzoo.tasks import tasks

ENTRIES = [entry for entry in models if entry.origin == "surgzoo"]  # plug-ins test their own
FAMILIES = sorted({entry.card.details["family"] for entry in ENTRIES})
ROWS = 2
MESH = {"data": 1, "fsdp": 2, "tensor": 2}  # rows are cut over data x fsdp


def oracle_of(family):
    try:
        return importlib.import_module(f"oracles.{family}")
    except ModuleNotFoundError as error:
        if error.name != f"oracles.{family}":
            raise
        raise AssertionError(
            f"the family '{family}' has no oracle: write tests/models/oracles/{family}.py with "
            "parity(config, folder, inputs), see docs/add_a_model.md"
        ) from None


@functools.cache
def smallest(family):
    names = [entry.name for entry in ENTRIES if entry.card.details["family"] == family]
    configs = [create_model(name) for name in names]
    return min(configs, key=lambda config: parameter_count(config.build()))


@pytest.fixture(scope="module", params=FAMILIES)
def zoo(request, tmp_path_factory):
    """Config, parameters, the folder that they were written to, inputs and what comes out."""
    oracle, config = oracle_of(request.param), smallest(request.param)
    folder = tmp_path_factory.mktemp(request.param)
    params = random_params(config)
    config.save_weights(params, folder)
    inputs = getattr(oracle, "inputs", random_batch)(config, ROWS)
    outputs = jax.device_get(jax.jit(all_verbs(config.build()))(params, inputs))
    return SimpleNamespace(
        oracle=oracle, config=config, folder=folder, params=params, inputs=inputs, outputs=outputs
    )


def test_parity(zoo):
    with torch.no_grad():
        expected = zoo.oracle.parity(zoo.config, zoo.folder, zoo.inputs)
    assert_parity(zoo.outputs, expected)


def test_every_verb_is_asked(zoo):
    """A verb of `Model` that the family has and this test would pass by."""
    model = zoo.config.build()
    known = {name for name in vars(Model) if not name.startswith("_")}
    has = {name for name in known if callable(getattr(model.module, name, None))}
    assert has - set(zoo.outputs) <= set(PARTS), "add the verb to surgzoo/models/verbs.py"


def test_its_rows_are_made(zoo):
    """The data pipeline makes what the config says that a row is; lengths may differ."""
    made = batch_shapes(DataConfig(mixture=(), batch_size=2), zoo.config)
    for name, (shape, dtype) in zoo.config.row().items():
        assert (len(made[name][0]), made[name][1]) == (len(shape) + 1, np.dtype(dtype)), name


def test_weights_round_trip(zoo):
    jax.tree.map(np.testing.assert_array_equal, zoo.config.load_weights(zoo.folder), zoo.params)
    if getattr(zoo.config, "scan_layers", False):
        flat = dataclasses.replace(zoo.config, scan_layers=False)
        jax.tree.map(
            np.testing.assert_array_equal, flat.load_weights(zoo.folder), unstack(zoo.params)
        )


def test_sharded_equals_unsharded(zoo):
    model, mesh = zoo.config.build(), parallel.make_mesh(**MESH, devices=jax.devices()[:4])
    shapes = model.abstract()
    places = parallel.shardings(parallel.param_specs(shapes, model.logical_axes(), mesh), mesh)
    abstract = jax.tree.map(
        lambda leaf, place: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=place),
        shapes,
        places,
    )
    params = zoo.config.load_weights(zoo.folder, abstract)
    jax.tree.map(lambda a, like: a.sharding == like.sharding or pytest.fail(), params, abstract)
    cut = [leaf for leaf in jax.tree.leaves(params) if not leaf.is_fully_replicated]
    named = jax.tree.leaves(model.logical_axes(), is_leaf=lambda axes: isinstance(axes, tuple))
    assert cut or not any(map(any, named))  # only the smallest nets name no axis
    run = all_verbs(model)

    @jax.jit
    def sharded(params, batch):
        with jax.sharding.use_abstract_mesh(mesh.abstract_mesh):
            return run(params, batch)

    found = jax.device_get(sharded(params, parallel.shard_batch(zoo.inputs, mesh)))
    for (path, value), wanted in zip(
        jax.tree.leaves_with_path(found), jax.tree.leaves(zoo.outputs), strict=True
    ):
        scale = max(1.0, np.abs(wanted).max())
        np.testing.assert_allclose(
            value, wanted, atol=1e-5 * scale, rtol=0, err_msg=jax.tree_util.keystr(path)
        )


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry.name)
def test_variant(entry):
    """What the card says, and that everything traces: nothing of 73 B parameters is allocated."""
    said = entry.card.details
    config = create_model(entry.name)
    model = config.build()
    assert said["reads"] == config.reads
    assert said["parameters"] == in_words(parameter_count(model))
    assert set(said["tasks"]) <= {*tasks.names(), "text"}
    assert bool(said["pre_training"]) == (said["weights"] != "none published")
    assert entry.card.summary and entry.card.source and said["input"]

    asked = verbs(model)
    assert set(CHIEF[config.reads]) & set(asked), f"no verb for models that read {config.reads}"
    shapes, axes = model.abstract(), model.logical_axes()
    for verb, out in jax.eval_shape(all_verbs(model), shapes, batch_of(config, 2)).items():
        for leaf in jax.tree.leaves(out):
            assert 2 in leaf.shape and leaf.dtype in ("float32", "bfloat16"), verb
    mesh = parallel.make_mesh(data=1, fsdp=8)
    specs = parallel.param_specs(shapes, axes, mesh)  # raises for an axis without a rule
    if parameter_count(model) > 1e7:  # small ones are not cut
        parallel.check_sharded(shapes, specs, mesh)


def test_a_family_without_an_oracle_is_told_what_to_write():
    with pytest.raises(AssertionError, match=r"write tests/models/oracles/nobody\.py with parity"):
        oracle_of("nobody")
