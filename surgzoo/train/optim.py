"""The optimizer from its config: AdamW or muon, schedule, clipping, and how moments are kept."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import optax
import optax.contrib

from surgzoo.train.experiment import OptimConfig

# bfloat16 has 8 significant bits: a change of less than 2 ** -9 to 2 ** -8 of the value is rounded
# away. A step moves the second moment by (1 - b2) of its distance from the squared gradient, so at
# 0.95 it may stand still up to 8 % off (4 % of a step's size), at 0.98 up to 20 % off, and at 0.999
# it never falls again after a spike, however small the gradients become.
MOST_B2 = 0.98

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

    Muon turns the matrices of layers and leaves the rest to AdamW. Vectors and scalars (norms,
    biases, scales, the statistics of a batch norm that stands still) get no weight decay. Raises
    ValueError for bfloat16 moments with a b2 above MOST_B2.
    """
    if config.moments == "bfloat16" and max(config.b1, config.b2) > MOST_B2:
        raise ValueError(
            f"optim.moments=bfloat16 with b1 {config.b1}, b2 {config.b2}: an average that slow "
            f"changes by less than bfloat16 can hold and gets stuck. Use at most {MOST_B2}, or "
            "optim.moments=float32"
        )
    rate = schedule(config, steps)
    adamw = optax.adamw(
        rate,
        b1=config.b1,
        b2=config.b2,
        eps=config.eps,
        weight_decay=config.weight_decay,
        mask=_decayed,
    )
    if config.name == "muon":
        muon = optax.contrib.muon(
            rate,
            weight_decay=config.weight_decay,
            muon_weight_dimension_numbers=_last_two_axes,
            consistent_rms=MUON_RMS,
        )
        inner = optax.partition({True: muon, False: adamw}, _inner_matrices)
    else:
        inner = adamw
    if config.moments == "bfloat16":
        inner = _kept_as(jnp.bfloat16, inner)
    return optax.chain(optax.clip_by_global_norm(config.clip_norm), inner)


def _kept_as(dtype: Any, inner: optax.GradientTransformation) -> optax.GradientTransformation:
    """`inner` with what it keeps for each parameter stored as `dtype`, and computed as before.

    The update of a step comes from the averages before they are rounded. What belongs to no
    parameter (counts, muon's coefficients) stays as it is.
    """

    def cast(state, names, to):
        def one(path, leaf):
            own = any(getattr(key, "key", None) in names for key in path)
            return leaf.astype(to) if own else leaf

        return jax.tree_util.tree_map_with_path(one, state)

    def init(params):
        return cast(inner.init(params), params, dtype)

    def update(updates, state, params=None):
        updates, state = inner.update(updates, cast(state, updates, jnp.float32), params)
        return updates, cast(state, updates, dtype)

    return optax.GradientTransformation(init, update)


def _decayed(params: Any) -> Any:
    """Whether a parameter is no vector. Norms and biases of stacked layers have two axes."""

    def one(path, leaf):
        names = (str(getattr(key, "key", "")) for key in path)
        return leaf.ndim >= 2 and not any(name.endswith(("scale", "bias")) for name in names)

    return jax.tree_util.tree_map_with_path(one, params)


def _inner_matrices(params: dict[str, Any]) -> dict[str, bool]:
    """Whether a parameter is the kernel of a layer, whose last two axes are input and output.

    Embeddings are not, nor adapters, convolutions written as products, and the vision tower's qkv,
    an array of three matrices.
    """

    def inner(name: str) -> bool:
        others = ("/patch/", "/qkv/", "/product/")
        return name.endswith("/kernel") and not any(other in name for other in others)

    return {name: inner(name) for name in params}


def _last_two_axes(params: Any) -> Any:
    matrix = optax.contrib.MuonDimensionNumbers(reduction_axis=-2, output_axis=-1)
    return jax.tree.map(lambda _: matrix, params)
