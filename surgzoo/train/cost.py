"""What one input costs: parameters, operations and memory, counted over the trace.

Nothing is compiled or allocated, so that 73 B parameters take seconds. Operations are the products
of matrices and the convolutions, two for a multiplication and an addition, as papers count; the
rest is a few percent (tests/train/test_cost.py compares with the compiler's count, which takes the
body of a loop once, however often it runs).
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator
from typing import Any

import jax

from surgzoo.models.architecture import Architecture
from surgzoo.models.verbs import CHIEF, batch_of, verbs
from surgzoo.train.liveness import peak_of


@dataclasses.dataclass(frozen=True)
class Cost:
    """Of one row of what a model reads, asked its chief verbs (`models/verbs.py`).

    Attributes:
      activation_bytes: the most that a verb holds at once beside parameters and input.
    """

    parameter_count: int
    parameter_bytes: int
    flops: int
    activation_bytes: int


def cost(config: Architecture) -> Cost:
    """The cost of one input of a model."""
    model = config.build()
    params, asked = model.abstract(), verbs(model)
    leaves = jax.tree.leaves(params)
    traces = [
        jax.make_jaxpr(asked[name])(params, batch_of(config, 1))
        for name in CHIEF[config.reads]
        if name in asked
    ]
    return Cost(
        parameter_count=sum(leaf.size for leaf in leaves),
        parameter_bytes=sum(map(_bytes, leaves)),
        flops=sum(map(flops, traces)),
        activation_bytes=int(max(peak_of(traced, _size).bytes for traced in traces)),
    )


def flops(traced: Any) -> int:
    """Operations of a jaxpr. Of branches the dearest counts; a `while` counts once."""
    total = 0
    for eqn in getattr(traced, "jaxpr", traced).eqns:
        name = eqn.primitive.name
        if name == "dot_general":
            (contracted, _), _ = eqn.params["dimension_numbers"]
            inner = math.prod(eqn.invars[0].aval.shape[axis] for axis in contracted)
            total += 2 * inner * eqn.outvars[0].aval.size
        elif name == "conv_general_dilated":
            kernel = eqn.invars[1].aval
            outputs = kernel.shape[eqn.params["dimension_numbers"].rhs_spec[0]]
            # A kernel holds the channels of its own group alone. Padding counts like a pixel.
            total += 2 * eqn.outvars[0].aval.size * (kernel.size // outputs)
        else:
            inside = [flops(jaxpr) for value in eqn.params.values() for jaxpr in _jaxprs(value)]
            together = max if name == "cond" else sum
            total += eqn.params.get("length", 1) * together(inside) if inside else 0
    return total


def _jaxprs(value: Any) -> Iterator[Any]:
    """Jaxprs in a parameter of an equation."""
    if hasattr(value, "eqns") or hasattr(value, "jaxpr"):
        yield value
    elif isinstance(value, (tuple, list)):
        for item in value:
            yield from _jaxprs(item)


def _bytes(value: Any) -> int:
    return value.size * value.dtype.itemsize


def _size(value: Any, top: bool) -> float:
    """On one device everything is whole, inside of a scan and outside."""
    return _bytes(value)
