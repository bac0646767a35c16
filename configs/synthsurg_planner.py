"""BSA's planner on rendered operations: which action comes next, from those so far."""

from surgzoo.data.config import DataConfig, Part
from surgzoo.train.experiment import EvalConfig, Experiment, ModelConfig, OptimConfig


def get_config() -> Experiment:
    return Experiment(
        name="synthsurg_planner",
        # Smaller than the registered one: there are 48 histories to learn from.
        model=ModelConfig(
            name="bsa-planner",
            overrides={"actions": 12, "longest": 40, "width": 64, "depth": 2, "mlp": 128},
        ),
        # With doubted histories, as it will have to read recognised ones.
        data=DataConfig(
            mixture=(Part("synthsurg", "action_recognition"),), batch_size=24, augment=True
        ),
        objective="next_action",
        optim=OptimConfig(lr=1e-3, warmup_steps=50, weight_decay=0.1),
        eval=EvalConfig(sources=("synthsurg",), tasks=("next_action",), split="test"),
        steps=400,
    )
