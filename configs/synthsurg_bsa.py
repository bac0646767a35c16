"""BSA's video model on rendered operations: which of twelve actions a clip shows."""

from surgzoo.data.config import DataConfig, Part
from surgzoo.train.experiment import EvalConfig, Experiment, ModelConfig, OptimConfig


def get_config() -> Experiment:
    return Experiment(
        name="synthsurg_bsa",
        # The source has BSA's ten actions, cutting and irrigation, and rates no skill.
        model=ModelConfig(
            name="bsa-tiny", overrides={"actions": 12, "skills": 0, "scan_layers": False}
        ),
        data=DataConfig(
            mixture=(Part("synthsurg", "action_recognition"),), batch_size=32, augment=True
        ),
        objective="bsa",
        optim=OptimConfig(lr=1e-3, warmup_steps=50, weight_decay=0.05),
        eval=EvalConfig(sources=("synthsurg",), tasks=("action_recognition",), split="test"),
        steps=1000,
    )
