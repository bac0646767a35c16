"""The training state: a plain dict of arrays with explicit shardings.

params   nested dict, fp32
opt      optimizer state over the trainable parameters, which are a flat {path: array} dict
ema      (only with optim.ema) averaged copy of the trainable parameters
step     int32 scalar: optimizer steps done
"""

from __future__ import annotations

import re
from typing import Any

import jax
import jax.numpy as jnp
import optax
from jax.sharding import Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

from surgzoo.core import parallel
from surgzoo.models.layers.lora import adapters_of, fresh_adapters, is_adapter, with_adapters

Tree = dict[str, Any]


def flatten(params: Tree, prefix: str = "") -> dict[str, Any]:
    """Nested dict to {"a/b/c": leaf}."""
    out = {}
    for key, value in params.items():
        path = f"{prefix}/{key}" if prefix else str(key)
        out |= flatten(value, path) if isinstance(value, dict) else {path: value}
    return out


def trainable(params: Tree, pattern: str) -> dict[str, Any]:
    """The parameters whose path matches. Raises ValueError when none does."""
    chosen = {path: leaf for path, leaf in flatten(params).items() if re.search(pattern, path)}
    if not chosen:
        raise ValueError(f"no parameter path matches model.trainable = '{pattern}'")
    return chosen


def check_trainable(model: Any, pattern: str) -> None:
    """Raises ValueError when a model has adapters and would be trained whole, or without them."""
    shapes = model.abstract()
    adapters = {path for path in flatten(shapes) if is_adapter(path)}
    learned = trainable(shapes, pattern).keys()
    if adapters and (learned == flatten(shapes).keys() or not learned & adapters):
        what = "everything" if learned & adapters else "none of the adapters"
        raise ValueError(
            f"the model has adapters (lora) and model.trainable = '{pattern}' trains {what}: say "
            "model.trainable='lora_' for the adapters alone, 'lora_|merger' for the merger too"
        )


def merge(params: Tree, changed: dict[str, Any], prefix: str = "") -> Tree:
    """A copy of the nested dict with the given paths replaced."""
    out = {}
    for key, value in params.items():
        path = f"{prefix}/{key}" if prefix else str(key)
        out[key] = (
            merge(value, changed, path) if isinstance(value, dict) else changed.get(path, value)
        )
    return out


def abstract_state(
    model: Any, tx: optax.GradientTransformation, pattern: str, ema: bool, mesh: Mesh
) -> Tree:
    """Shapes, dtypes and shardings of the whole state, without memory.

    Optimizer moments get the shardings of their parameters; left to the compiler, all of them would
    land unsharded on one device, since zeros do not depend on the parameters.
    """
    shapes = model.abstract()
    specs = parallel.param_specs(shapes, model.logical_axes(), mesh)
    parallel.check_sharded(shapes, specs, mesh)
    params = parallel.placed(shapes, parallel.shardings(specs, mesh))
    learned = trainable(params, pattern)
    replicated = NamedSharding(mesh, P())

    def moment(path, leaf):
        like = next((learned[k.key] for k in path if getattr(k, "key", None) in learned), None)
        same = like is not None and like.shape == leaf.shape
        return parallel.placed(leaf, like.sharding if same else replicated)

    opt = jax.tree_util.tree_map_with_path(moment, jax.eval_shape(tx.init, learned))
    state = {
        "params": params,
        "opt": opt,
        "step": jax.ShapeDtypeStruct((), jnp.int32, sharding=replicated),
    }
    return state | ({"ema": learned} if ema else {})


def init_state(
    model: Any,
    tx: optax.GradientTransformation,
    pattern: str,
    ema: bool,
    mesh: Mesh,
    rng: jax.Array,
    params: Tree | None = None,
) -> Tree:
    """A fresh state on the mesh; `params` (already placed) replaces random weights.

    They may be base weights alone: adapters of the model are then drawn. Placed as the state is,
    they are its parameters as they stand: a copy would be a second model in memory. So they are
    gone when a step takes the state.
    """
    abstract = abstract_state(model, tx, pattern, ema, mesh)
    shardings = jax.tree.map(lambda leaf: leaf.sharding, abstract)
    placed = shardings.pop("params")

    if params is None:
        params = jax.jit(model.init, out_shardings=placed)(rng)
    elif adapters_of(placed) and not adapters_of(params):
        params = with_adapters(params, fresh_adapters(model, rng, abstract["params"]))
    params = jax.device_put(params, placed)  # nothing to do where they are in their place

    def create(params):
        learned = trainable(params, pattern)
        state = {"opt": tx.init(learned), "step": jnp.zeros((), jnp.int32)}
        return state | ({"ema": jax.tree.map(jnp.copy, learned)} if ema else {})

    return {"params": params} | jax.jit(create, out_shardings=shardings)(params)
