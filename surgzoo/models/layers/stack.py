"""A tower of equal layers, either stacked (one lax.scan) or side by side (a Python loop).

Stacked parameters have a leading layer axis under `layers`: one compiled body, about a dozen leaves
whatever the depth. Side by side they are `layers/0`, `layers/1`, ...: what a decoding loop wants,
because slicing stacked weights inside a while loop copies every weight at every token.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx

from surgzoo.core import parallel

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
    layers: nnx.Module,
    step: Step,
    x: Any,
    per_layer: Any = None,
    remat: str = "none",
    unroll: int = 1,
) -> tuple[Any, Any]:
    """x, out_i = step(x, layer_i, per_layer[i]) through all layers; returns x and the outs.

    With stacked layers `per_layer` and the outs are pytrees with a leading layer axis; with a Tower
    they are sequences, so that each layer keeps arrays of its own.

    `remat` is one of REMAT: what the backward pass recomputes. Raises ValueError for other names.
    `unroll` layers stand in one turn of the scan: more code to compile, fewer turns, the same
    numbers. Layers side by side are unrolled already, and it means nothing to them.
    """
    step = _prepared(step, remat)
    if not isinstance(layers, Tower):
        pairs = (layers, per_layer)
        return jax.lax.scan(lambda x, pair: step(x, *pair), x, pairs, unroll=unroll)
    outs = []
    for i in range(layers.depth):
        x, out = step(x, getattr(layers, str(i)), None if per_layer is None else per_layer[i])
        outs.append(out)
    return x, tuple(outs)


def run_kinds(
    layers: nnx.Module,
    steps: Mapping[Hashable, Step],
    kinds: Sequence[Hashable],
    x: Any,
    remat: str = "none",
    unroll: int = 1,
) -> Any:
    """x, None = steps[kinds[i]](x, layer_i, None) through layers that do not all do the same.

    Stacked layers are scanned over the shortest pattern that `kinds` repeats, and inside it over
    runs of one kind, so that no layer computes what another kind needs and a body is compiled once.
    """
    if isinstance(layers, Tower):
        for i, kind in enumerate(kinds):
            # One layer at a time: each run would be a Tower of its own.
            x, _ = _prepared(steps[kind], remat)(x, getattr(layers, str(i)), None)
        return x
    depth = len(kinds)
    period = next(
        p for p in range(1, depth + 1) if depth % p == 0 and kinds[:p] * (depth // p) == kinds
    )
    runs, first = [], 0
    for kind, run in itertools.groupby(kinds[:period]):
        count = len(list(run))
        runs.append((kind, slice(first, first + count)))
        first += count

    def pattern(x, part, _):
        for kind, where in runs:
            run = jax.tree.map(lambda a, where=where: a[where], part)
            x, _ = run_layers(run, steps[kind], x, remat=remat, unroll=unroll)
        return x, None

    if period == depth:
        return pattern(x, layers, None)[0]
    layers = jax.tree.map(lambda a: a.reshape(depth // period, period, *a.shape[1:]), layers)
    return run_layers(layers, pattern, x, unroll=max(1, unroll // period))[0]


def unstack(params: dict[str, Any]) -> dict[str, Any]:
    """Parameters of the stacked form to the side-by-side form, also under a trace."""
    return _map_layers(params, _split)


def stack(params: dict[str, Any], join: Callable[[list], Any] = jnp.stack) -> dict[str, Any]:
    """Parameters of the side-by-side form to the stacked form, by `np.stack` on the host."""
    return _map_layers(params, lambda layers: _join(layers, join))


def _prepared(step: Step, remat: str) -> Step:
    """A step with its rows kept where they are, and its backward pass as `remat` says."""
    if remat not in REMAT:
        raise ValueError(f"unknown remat '{remat}': use one of {', '.join(REMAT)}")

    def kept(x, layer, extra):
        x, out = step(jax.tree.map(parallel.keep_rows_cut, x), layer, extra)
        return jax.tree.map(parallel.keep_rows_cut, x), out

    return kept if remat == "none" else jax.checkpoint(kept, policy=_POLICIES[remat])


def _map_layers(node: Any, fn: Callable[[dict], dict]) -> Any:
    if not isinstance(node, dict):
        return node
    return {k: fn(v) if k == "layers" else _map_layers(v, fn) for k, v in node.items()}


def _split(layers: dict[str, Any]) -> dict[str, Any]:
    if "0" in layers:
        return layers
    depth = jax.tree.leaves(layers)[0].shape[0]
    return {str(i): jax.tree.map(lambda a, i=i: a[i], layers) for i in range(depth)}


def _join(layers: dict[str, Any], join: Callable[[list], Any]) -> dict[str, Any]:
    if "0" not in layers:
        return layers
    parts = [layers[str(i)] for i in range(len(layers))]
    return jax.tree.map(lambda *leaves: join(leaves), *parts)
