"""The default experiment on three times the operations, for longer: about an hour on 2 CPU cores.

Evaluated on the same test operations as the short one.

  surgzoo prepare --source=synthsurg --builder_config=large
  surgzoo train --config=configs/synthsurg_long.py
"""

import dataclasses

from surgzoo.configs import synthsurg
from surgzoo.train.experiment import Experiment


def get_config() -> Experiment:
    short = synthsurg.get_config()
    parts = tuple(dataclasses.replace(part, config="large") for part in short.data.mixture)
    return dataclasses.replace(
        short,
        name="synthsurg_long",
        data=dataclasses.replace(short.data, mixture=parts),
        eval=dataclasses.replace(short.eval, sources=("synthsurg.large",)),
        optim=dataclasses.replace(short.optim, warmup_steps=200),
        steps=9_000,
        checkpoint_every=1000,
    )
