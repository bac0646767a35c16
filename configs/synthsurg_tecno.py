"""A causal TCN on rendered operations, over the features of the default experiment's encoder.

surgzoo extract_features --run_dir=runs/synthsurg --source=synthsurg --out_name=surgvlm-tiny
surgzoo train --config=configs/synthsurg_tecno.py --run_dir=runs/tecno
"""

from surgzoo.data.config import DataConfig, Part
from surgzoo.train.experiment import EvalConfig, Experiment, ModelConfig, OptimConfig


def get_config() -> Experiment:
    return Experiment(
        name="synthsurg_tecno",
        # 192 features a frame are surgvlm-tiny's; 14 phases are those of both procedures.
        model=ModelConfig(
            name="tecno-tiny", overrides={"features": 192, "classes": 14, "maps": 64, "layers": 6}
        ),
        data=DataConfig(
            mixture=(Part("synthsurg", "phase_recognition"),),
            features="surgvlm-tiny",
            longest=160,  # frames; operations last 100 to 140 seconds
            batch_size=8,
        ),
        objective="label_frames",
        optim=OptimConfig(lr=3e-3, warmup_steps=20, weight_decay=0.3),
        eval=EvalConfig(sources=("synthsurg",), tasks=("phase_recognition",), split="test"),
        steps=300,
        log_every=50,
        checkpoint_every=0,
    )
