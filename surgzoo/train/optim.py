"""The optimizer from its config: AdamW, schedule, clipping."""

from __future__ import annotations

import jax
import optax

from surgzoo.train.experiment import OptimConfig


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
    """AdamW with global-norm clipping. Vectors and scalars (norms, biases) get no weight decay."""
    return optax.chain(
        optax.clip_by_global_norm(config.clip_norm),
        optax.adamw(
            schedule(config, steps),
            b1=config.b1,
            b2=config.b2,
            eps=config.eps,
            weight_decay=config.weight_decay,
            mask=lambda params: jax.tree.map(lambda leaf: leaf.ndim >= 2, params),
        ),
    )
