"""SurgVLM-7B: full fine-tuning of Qwen2.5-VL-7B on the database of conversations.

From the paper (arXiv 2506.02555): the base model, that all of it is trained, and one
autoregressive loss over all tasks. It states no learning rate, batch, number of steps or size of
pictures: those here are this project's, not tuned, and no run of this size has been made with them.
The mixture is the nine tasks of this project that hold the paper's ten (the two forms of instrument
localization are one here), in equal shares, from the database (`docs/database.md`), built so that
no operation is on two sides. The paper's own mixture and sources are larger.

  surgzoo build_db --sources=cholec80,cholect50,... --tasks=all --scheme='*=leak_free'
  surgzoo train --config=configs/surgvlm_7b.py --config.model.weights=FOLDER/Qwen2.5-VL-7B-Instruct

Parameters, gradients and moments in float32 take 133 GB, activations not counted, cut over all
devices (`mesh.fsdp`).
"""

import dataclasses

from surgzoo.data.config import DataConfig, Part
from surgzoo.train.experiment import EvalConfig, Experiment, MeshConfig, ModelConfig, OptimConfig

TASKS = (
    "instrument_recognition",
    "instrument_localization",
    "tissue_recognition",
    "tissue_localization",
    "phase_recognition",
    "step_recognition",
    "action_recognition",
    "triplet_recognition",
    "safety_assessment",
)
# Pictures are shrunk to as many pixels as the row has patches of 14 x 14 for.
PATCHES = 4096
INPUT = {"max_pixels": PATCHES * 14 * 14}


def get_config() -> Experiment:
    return Experiment(
        name="surgvlm_7b",
        model=ModelConfig(
            name="surgvlm-7b",
            overrides={"vision_remat": "dots", "input": INPUT},
            weights="Qwen2.5-VL-7B-Instruct",
        ),
        data=DataConfig(
            mixture=tuple(Part("surg_sigma_db", task) for task in TASKS),
            batch_size=64,
            bucket=(1536, PATCHES),  # a picture takes a quarter of its patches as tokens: 1024
        ),
        # Published weights are not to be pulled towards zero: no weight decay.
        optim=OptimConfig(lr=1e-5, warmup_steps=300, final_lr=0.1, weight_decay=0.0),
        mesh=MeshConfig(data=1, fsdp=-1),
        eval=EvalConfig(max_new_tokens=256),  # surgzoo evaluate --benchmark=surgvlm_bench
        steps=10_000,
        checkpoint_every=500,
    )


def in_part(size: str, trainable: str, **overrides) -> Experiment:
    """The same run with a larger model, of which `trainable` alone is trained, at a higher rate."""
    full = get_config()
    return dataclasses.replace(
        full,
        name=f"surgvlm_{size}",
        model=dataclasses.replace(
            full.model,
            name=f"surgvlm-{size}",
            # Nothing below the merger is differentiated: there is nothing to recompute.
            overrides={"vision_remat": "none", "input": INPUT, **overrides},
            weights=f"Qwen2.5-VL-{size.upper()}-Instruct",
            trainable=trainable,
        ),
        optim=dataclasses.replace(full.optim, lr=1e-4),
    )
