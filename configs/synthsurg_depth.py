"""depth-anything-v2-tiny on rendered frames and their depth maps, in minutes on a CPU."""

from surgzoo.data.config import DataConfig, Part
from surgzoo.train.experiment import EvalConfig, Experiment, ModelConfig, OptimConfig


def get_config() -> Experiment:
    return Experiment(
        name="synthsurg_depth",
        # Four small layers side by side run faster on a CPU than scanned.
        model=ModelConfig(name="depth-anything-v2-tiny", overrides={"scan_layers": False}),
        objective="scale_shift_invariant",
        data=DataConfig(
            mixture=(Part("synthsurg", "depth_estimation", config="sparse"),),
            batch_size=8,
            augment=True,
        ),
        optim=OptimConfig(lr=3e-3, warmup_steps=20),
        eval=EvalConfig(sources=("synthsurg.sparse",), tasks=("depth_estimation",), batch_size=16),
        steps=300,
        checkpoint_every=300,
    )
