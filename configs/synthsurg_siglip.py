"""A small SigLIP 2 on the captions of rendered operations: as configs/synthsurg_clip.py.

surgzoo quickstart --config=configs/synthsurg_siglip.py
"""

import dataclasses

from surgzoo.configs import synthsurg_clip
from surgzoo.train.experiment import Experiment, ModelConfig


def get_config() -> Experiment:
    clip = synthsurg_clip.get_config()
    return dataclasses.replace(
        clip,
        name="synthsurg_siglip",
        # The bias makes a pair as unlikely as it is: one in a batch, which is small here.
        model=ModelConfig(
            name="siglip2-tiny",
            overrides={"text.length": 80, "scan_layers": False, "init_bias": -5.0},
        ),
        objective="sigmoid",
    )
