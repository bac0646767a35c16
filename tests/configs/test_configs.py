"""Every config in configs/ is checked in seconds: names exist, one step traces on fake data."""

from pathlib import Path

import jax
import pytest

import surgzoo.configs
from surgzoo.core import config as config_lib
from surgzoo.core import parallel
from surgzoo.data.feed import batch_shapes
from surgzoo.db.conversation_store import DATABASE
from surgzoo.db.sources import sources
from surgzoo.models.build import model_config
from surgzoo.models.layers.lora import is_adapter
from surgzoo.tasks import tasks
from surgzoo.train import optim
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
