"""Every config in configs/ is checked in seconds: names exist, one step traces on fake data."""

import re
from pathlib import Path

import jax
import jax.numpy as jnp
import pytest

import surgzoo.configs
from surgzoo.core import config as config_lib
from surgzoo.core import parallel
from surgzoo.data.feed import batch_shapes
from surgzoo.db.conversation_store import DATABASE
from surgzoo.db.sources import sources
from surgzoo.models.build import model_config
from surgzoo.models.layers import cudnn
from surgzoo.models.layers.cudnn import Segments
from surgzoo.models.layers.lora import is_adapter
from surgzoo.tasks import tasks
from surgzoo.train import optim, plan
from surgzoo.train.experiment import Experiment
from surgzoo.train.state import abstract_state, check_trainable, flatten, trainable
from surgzoo.train.step import step_of

FILES = sorted(path for folder in surgzoo.configs.__path__ for path in Path(folder).glob("*.py"))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_config(path):
    experiment = config_lib.load(path)
    assert isinstance(experiment, Experiment)
    assert config_lib.from_dict(Experiment, config_lib.to_dict(experiment)) == experiment
    for part in experiment.data.mixture:
        assert part.source in (*sources.names(), DATABASE) and part.task in tasks
    assert {name.partition(".")[0] for name in experiment.eval.sources} <= set(sources.names())
    assert set(experiment.eval.tasks) <= set(tasks.names())

    config = model_config(experiment.model.name, experiment.model.overrides)
    model, shapes = config.build(), batch_shapes(experiment.data, config)
    batch = {name: jax.ShapeDtypeStruct(*shape) for name, shape in shapes.items()}
    mesh = parallel.make_mesh(data=1, devices=jax.devices()[:1])
    tx = optim.optimizer(experiment.optim, experiment.steps)
    pattern = experiment.model.trainable
    check_trainable(model, pattern)
    abstract = abstract_state(model, tx, pattern, experiment.optim.ema is not None, mesh)
    step = step_of(experiment, model, tx, abstract, mesh)
    state, metrics = jax.eval_shape(step, abstract, batch)
    assert metrics["loss"].shape == ()
    assert jax.tree.map(lambda x: x.shape, state) == jax.tree.map(lambda x: x.shape, abstract)


@pytest.mark.parametrize(
    ("name", "trains"),
    [("surgvlm_7b", "all"), ("surgvlm_32b", "merger"), ("surgvlm_72b", "adapters")],
)
def test_recipes_of_surgvlm_train_what_the_paper_says(name, trains):
    experiment = config_lib.load(f"configs/{name}.py")
    model = model_config(experiment.model.name, experiment.model.overrides).build()
    paths = set(flatten(model.abstract()))
    learned = set(trainable(model.abstract(), experiment.model.trainable))
    expected = {
        "all": paths,
        "merger": {path for path in paths if path.startswith("vision/merger/")},
        "adapters": {path for path in paths if is_adapter(path)},
    }[trains]
    assert learned == expected and (trains != "adapters" or len(learned) == 2 * 7)


@pytest.mark.parametrize("name", ["surgvlm_7b", "surgvlm_32b", "surgvlm_72b"])
def test_recipes_of_surgvlm_fit_the_devices_that_they_name(name):
    """With what JAX takes of a GPU by default, three quarters; a tenth of that is to stay free."""
    path = Path(f"configs/{name}.py")
    command = re.search(
        rf"surgzoo plan --config={path} --devices=(\d+) --device_memory=(\d+)GB\n",
        path.read_text(encoding="utf-8"),
    )
    devices, memory = int(command[1]), int(command[2]) * 1e9
    experiment = config_lib.load(path)
    found = plan.plan(experiment, plan.planned_mesh(experiment, devices))
    assert found.total < 0.9 * 0.75 * memory, found.table(memory)


@pytest.mark.parametrize("name", ["surgvlm_7b", "surgvlm_32b", "surgvlm_72b"])
def test_recipes_of_surgvlm_have_rows_that_cudnn_can_take(name):
    experiment = config_lib.load(f"configs/{name}.py")
    config = model_config(experiment.model.name, experiment.model.overrides)
    assert experiment.data.pack and "prefix" not in batch_shapes(experiment.data, config)
    tokens, patches = experiment.data.bucket
    a_picture = config.input.max_pixels // config.vision.patch**2
    assert patches >= a_picture and tokens >= patches / config.vision.merge**2 + 512
    segments = Segments(jnp.zeros((1, tokens), jnp.int32), True, config.attention_segments)
    device = cudnn.Device("gpu", (9, 0), True)
    dtype = jnp.dtype(config.compute_dtype)
    assert cudnn.why_not(dtype, config.text.head_dim, segments, device) is None
