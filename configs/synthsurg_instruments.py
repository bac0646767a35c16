"""instrument-segmentation-tiny on rendered frames: a mask of each class, in minutes on a CPU."""

from surgzoo.data.config import DataConfig, Part
from surgzoo.train.experiment import EvalConfig, Experiment, ModelConfig, OptimConfig


def get_config() -> Experiment:
    return Experiment(
        name="synthsurg_instruments",
        model=ModelConfig(
            name="instrument-segmentation-tiny",
            # Four small layers side by side run faster on a CPU than scanned. Class 0 is what is
            # no instrument; 1 to 9 are synthsurg's eight and its specimen bag.
            overrides={"scan_layers": False, "classes": 10},
        ),
        objective="dice_cross_entropy",
        data=DataConfig(
            mixture=(Part("synthsurg", "instrument_segmentation", config="fps1"),),
            batch_size=8,
            augment=True,
        ),
        optim=OptimConfig(name="muon", lr=3e-3, warmup_steps=20),
        eval=EvalConfig(
            sources=("synthsurg.fps1",), tasks=("instrument_segmentation",), batch_size=16
        ),
        steps=400,
        checkpoint_every=400,
    )
