"""instrument-segmentation-tiny on rendered frames: one mask of all, in minutes on a CPU."""

from surgzoo.data.config import DataConfig, Part
from surgzoo.train.experiment import EvalConfig, Experiment, ModelConfig, OptimConfig


def get_config() -> Experiment:
    return Experiment(
        name="synthsurg_segmentation",
        # Four small layers side by side run faster on a CPU than scanned.
        model=ModelConfig(name="instrument-segmentation-tiny", overrides={"scan_layers": False}),
        objective="dice_cross_entropy",
        data=DataConfig(
            mixture=(Part("synthsurg", "instrument_segmentation", config="sparse"),),
            batch_size=8,
            augment=True,
        ),
        optim=OptimConfig(lr=2e-3, warmup_steps=20),
        eval=EvalConfig(
            sources=("synthsurg.sparse",), tasks=("instrument_segmentation",), batch_size=16
        ),
        steps=300,
        checkpoint_every=300,
    )
