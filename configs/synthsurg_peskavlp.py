"""The third level of SurgVLP's training, of whole operations, on top of the second.

  surgzoo weights --run_dir=quickstart/synthsurg_hecvl --out=quickstart/hecvl
  surgzoo quickstart --config=configs/synthsurg_peskavlp.py

A row is an operation: pictures of it, the captions of its clips joined, and one by one in order.
There are 48, with two texts between them, one a procedure: this shows that the level runs, and has
little to teach. A batch holds a third of them.
"""

import dataclasses

from surgzoo.configs import synthsurg_hecvl
from surgzoo.data.config import Part
from surgzoo.data.pair_config import PairConfig
from surgzoo.train.experiment import Experiment


def get_config() -> Experiment:
    base = synthsurg_hecvl.get_config()
    return dataclasses.replace(
        base,
        name="synthsurg_peskavlp",
        model=dataclasses.replace(base.model, weights="quickstart/hecvl"),
        objective="surgvlp_video",
        data=dataclasses.replace(
            base.data,
            mixture=(Part("synthsurg", "video_captioning"),),
            batch_size=16,
            pairs=PairConfig(level="video", frames=12, children=6),
        ),
        steps=60,
        checkpoint_every=30,
    )
