"""A small CLIP on the captions of rendered operations; minutes on a CPU core.

  surgzoo quickstart --config=configs/synthsurg_clip.py

Nothing but captions is trained on. Phases and instruments are then recognised zero-shot, by the
sentences of `prompts`, and captions are found by their pictures (`surgzoo retrieve`).
"""

from surgzoo.data.config import DataConfig, Part
from surgzoo.train.experiment import EvalConfig, Experiment, ModelConfig, OptimConfig


def get_config() -> Experiment:
    return Experiment(
        name="synthsurg_clip",
        # Captions have up to 75 tokens. A few small layers are faster side by side than scanned.
        model=ModelConfig(
            name="clip-tiny",
            overrides={"text.length": 80, "scan_layers": False},
        ),
        objective="contrastive",
        data=DataConfig(
            mixture=(Part("synthsurg", "image_captioning"),),
            batch_size=64,
            augment=True,
        ),
        optim=OptimConfig(name="muon", lr=2e-3, warmup_steps=50, weight_decay=0.05),
        eval=EvalConfig(
            sources=("synthsurg",),
            tasks=("phase_recognition", "instrument_recognition"),
            prompts="synthsurg",
        ),
        steps=300,
        checkpoint_every=150,
    )
