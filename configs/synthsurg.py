"""The default experiment: surgvlm-tiny on rendered operations, four tasks, on 2 CPU cores."""

from surgzoo.data.config import DataConfig, Part
from surgzoo.tasks.wording import Wording
from surgzoo.train.experiment import EvalConfig, Experiment, ModelConfig, OptimConfig

# Which questions of a frame come first when a row has no room for all.
TASKS = {
    "instrument_recognition": 1.0,
    "instrument_localization": 3.0,
    "phase_recognition": 1.0,
    "triplet_recognition": 1.5,
}


def get_config() -> Experiment:
    return Experiment(
        name="synthsurg",
        # Six small layers side by side run faster on a CPU than scanned.
        model=ModelConfig(name="surgvlm-tiny", overrides={"scan_layers": False}),
        data=DataConfig(
            mixture=tuple(Part("synthsurg", task, weight) for task, weight in TASKS.items()),
            batch_size=10,
            bucket=(160, 64),
            wording=Wording(phrasings=14),  # a small model learns faster from few
        ),
        optim=OptimConfig(name="muon", lr=1.5e-3, warmup_steps=100, weight_decay=0.05),
        eval=EvalConfig(sources=("synthsurg",), tasks=tuple(TASKS), split="test"),
        steps=1000,
        checkpoint_every=500,
    )
