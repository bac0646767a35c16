"""tissue-segmentation-tiny on rendered frames: fifteen tissues, in minutes on a CPU."""

from surgzoo.data.config import DataConfig, Part
from surgzoo.train.experiment import EvalConfig, Experiment, ModelConfig, OptimConfig


def get_config() -> Experiment:
    return Experiment(
        name="synthsurg_tissue",
        model=ModelConfig(
            name="tissue-segmentation-tiny",
            # Four small layers side by side run faster on a CPU than scanned. Of the classes, 0 is
            # what is no tissue: instruments, bags, and what is too small to be named.
            overrides={"scan_layers": False, "classes": 16},
        ),
        objective="dice_cross_entropy",
        data=DataConfig(
            mixture=(Part("synthsurg", "tissue_segmentation", config="sparse"),),
            batch_size=8,
            augment=True,
        ),
        optim=OptimConfig(name="muon", lr=3e-3, warmup_steps=20),
        eval=EvalConfig(
            sources=("synthsurg.sparse",), tasks=("tissue_segmentation",), batch_size=16
        ),
        steps=300,
        checkpoint_every=300,
    )
