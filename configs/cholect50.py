"""surgvlm-tiny on CholecT50: instruments, boxes where a video has them, phases, triplets.

Small on purpose: it shows the path from the original folder to a report on any machine. For a real
model change `model.name` and `model.weights`, and the bucket with them.
"""

from surgzoo.data.config import DataConfig, Part
from surgzoo.tasks.wording import Wording
from surgzoo.train.experiment import EvalConfig, Experiment, ModelConfig, OptimConfig

TASKS = (
    "instrument_recognition",
    "instrument_localization",
    "phase_recognition",
    "triplet_recognition",
)


def get_config() -> Experiment:
    return Experiment(
        name="cholect50",
        model=ModelConfig(name="surgvlm-tiny", overrides={"scan_layers": False}),
        data=DataConfig(
            mixture=tuple(Part("cholect50", task) for task in TASKS),
            batch_size=16,
            bucket=(256, 64),
            wording=Wording(phrasings=14),  # a small model learns faster from few
        ),
        optim=OptimConfig(lr=1e-3, warmup_steps=50),
        eval=EvalConfig(sources=("cholect50",), tasks=TASKS, split="test"),
        steps=300,
        checkpoint_every=100,
    )
