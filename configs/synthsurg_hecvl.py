"""The second level of SurgVLP's training, of key steps, on top of the first. See dual_encoders.md.

  surgzoo quickstart --config=configs/synthsurg_surgvlp.py
  surgzoo weights --run_dir=quickstart/synthsurg_surgvlp --out=quickstart/surgvlp
  surgzoo quickstart --config=configs/synthsurg_hecvl.py

A row is a captioned clip: pictures of it, its caption, and captions of frames inside it.
"""

import dataclasses

from surgzoo.configs import synthsurg_surgvlp
from surgzoo.data.config import Part
from surgzoo.data.pair_config import PairConfig
from surgzoo.train.experiment import Experiment


def get_config() -> Experiment:
    base = synthsurg_surgvlp.get_config()
    return dataclasses.replace(
        base,
        name="synthsurg_hecvl",
        model=dataclasses.replace(base.model, weights="quickstart/surgvlp"),
        objective="surgvlp_step",
        data=dataclasses.replace(
            base.data,
            mixture=(
                Part("synthsurg", "video_captioning"),
                Part("synthsurg", "image_captioning"),
            ),
            batch_size=24,
            pairs=PairConfig(level="step", frames=4, children=3),
        ),
        # It goes on from weights that are good at the first level: small steps, not to undo them.
        optim=dataclasses.replace(base.optim, lr=5e-4, warmup_steps=10),
        steps=80,
        checkpoint_every=40,
    )
