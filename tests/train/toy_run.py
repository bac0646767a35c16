"""A run small enough for tests: synthsurg's small config, a two-layer model."""

from __future__ import annotations

import jax

from surgzoo.data.config import DataConfig, Part
from surgzoo.models.build import model_config
from surgzoo.train.experiment import Experiment, ModelConfig, OptimConfig

OVERRIDES = {"text.depth": 2, "vision.depth": 2}
TASKS = ("phase_recognition", "instrument_localization")


def experiment(data_dir, **changes) -> Experiment:
    return Experiment(
        **{
            "name": "toy",
            "data": DataConfig(
                mixture=tuple(Part("synthsurg", task, config="small") for task in TASKS),
                data_dir=str(data_dir),
                batch_size=8,
                bucket=(192, 64),
            ),
            "model": ModelConfig(overrides=OVERRIDES),
            "optim": OptimConfig(warmup_steps=4),
            "steps": 4,
            "log_every": 4,
            **changes,
        }
    )


def abstract_params():
    sharding = jax.sharding.SingleDeviceSharding(jax.devices()[0])
    return jax.tree.map(
        lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=sharding),
        model_config("surgvlm-tiny", OVERRIDES).build().abstract(),
    )
