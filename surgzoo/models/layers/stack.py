"""A tower of equal layers, either stacked (one lax.scan) or side by side (a Python loop).

Stacked parameters have a leading layer axis under `layers`: one compiled body, about a dozen leaves
whatever the depth. Side by side they are `layers/0`, `layers/1`, ...: what a decoding loop wants,
because slicing stacked weights inside a while loop copies every weight at every token.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx

Layer = Any
Step = Callable[[Any, Layer, Any], tuple[Any, Any]]

_POLICIES = {
    # Keep the outputs of weight products, recompute the rest (attention scores, norms, silu).
    "dots": jax.checkpoint_policies.dots_with_no_batch_dims_saveable,
    "full": jax.checkpoint_policies.nothing_saveable,
}
REMAT = ("none", *_POLICIES)


class Tower(nnx.Module):
    """Layers side by side, as attributes "0", "1", ..."""

    def __init__(self, layers: Sequence[nnx.Module]):
        self.depth = len(layers)
        for i, layer in enumerate(layers):
            setattr(self, str(i), layer)


def make_layers(
    make: Callable[[nnx.Rngs], nnx.Module], depth: int, *, rngs: nnx.Rngs, stacked: bool
) -> nnx.Module:
    """`depth` layers with different random weights: one stacked layer, or a Tower."""
    keys = jax.random.split(rngs.params(), depth)
    if stacked:
        return jax.vmap(lambda key: make(nnx.Rngs(key)))(keys)
    return Tower([make(nnx.Rngs(keys[i])) for i in range(depth)])


def run_layers(
    layers: nnx.Module, step: Step, x: Any, per_layer: Any = None, remat: str = "none"
) -> tuple[Any, Any]:
    """x, out_i = step(x, layer_i, per_layer[i]) through all layers; returns x and the outs.

    With stacked layers `per_layer` and the outs are pytrees with a leading layer axis; with a Tower
    they are sequences, so that each layer keeps arrays of its own.

    `remat` is one of REMAT: what the backward pass recomputes. Raises ValueError for other names.
    """
    if remat not in REMAT:
        raise ValueError(f"unknown remat '{remat}': use one of {', '.join(REMAT)}")
    if remat != "none":
        step = jax.checkpoint(step, policy=_POLICIES[remat])
    if not isinstance(layers, Tower):
        return jax.lax.scan(lambda x, pair: step(x, *pair), x, (layers, per_layer))
    outs = []
    for i in range(layers.depth):
        x, out = step(x, getattr(layers, str(i)), None if per_layer is None else per_layer[i])
        outs.append(out)
    return x, tuple(outs)


def unstack(params: dict[str, Any]) -> dict[str, Any]:
    """Parameters of the stacked form to the side-by-side form, also under a trace."""
    return _map_layers(params, _split)


def stack(params: dict[str, Any]) -> dict[str, Any]:
    """Parameters of the side-by-side form to the stacked form."""
    return _map_layers(params, _join)


def _map_layers(node: Any, fn: Callable[[dict], dict]) -> Any:
    if not isinstance(node, dict):
        return node
    return {k: fn(v) if k == "layers" else _map_layers(v, fn) for k, v in node.items()}


def _split(layers: dict[str, Any]) -> dict[str, Any]:
    if "0" in layers:
        return layers
    depth = jax.tree.leaves(layers)[0].shape[0]
    return {str(i): jax.tree.map(lambda a, i=i: a[i], layers) for i in range(depth)}


def _join(layers: dict[str, Any]) -> dict[str, Any]:
    if "0" not in layers:
        return layers
    parts = [layers[str(i)] for i in range(len(layers))]
    return jax.tree.map(lambda *leaves: jnp.stack(leaves), *parts)
