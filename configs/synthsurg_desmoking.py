"""desmoking-tiny on rendered frames with and without smoke, in minutes on a CPU."""

from surgzoo.data.config import DataConfig, Part
from surgzoo.train.experiment import EvalConfig, Experiment, ModelConfig, OptimConfig


def get_config() -> Experiment:
    return Experiment(
        name="synthsurg_desmoking",
        # Four small layers side by side run faster on a CPU than scanned.
        model=ModelConfig(name="desmoking-tiny", overrides={"scan_layers": False}),
        objective="l1_ssim",
        data=DataConfig(
            mixture=(Part("synthsurg", "desmoking", config="sparse"),),
            batch_size=8,
            augment=True,
        ),
        optim=OptimConfig(lr=2e-3, warmup_steps=20),
        eval=EvalConfig(sources=("synthsurg.sparse",), tasks=("desmoking",), batch_size=16),
        steps=150,
        checkpoint_every=150,
    )
