"""Low-rank adapters: a frozen kernel W becomes W + alpha / rank * A B. Source: arXiv 2106.09685.

A is `lora_a` [I, rank], normal with deviation 1 / sqrt(I); B is `lora_b` [rank, *O], zeros, so that
a fresh adapter changes nothing. They are parameters of the layer itself, `<path>/lora_a` beside
`<path>/kernel`, and `Linear` reads them.
"""

from __future__ import annotations

import re
import zlib
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float

from surgzoo.models.layers import parameter
from surgzoo.models.layers.linear import Linear
from surgzoo.models.layers.lora_config import LoraConfig

if TYPE_CHECKING:
    from surgzoo.models.base import Model, Params

NAMES = ("lora_a", "lora_b")


def add_adapters(module: nnx.Module, config: LoraConfig, *, rngs: nnx.Rngs) -> None:
    """Gives every `Linear` of `module` whose path matches an adapter.

    Layers stacked for a scan get stacked adapters, with the values that they would have side by
    side. Raises ValueError, with the paths there are, when none matches.
    """
    key = rngs.params()
    paths = set()
    found = False
    for parts, linear in nnx.iter_modules(module):
        if not isinstance(linear, Linear):
            continue
        path, number = _without_number("/".join(map(str, parts)))
        paths.add(path)
        if not config.adapts(path):
            continue
        found = True
        _adapt(linear, config, jax.random.fold_in(key, zlib.crc32(path.encode())), number)
    if not found:
        raise ValueError(
            f"lora.targets '{config.targets}' matches no linear layer. They are (all layers of a "
            f"tower alike, so without a number): {', '.join(sorted(paths))}"
        )


def _adapt(linear: Linear, config: LoraConfig, key: Array, number: int | None) -> None:
    axes = linear.kernel.get_metadata("logical_axes")
    shape = linear.kernel[...].shape
    stacked, (width, *outs) = shape[: len(shape) - len(axes)], shape[len(shape) - len(axes) :]

    def draw(layer):
        key_of_layer = jax.random.fold_in(key, layer)
        return width**-0.5 * jax.random.normal(key_of_layer, (width, config.rank), jnp.float32)

    if stacked:
        a = jax.vmap(draw)(jnp.arange(stacked[0]))
    else:
        a = draw(number or 0)
    linear.lora_a = nnx.Param(a, logical_axes=(axes[0], None))
    linear.lora_b = parameter.zeros((*stacked, config.rank, *outs), (None, *axes[1:]))
    linear.lora_scale = config.scale


def _without_number(path: str) -> tuple[str, int | None]:
    """text/layers/3/mlp/up -> (text/layers/mlp/up, 3)."""
    found = re.search(r"/layers/(\d+)/", path)
    if found is None:
        return path, None
    return path.replace(found.group(), "/layers/", 1), int(found.group(1))


def merged_kernel(
    kernel: Float[Array, "*K"],
    a: Float[Array, "*L I R"],
    b: Float[Array, "*P"],
    scale: float,
) -> Float[Array, "*K"]:
    """kernel + scale * a b in float32, in the dtype of the kernel; of JAX or numpy arrays.

    The kernel is [*L, I, *O], a [*L, I, R] and b [*L, R, *O], with *L empty or the layers.
    """
    wide = np.float32
    flat = b.astype(wide).reshape(*a.shape[:-2], a.shape[-1], -1)
    with jax.default_matmul_precision("float32"):  # a GPU would round to TF32
        change = a.astype(wide) @ flat
    return (kernel.astype(wide) + scale * change.reshape(kernel.shape)).astype(kernel.dtype)


def merge_lora(params: Params, config: LoraConfig) -> Params:
    """Parameters of the same model without adapters, whose forward pass is the same.

    Stacked or side by side, concrete or traced. Raises ValueError when there are no adapters, or
    they have another rank than `config`.
    """
    merged = 0

    def walk(node: Any) -> Any:
        nonlocal merged
        if not isinstance(node, dict):
            return node
        out = {key: walk(value) for key, value in node.items() if key not in NAMES}
        if NAMES[0] in node:
            a, b = (node[name] for name in NAMES)
            if a.shape[-1] != config.rank:
                raise ValueError(f"the adapters have rank {a.shape[-1]}, the config {config.rank}")
            out["kernel"] = merged_kernel(node["kernel"], a, b, config.scale)
            merged += 1
        return out

    plain = walk(params)
    if not merged:
        raise ValueError("the parameters hold no adapters (lora_a, lora_b) to merge")
    return plain


def is_adapter(path: str) -> bool:
    """Whether a parameter's path ("/"-joined) is that of an adapter."""
    return path.rpartition("/")[2] in NAMES


def without_adapters(params: Params) -> Params:
    """The base weights alone, as they are; of arrays or shapes."""
    return {
        key: without_adapters(value) if isinstance(value, dict) else value
        for key, value in params.items()
        if key not in NAMES
    }


def adapters_of(params: Params) -> Params:
    """The adapters alone, as they are; of arrays or shapes."""
    inner = {
        key: adapters_of(value) if isinstance(value, dict) else value
        for key, value in params.items()
        if key in NAMES or isinstance(value, dict)
    }
    return {key: value for key, value in inner.items() if key in NAMES or value}


def fresh_adapters(model: Model, rng: Array, abstract: Params | None = None) -> Params:
    """Adapters as `model.init(rng)` draws them, without the memory of the base weights.

    `abstract` may have shardings for them. May be traced.
    """
    shapes = adapters_of(model.abstract() if abstract is None else abstract)
    places = [leaf.sharding for leaf in jax.tree.leaves(shapes)]
    options = {}
    if places and None not in places:
        options["out_shardings"] = jax.tree.map(lambda leaf: leaf.sharding, shapes)
    return jax.jit(lambda rng: adapters_of(model.init(rng)), **options)(rng)


def with_adapters(params: Params, adapters: Params) -> Params:
    """The base weights of `params` with these adapters."""
    out = {key: value for key, value in params.items() if key not in NAMES}
    for key, value in adapters.items():
        out[key] = with_adapters(out.get(key, {}), value) if isinstance(value, dict) else value
    return out
