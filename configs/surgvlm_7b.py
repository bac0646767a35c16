"""SurgVLM-7B: full fine-tuning of Qwen2.5-VL-7B on the database of conversations.

From the paper (arXiv 2506.02555): the base model, that all of it is trained, and one
autoregressive loss over all tasks. It states no learning rate, batch, number of steps or size of
pictures: those here are this project's, not tuned, and no run of this size has been made with them.
The mixture is the nine tasks of this project that hold the paper's ten (the two forms of instrument
localization are one here), in equal shares, from the database (`docs/database.md`), built so that
no operation is on two sides. The paper's own mixture and sources are larger.

  surgzoo build_db --sources=cholec80,cholect50,... --tasks=all --scheme='*=leak_free'
  surgzoo train --config=configs/surgvlm_7b.py --config.model.weights=FOLDER/Qwen2.5-VL-7B-Instruct

Rows are packed: three pictures and their questions, or more that are smaller, with one question to
a picture at a visit (`data.group` off), so that a row is made of plain segments and cuDNN's kernel
can take it.

For 8 devices of 141 GB, of which JAX takes three quarters unless told otherwise. Parameters,
gradients and moments in float32 take 133 GB, cut over all devices (`mesh.fsdp`). To see it:

  surgzoo plan --config=configs/surgvlm_7b.py --devices=8 --device_memory=141GB
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
# Pictures are shrunk to so many pixels: 4096 patches of 14 x 14, a quarter as many tokens.
PATCHES = 4096
INPUT = {"max_pixels": PATCHES * 14 * 14}


def get_config() -> Experiment:
    return Experiment(
        name="surgvlm_7b",
        model=ModelConfig(
            name="surgvlm-7b",
            overrides={"remat": "full", "vision_remat": "dots", "input": INPUT},
            weights="Qwen2.5-VL-7B-Instruct",
        ),
        data=DataConfig(
            mixture=tuple(Part("surg_sigma_db", task) for task in TASKS),
            batch_size=32,
            bucket=(4096, 3 * PATCHES),  # three pictures of full size leave 1024 tokens of text
            group=False,
            pack=True,
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
            overrides={"remat": "full", "vision_remat": "none", "input": INPUT, **overrides},
            weights=f"Qwen2.5-VL-{size.upper()}-Instruct",
            trainable=trainable,
        ),
        optim=dataclasses.replace(full.optim, lr=1e-4),
    )
