"""The default experiment, trained longer: at most 75 minutes on 2 CPU cores."""

import dataclasses

from surgzoo.configs import synthsurg
from surgzoo.train.experiment import Experiment


def get_config() -> Experiment:
    short = synthsurg.get_config()
    return dataclasses.replace(
        short,
        name="synthsurg_long",
        optim=dataclasses.replace(short.optim, warmup_steps=200),
        steps=13_000,
        checkpoint_every=1000,
    )
