"""The optimizer from its config: AdamW, schedule, clipping."""

from __future__ import annotations

from typing import Any

import jax
import optax
import optax.contrib

from surgzoo.train.experiment import OptimConfig

MUON_RMS = 0.2  # of an update at lr 1, as AdamW's usually is (arXiv 2502.16982, section 2.2)


def schedule(config: OptimConfig, steps: int) -> optax.Schedule:
    """Learning rate by step: linear warm-up, then the named decay to `final_lr` x `lr`."""
    warmup = min(config.warmup_steps, max(steps - 1, 0))
    decay_steps = max(steps - warmup, 1)
    decays = {
        "cosine": optax.cosine_decay_schedule(config.lr, decay_steps, alpha=config.final_lr),
        "linear": optax.linear_schedule(config.lr, config.lr * config.final_lr, decay_steps),
        "constant": optax.constant_schedule(config.lr),
    }
    ramp = optax.linear_schedule(0.0, config.lr, max(warmup, 1))
    return optax.join_schedules([ramp, decays[config.schedule]], [warmup])


def optimizer(config: OptimConfig, steps: int) -> optax.GradientTransformation:
    """The named optimizer with global-norm clipping; it takes a flat {path: parameter}.

    With adamw, vectors and scalars (norms, biases) get no weight decay.
    """
    rate = schedule(config, steps)
    if config.name == "muon":
        inner = optax.contrib.muon(
            rate,
            weight_decay=config.weight_decay,
            adam_b1=config.b1,
            adam_b2=config.b2,
            adam_weight_decay=config.weight_decay,
            muon_weight_dimension_numbers=_inner_matrices,
            consistent_rms=MUON_RMS,
        )
    else:
        inner = optax.adamw(
            rate,
            b1=config.b1,
            b2=config.b2,
            eps=config.eps,
            weight_decay=config.weight_decay,
            mask=lambda params: jax.tree.map(lambda leaf: leaf.ndim >= 2, params),
        )
    return optax.chain(optax.clip_by_global_norm(config.clip_norm), inner)


def _inner_matrices(params: dict[str, Any]) -> dict[str, Any]:
    """The kernels of layers, whose last two axes are input and output; not embeddings."""
    matrix = optax.contrib.MuonDimensionNumbers(reduction_axis=-2, output_axis=-1)

    def dimensions(path, leaf):
        name = path[-1].key
        return matrix if name.endswith("/kernel") and "/patch/" not in name else None

    return jax.tree_util.tree_map_with_path(dimensions, params)
