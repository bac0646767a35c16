"""Mesh and sharding: four axes, a dozen logical rules, one size rule, and a check that they worked.

Mesh axes
  data    copies of the model, different rows          (gradients are summed over it)
  fsdp    different rows too, parameters cut over it
  tensor  heads, MLP and vocabulary cut over it
  seq     reserved for long sequences

Parameters carry logical names (declared where they are made); `RULES` maps names to mesh axes. A
dimension that a mesh axis does not divide stays whole. `jax.make_mesh` makes Explicit axes by
default, under which a Megatron-style MLP does not trace; the mesh here is Auto throughout.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

AXES = ("data", "fsdp", "tensor", "seq")
BATCH = P(("data", "fsdp"))

RULES: dict[str, str | None] = {
    "vocab": "tensor",
    "embed": "fsdp",
    "heads": "tensor",
    "kv_heads": "tensor",
    "mlp": "tensor",
    "vision_embed": "fsdp",
    "vision_heads": "tensor",
    "vision_mlp": "tensor",
    "merger": "tensor",
    "patch": None,
    "layers": None,
}

# A parameter without logical names is cut along its largest divisible dimension from this size on.
SIZE_RULE_BYTES = 4 << 20


def make_mesh(data: int = -1, fsdp: int = 1, tensor: int = 1, seq: int = 1, devices=None) -> Mesh:
    """A mesh over all devices (or those given). One size may be -1: what is left over.

    Raises ValueError when the sizes do not multiply to the number of devices.
    """
    devices = jax.devices() if devices is None else list(devices)
    sizes = mesh_sizes(len(devices), data, fsdp, tensor, seq)
    return jax.make_mesh(sizes, AXES, axis_types=(AxisType.Auto,) * 4, devices=devices)


def mesh_sizes(
    devices: int, data: int = -1, fsdp: int = 1, tensor: int = 1, seq: int = 1
) -> tuple[int, int, int, int]:
    """The sizes of the four axes over so many devices, of which one may be given as -1."""
    sizes = [data, fsdp, tensor, seq]
    if sizes.count(-1) > 1:
        raise ValueError(f"mesh sizes {dict(zip(AXES, sizes, strict=True))}: only one may be -1")
    known = math.prod(size for size in sizes if size != -1)
    filled = tuple(devices // known if size == -1 else size for size in sizes)
    if math.prod(filled) != devices or min(filled) < 1:
        needed = f"a multiple of {known}" if -1 in sizes else known
        raise ValueError(
            f"mesh {dict(zip(AXES, sizes, strict=True))} needs {needed} devices, there are "
            f"{devices}"
        )
    return filled


def param_specs(
    abstract: Any, axes: Any, mesh: Mesh, rules: Mapping[str, str | None] = RULES
) -> Any:
    """PartitionSpecs for a parameter tree.

    Args:
      abstract: nested dict of ShapeDtypeStruct.
      axes: the same nesting with a tuple of logical names (or None) a parameter.
    """

    def spec(leaf, names) -> P:
        if not names or all(name is None for name in names):
            return _size_rule(leaf, mesh)
        used: set[str] = set()
        out = []
        for size, name in zip(leaf.shape, names, strict=True):
            if name is not None and name not in rules:
                raise ValueError(f"no sharding rule for the logical axis '{name}'")
            axis = rules[name] if name is not None else None
            if axis is None or axis in used or mesh.shape[axis] == 1 or size % mesh.shape[axis]:
                out.append(None)
            else:
                used.add(axis)
                out.append(axis)
        return P(*out)

    return jax.tree.map(spec, abstract, axes)


def _size_rule(leaf, mesh: Mesh) -> P:
    size = mesh.shape["fsdp"]
    if size == 1 or leaf.size * leaf.dtype.itemsize < SIZE_RULE_BYTES:
        return P()
    for dim in sorted(range(leaf.ndim), key=lambda d: -leaf.shape[d]):
        if leaf.shape[dim] % size == 0:
            return P(*("fsdp" if d == dim else None for d in range(leaf.ndim)))
    return P()


def shardings(specs: Any, mesh: Mesh) -> Any:
    """NamedShardings from a tree of PartitionSpecs."""
    return jax.tree.map(
        lambda spec: NamedSharding(mesh, spec), specs, is_leaf=lambda x: isinstance(x, P)
    )


def placed(abstract: Any, shardings: Any) -> Any:
    """Shapes with their places: what arrays are restored to and programs compiled for.

    Args:
      abstract: tree of ShapeDtypeStruct.
      shardings: the same tree of shardings.
    """
    return jax.tree.map(
        lambda leaf, sharding: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=sharding),
        abstract,
        shardings,
    )


def check_sharded(abstract: Any, specs: Any, mesh: Mesh, limit: float = 0.1) -> float:
    """The share of parameter bytes that every device holds whole.

    Raises ValueError above `limit` when the mesh cuts parameters at all, naming the largest
    culprits: a wrong rule then costs memory on every chip and nobody notices.
    """
    if mesh.shape["fsdp"] * mesh.shape["tensor"] == 1:
        return 1.0
    total, whole = 0, []
    flat_specs = jax.tree.leaves(specs, is_leaf=lambda x: isinstance(x, P))
    for (path, leaf), spec in zip(
        jax.tree_util.tree_leaves_with_path(abstract), flat_specs, strict=True
    ):
        size = leaf.size * leaf.dtype.itemsize
        total += size
        if all(axis is None for axis in spec):
            whole.append((size, jax.tree_util.keystr(path)))
    share = sum(size for size, _ in whole) / max(total, 1)
    if share > limit:
        worst = ", ".join(f"{name} ({size / 1e6:.1f} MB)" for size, name in sorted(whole)[:-6:-1])
        raise ValueError(
            f"{share:.0%} of the parameters would be replicated on every device (limit "
            f"{limit:.0%}). Largest: {worst}. Give them logical axis names or change the mesh."
        )
    return share


def row_parts(mesh: Mesh) -> int:
    """Into how many parts the rows of a batch are cut (`BATCH`)."""
    return mesh.shape["data"] * mesh.shape["fsdp"]


def whole_batch(size: int, mesh: Mesh) -> int:
    """The smallest number of rows, `size` or more, that the mesh cuts evenly."""
    parts = row_parts(mesh)
    return -(-size // parts) * parts


def keep_rows_cut(x: jax.Array) -> jax.Array:
    """`x` with its first axis, the rows of a batch, cut over data x fsdp as the batch is.

    Inside of `jax.sharding.use_abstract_mesh`; elsewhere, or where the rows do not divide, `x`.
    Said at every layer because parameters are cut over fsdp along their width: left to itself the
    compiler cuts activations that way too and holds all rows on every device.
    """
    mesh = jax.sharding.get_abstract_mesh()
    if mesh.empty or x.shape[0] % row_parts(mesh):
        return x
    return jax.lax.with_sharding_constraint(x, BATCH)


def shard_batch(batch: Mapping[str, np.ndarray], mesh: Mesh) -> dict[str, jax.Array]:
    """Puts this process's rows on the mesh: global arrays cut over data x fsdp."""
    sharding = NamedSharding(mesh, BATCH)
    return {
        key: jax.make_array_from_process_local_data(sharding, value) for key, value in batch.items()
    }
