"""How many bytes a traced function holds at once, without compiling it.

Walks a jaxpr in its order and keeps account of what is alive. Three rules stand for what XLA does:

* what has the same bytes under another shape (reshape, transpose) costs nothing;
* a chain of elementwise operations is one kernel: what one of them alone reads is never stored;
* an elementwise operation writes over an operand that nobody reads again.

The body of a scan runs once at a time, so its arrays count once, what it stacks up counts whole.
Compared with `memory_analysis()` of the compiled step in tests/train/test_plan.py.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from typing import Any

import jax
from jax.extend.core import Literal

_VIEWS = {"reshape", "squeeze", "expand_dims", "transpose"}
# Cheap enough that XLA computes them again for every reader.
_FREE = _VIEWS | {
    "broadcast_in_dim", "iota", "convert_element_type", "eq", "ne", "lt", "le", "gt", "ge", "and",
    "or", "not", "select_n", "neg", "is_finite",
}  # fmt: skip
_ELEMENTWISE = _FREE | {
    "add", "sub", "mul", "div", "max", "min", "exp", "exp2", "log", "log1p", "expm1", "tanh",
    "logistic", "rsqrt", "sqrt", "integer_pow", "pow", "add_any", "cos", "sin", "sign", "abs",
    "erf", "erfc", "square", "clamp", "rem", "floor", "round", "copy",
}  # fmt: skip
# Read a chain of elementwise operations as they go, without it being stored.
_REDUCTIONS = {"reduce_sum", "reduce_max", "reduce_min", "reduce_and", "reduce_or", "argmax"}
_IN_PLACE = {"dynamic_update_slice", "scatter", "scatter-add", "scatter_add"}
# Calls that are the same as their body written out here.
_INLINED = {
    "jit", "pjit", "closed_call", "core_call", "remat2", "checkpoint", "custom_jvp_call",
    "custom_vjp_call", "custom_vjp_call_jaxpr", "custom_lin",
}  # fmt: skip

Size = Callable[[Any, bool], float]  # of an abstract value, and whether it is outside of any scan


@dataclasses.dataclass(frozen=True)
class Peak:
    """The largest sum, and what it consisted of: (bytes, shape) of each array."""

    bytes: float
    arrays: tuple[tuple[float, tuple[int, ...]], ...]


@dataclasses.dataclass
class _Op:
    name: str
    reads: list[int]
    writes: list[int]
    params: dict[str, Any]
    given: list[tuple[int, ...]]  # the shape of every argument


def peak(fn: Callable[..., Any], *arguments: Any, size: Size) -> Peak:
    """The most that `fn` holds at once beside its arguments; its results count.

    Args:
      arguments: pytrees of arrays or ShapeDtypeStructs.
      size: bytes of an abstract value on one device.
    """
    return peak_of(jax.make_jaxpr(fn)(*arguments), size)


def peak_of(traced: Any, size: Size) -> Peak:
    """As `peak`, of what `jax.make_jaxpr` gave."""
    return _walk(traced.jaxpr, size, True)


def _walk(jaxpr: Any, size: Size, top: bool) -> Peak:
    ops, shapes, inputs, outputs = _flat(jaxpr)
    ops = _needed(ops, outputs)
    readers: dict[int, list[_Op]] = {}
    for op in ops:
        for number in op.reads:
            readers.setdefault(number, []).append(op)
    stored, roots = _stored(ops, readers, inputs, set(outputs))

    last: dict[int, int] = {}
    for i, op in enumerate(ops):
        if any(number in stored for number in op.writes):
            for number in op.reads:
                last |= dict.fromkeys(roots[number], i)
    for number in outputs:
        last |= dict.fromkeys(roots[number], len(ops))
    dying: dict[int, list[int]] = {}
    for number, i in last.items():
        dying.setdefault(i, []).append(number)

    alive: dict[int, float] = {}
    best = Peak(0.0, ())

    def see(inner: tuple[tuple[float, tuple[int, ...]], ...] = ()):
        nonlocal best
        total = sum(alive.values()) + sum(item[0] for item in inner)
        if total > best.bytes:
            here = tuple((bytes_, tuple(shapes[n].shape)) for n, bytes_ in alive.items())
            best = Peak(total, here + inner)

    for i, op in enumerate(ops):
        made = [number for number in op.writes if number in stored]
        if not made:
            continue
        if op.name in _ELEMENTWISE or op.name in _IN_PLACE:
            for number in dying.get(i, ()):
                alive.pop(number, None)
        inner = _inside(op, shapes, size)
        if op.name not in ("scan", "while", "cond") and inner:
            see(inner)  # its results are among what is inside
        for number in made:
            alive[number] = size(shapes[number], top)
        see(inner if op.name in ("scan", "while", "cond") else ())
        for number in dying.get(i, ()):
            alive.pop(number, None)
        for number in made:
            if number not in last:
                alive.pop(number)
    return best


def _inside(op: _Op, shapes: dict[int, Any], size: Size) -> tuple:
    """What stands in memory while the loop or branch at its fullest runs."""
    if op.name == "scan":
        (body,) = _jaxprs(op.params["jaxpr"])
        # Constants and what is carried go in as they are, only slices are smaller than their array.
        pairs = zip(body.invars, op.given, strict=True)
        cut = tuple(
            (size(var.aval, False), tuple(var.aval.shape))
            for var, whole in pairs
            if tuple(var.aval.shape) != whole
        )
        return cut + _walk(body, size, False).arrays
    bodies = [jaxpr for value in op.params.values() for jaxpr in _jaxprs(value)]
    peaks = [_walk(body, size, False) for body in bodies]
    return max(peaks, key=lambda p: p.bytes).arrays if peaks else ()


def _stored(
    ops: list[_Op], readers: dict[int, list[_Op]], inputs: set[int], outputs: set[int]
) -> tuple[set[int], dict[int, frozenset[int]]]:
    """Which values are written to memory, and for every value the stored ones that it is made of.

    Arguments of the function are stored, but by the caller: they have no roots.
    """
    stored: set[int] = set()
    roots: dict[int, frozenset[int]] = {number: frozenset() for number in inputs}
    for op in ops:
        fused = op.name in _ELEMENTWISE
        below = frozenset().union(*(roots[number] for number in op.reads))
        for number in op.writes:
            read_by = readers.get(number, [])
            flows = all(r.name in _ELEMENTWISE or r.name in _REDUCTIONS for r in read_by)
            if op.name in _VIEWS:
                virtual = True
            elif number in outputs or not fused or not flows:
                virtual = False
            else:
                virtual = op.name in _FREE or len(read_by) <= 1
            if virtual:
                roots[number] = below
            else:
                stored.add(number)
                roots[number] = frozenset((number,))
    return stored, roots


def _needed(ops: list[_Op], outputs: list[int]) -> list[_Op]:
    """The operations that the outputs depend on: tracing leaves others behind."""
    wanted, kept = set(outputs), []
    for op in reversed(ops):
        if wanted.intersection(op.writes):
            wanted.update(op.reads)
            kept.append(op)
    return kept[::-1]


def _flat(jaxpr: Any) -> tuple[list[_Op], dict[int, Any], set[int], list[int]]:
    """Operations with calls written out, abstract values by number, inputs and outputs."""
    ops: list[_Op] = []
    shapes: dict[int, Any] = {}

    def new(var: Any) -> int:
        shapes[len(shapes)] = var.aval
        return len(shapes) - 1

    def write(inner: Any, names: dict[Any, int]):
        # A literal that was passed into a call has no number inside either.
        def known(variables: Any) -> Iterator[int]:
            return (names[v] for v in variables if not isinstance(v, Literal) and v in names)

        for eqn in inner.eqns:
            body = next((j for v in eqn.params.values() for j in _jaxprs(v)), None)
            if eqn.primitive.name in _INLINED and body is not None:
                within = {var: new(var) for var in body.constvars}
                for var, outer in zip(body.invars, eqn.invars, strict=True):
                    if not isinstance(outer, Literal) and outer in names:
                        within[var] = names[outer]
                write(body, within)
                for var, outer in zip(eqn.outvars, body.outvars, strict=True):
                    if not isinstance(outer, Literal) and outer in within:
                        names[var] = within[outer]
                continue
            reads = list(known(eqn.invars))
            for var in eqn.outvars:
                names[var] = new(var)
            writes = [names[v] for v in eqn.outvars]
            given = [tuple(v.aval.shape) for v in eqn.invars]
            ops.append(_Op(eqn.primitive.name, reads, writes, eqn.params, given))

    names = {var: new(var) for var in (*jaxpr.constvars, *jaxpr.invars)}
    inputs = set(names.values())
    write(jaxpr, names)
    outputs = [names[v] for v in jaxpr.outvars if not isinstance(v, Literal) and v in names]
    return ops, shapes, inputs, outputs


def _jaxprs(value: Any) -> Iterator[Any]:
    """Jaxprs in a parameter of an equation."""
    if hasattr(value, "eqns"):
        yield value
    elif hasattr(value, "jaxpr"):
        yield value.jaxpr
    elif isinstance(value, (tuple, list)):
        for item in value:
            yield from _jaxprs(item)
