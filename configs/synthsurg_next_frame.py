"""next-frame-tiny on rendered frames that are ten seconds apart, in minutes on a CPU."""

from surgzoo.data.config import DataConfig, Part
from surgzoo.train.experiment import EvalConfig, Experiment, ModelConfig, OptimConfig


def get_config() -> Experiment:
    return Experiment(
        name="synthsurg_next_frame",
        # Four small layers side by side run faster on a CPU than scanned.
        model=ModelConfig(name="next-frame-tiny", overrides={"scan_layers": False}),
        objective="l1_ssim",
        data=DataConfig(
            mixture=(Part("synthsurg", "next_frame", config="sparse"),),
            batch_size=8,
            augment=True,
        ),
        optim=OptimConfig(lr=2e-3, warmup_steps=20),
        eval=EvalConfig(sources=("synthsurg.sparse",), tasks=("next_frame",), batch_size=16),
        steps=150,
        checkpoint_every=150,
    )
