"""A small SurgVLP on the captions of rendered operations, with the family's loss on three views.

  surgzoo quickstart --config=configs/synthsurg_surgvlp.py

It reads letter by letter, so a caption takes 200 tokens; two layers of text keep that short.
"""

import dataclasses

from surgzoo.configs import synthsurg_clip
from surgzoo.data.pair_config import PairConfig
from surgzoo.train.experiment import Experiment, ModelConfig


def get_config() -> Experiment:
    clip = synthsurg_clip.get_config()
    return dataclasses.replace(
        clip,
        name="synthsurg_surgvlp",
        model=ModelConfig(
            name="surgvlp-tiny",
            overrides={
                "input.length": 208,
                "text.positions": 208,
                "text.depth": 2,
                "text.last_layers": 2,
                "scan_layers": False,
            },
        ),
        objective="surgvlp_clip",
        data=dataclasses.replace(clip.data, augment=False, pairs=PairConfig(views=2)),
        steps=220,
        checkpoint_every=110,
    )
