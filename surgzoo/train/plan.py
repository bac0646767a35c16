"""Will it fit? What a training step of an experiment holds on each device, before anything is
allocated.

The state is counted exactly, leaf by leaf, with the shardings that the run will use. What the step
holds besides (gradients, activations, logits) is counted over the traced step, see
train/liveness.py, or taken from the compiled step (`measure`). Nothing is allocated, so a plan of
72 B parameters takes seconds, for a mesh of any size.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator, Mapping
from typing import Any

import jax
import numpy as np
from jax.experimental import multihost_utils
from jax.sharding import AbstractMesh, AxisType, Mesh

from surgzoo.core import parallel
from surgzoo.data.feed import batch_shapes
from surgzoo.models.build import model_config
from surgzoo.train import liveness, optim
from surgzoo.train.experiment import Experiment
from surgzoo.train.objectives import OBJECTIVES
from surgzoo.train.state import Tree, abstract_state, merge, trainable
from surgzoo.train.step import step_of

GIB = 2**30


@dataclasses.dataclass(frozen=True)
class Plan:
    """Bytes on one device. The rows add up to `total`; the rest explains them.

    Attributes:
      step: gradients, activations and logits at the fullest moment of a step. `measured` says that
        the compiler gave the number, otherwise it comes from the traced step.
      gradients, logits: parts of `step`. All gradients, whole at the end of the backward pass;
        what has the size of the vocabulary at the fullest moment, often before that (0: nothing, or
        the compiler does not say).
    """

    mesh: Mapping[str, int]
    parameters: float
    optimizer: float
    average: float
    batch: float
    step: float
    gradients: float
    logits: float
    counts: tuple[int, int]  # parameters, trained parameters
    rows: int  # of the batch, on one device at a time
    measured: bool = False

    @property
    def total(self) -> float:
        return self.parameters + self.optimizer + self.average + self.batch + self.step

    def table(self, memory: float | None = None) -> str:
        """The plan in words; with `memory`, the bytes of one device, whether it fits."""
        devices = math.prod(self.mesh.values())
        cut = " x ".join(f"{axis} {size}" for axis, size in self.mesh.items() if size > 1)
        whole, learned = (count / 1e6 for count in self.counts)
        source = "compiled step" if self.measured else "traced step, an estimate"
        share = f"{learned / whole:.2%}" if learned < whole else "all"
        lines = [
            f"{whole:,.1f} M parameters, {share} of them trained; {devices} device"
            + (f"s ({cut or 'data 1'})" if devices > 1 else ""),
            "",
            "on each device                                 GiB",
            _row("parameters", self.parameters),
            _row("optimizer state", self.optimizer),
        ]
        if self.average:
            lines.append(_row("averaged copy (optim.ema)", self.average))
        lines += [
            _row("batch, and the next one", self.batch),
            _row(f"one step ({source})", self.step),
            f"    gradients whole {self.gradients / GIB:.2f}, "
            + (f"logits at the peak {self.logits / GIB:.2f}, " if self.logits else "")
            + f"{self.rows} rows at a time",
            _row("together", self.total),
        ]
        if memory is not None:
            verdict = "fits" if self.total <= memory else "DOES NOT FIT"
            lines.append(_row("memory of the device", memory) + f"  {verdict}")
        return "\n".join(lines)


def _row(name: str, size: float) -> str:
    return f"  {name:<36}{size / GIB:>12,.2f}"


def plan(experiment: Experiment, mesh: Mesh | AbstractMesh, *, measure: bool = False) -> Plan:
    """What the experiment's step holds on one device of `mesh`.

    With `measure` the step is compiled for the devices of the mesh, which must then be real.

    Raises ValueError when the batch cannot be cut over the mesh, or no parameter is trained.
    """
    model, tx = _model(experiment), optim.optimizer(experiment.optim, experiment.steps)
    pattern, use_ema = experiment.model.trainable, experiment.optim.ema is not None
    abstract = abstract_state(model, tx, pattern, use_ema, mesh)
    learned = trainable(abstract["params"], pattern)
    batch = _batch(experiment)
    rows = rows_at_a_time(experiment, mesh)
    gradients = _bytes(learned)
    if measure:
        step, logits = _measured(experiment, model, tx, abstract, batch, mesh), 0.0
    else:
        step, logits = _traced(experiment, model, tx, abstract, batch, mesh)
    counts = tuple(
        sum(leaf.size for leaf in jax.tree.leaves(tree)) for tree in (abstract["params"], learned)
    )
    return Plan(
        mesh=dict(mesh.shape),
        parameters=_bytes(abstract["params"]),
        optimizer=_bytes(abstract["opt"]),
        average=_bytes(abstract.get("ema", {})),
        batch=2
        * sum(leaf.size * leaf.dtype.itemsize for leaf in batch.values())
        / parallel.row_parts(mesh),
        step=step,
        gradients=gradients,
        logits=logits,
        counts=counts,
        rows=rows,
        measured=measure,
    )


def rows_at_a_time(experiment: Experiment, mesh: Mesh | AbstractMesh) -> int:
    """Rows of the batch that one device works on at a time.

    Raises ValueError when the batch cannot be cut over the mesh and the microbatches.
    """
    rows, accumulate = experiment.data.batch_size, experiment.optim.accumulate
    pieces = parallel.row_parts(mesh) * accumulate
    if rows % pieces:
        raise ValueError(
            f"data.batch_size {rows} cannot be cut into data {mesh.shape['data']} x fsdp "
            f"{mesh.shape['fsdp']} x optim.accumulate {accumulate}: make it a multiple of {pieces}"
        )
    return rows // pieces


def check(experiment: Experiment, mesh: Mesh) -> None:
    """Raises ValueError with the table and the ways out when the step cannot fit.

    The traced step is an estimate, so where it says no the compiled step has the last word. What
    the state alone says is exact. Does nothing where a device does not say how much memory it has.
    """
    memory = device_memory(mesh)
    if memory is None:
        return
    found = plan(experiment, mesh)
    if found.total <= memory:
        return
    if found.total - found.step + found.gradients <= memory:
        measured = plan(experiment, mesh, measure=True)
        found = dataclasses.replace(measured, logits=found.logits)
        if found.total <= memory:
            return
    raise ValueError(
        f"this run does not fit into {memory / GIB:.1f} GiB on each device:\n\n"
        f"{found.table(memory)}\n\n{advice(experiment, mesh, memory)}\n"
        "To run it all the same: --config.check_memory=false"
    )


def advice(experiment: Experiment, mesh: Mesh | AbstractMesh, memory: float) -> str:
    """What each lever would bring, from the one that costs least to the one that costs most."""
    lines = ["What would help, each alone (GiB on each device):"]
    for words, changed, other in _levers(experiment, mesh):
        total = plan(changed, other).total
        fits = "  fits" if total <= memory else ""
        lines.append(f"  {words:<58}{total / GIB:>10,.2f}{fits}")
    return "\n".join(lines)


def _levers(
    experiment: Experiment, mesh: Mesh | AbstractMesh
) -> Iterator[tuple[str, Experiment, Mesh | AbstractMesh]]:
    """(how to say it on the command line, the changed experiment, the mesh that it then runs on)"""
    model, data = experiment.model, experiment.data
    config = model_config(model.name, model.overrides)
    fields = {field.name for field in dataclasses.fields(config)}

    def overriding(values: dict[str, Any]) -> Experiment:
        changed = dataclasses.replace(model, overrides={**model.overrides, **values})
        return dataclasses.replace(experiment, model=changed)

    remat = {name: "full" for name in ("remat", "vision_remat") if name in fields}
    remat = {name: value for name, value in remat.items() if getattr(config, name) != value}
    if remat:
        yield "model.overrides " + ", ".join(f"{k}=full" for k in remat), overriding(remat), mesh
    pieces = parallel.row_parts(mesh) * experiment.optim.accumulate
    if data.batch_size // 2 >= pieces and data.batch_size // 2 % pieces == 0:
        half = dataclasses.replace(data, batch_size=data.batch_size // 2)
        words = f"data.batch_size={half.batch_size} (or optim.accumulate)"
        yield words, dataclasses.replace(experiment, data=half), mesh
    if experiment.optim.moments == "float32" and experiment.optim.b2 <= optim.MOST_B2:
        light = dataclasses.replace(experiment.optim, moments="bfloat16")
        yield "optim.moments=bfloat16", dataclasses.replace(experiment, optim=light), mesh
    if "lora" in fields and config.lora is None:
        small = overriding({"lora": {}})
        small = dataclasses.replace(
            small, model=dataclasses.replace(small.model, trainable="lora_")
        )
        yield "LoRA (model.overrides lora, model.trainable=lora_)", small, mesh
    paths = trainable(config.build().abstract(), model.trainable)
    if any("merger" in path for path in paths) and not all("merger" in path for path in paths):
        part = dataclasses.replace(model, trainable="merger")
        yield "model.trainable=merger", dataclasses.replace(experiment, model=part), mesh
    if mesh.shape["data"] > 1:
        cut = parallel.row_parts(mesh)
        sizes = (1, cut, mesh.shape["tensor"], mesh.shape["seq"])
        yield f"mesh.data=1, mesh.fsdp={cut}", experiment, abstract_mesh(sizes)
    elif mesh.shape["fsdp"] == 1 and data.batch_size % 8 == 0:
        sizes = (1, 8, mesh.shape["tensor"], mesh.shape["seq"])
        yield "8 times the devices with mesh.fsdp=8", experiment, abstract_mesh(sizes)


def abstract_mesh(sizes: tuple[int, ...]) -> AbstractMesh:
    """A mesh of devices that need not exist, with the axes of core/parallel.py."""
    return AbstractMesh(sizes, parallel.AXES, axis_types=(AxisType.Auto,) * len(parallel.AXES))


def planned_mesh(experiment: Experiment, devices: int) -> AbstractMesh:
    """The experiment's mesh over so many devices. Raises ValueError when they do not divide."""
    return abstract_mesh(parallel.mesh_sizes(devices, **dataclasses.asdict(experiment.mesh)))


def device_memory(mesh: Mesh) -> float | None:
    """Bytes that one device of the mesh may hold; None where a device does not say.

    CPU devices share what the host has left, or what its control group allows. With several
    processes it is the least that any of them finds, so that all of them decide alike; all must
    ask.
    """
    found = _own_memory(mesh)
    if jax.process_count() == 1:
        return found
    least = float(multihost_utils.process_allgather(np.float32(found or 0.0)).min())
    return least or None


def _own_memory(mesh: Mesh) -> float | None:
    """What a device of this process may hold: those of other processes cannot be asked."""
    devices = mesh.local_devices
    stats = devices[0].memory_stats()
    if stats and "bytes_limit" in stats:
        return float(stats["bytes_limit"])
    if devices[0].platform != "cpu":
        return None
    host = _host_memory()
    return None if host is None else host / len(devices)


def _host_memory() -> float | None:
    """MemAvailable of Linux, or less where a control group says so."""
    try:
        with open("/proc/meminfo", encoding="ascii") as file:
            lines = dict(line.split(":", 1) for line in file)
        free = 1024.0 * int(lines["MemAvailable"].split()[0])
    except (OSError, KeyError, ValueError):
        return None
    try:
        with open("/sys/fs/cgroup/memory.max", encoding="ascii") as file:
            limit = float(file.read())
        with open("/sys/fs/cgroup/memory.current", encoding="ascii") as file:
            return min(free, limit - float(file.read()))
    except (OSError, ValueError):  # no control group, or "max"
        return free


def _model(experiment: Experiment) -> Any:
    return model_config(experiment.model.name, experiment.model.overrides).build()


def _batch(experiment: Experiment) -> dict[str, jax.ShapeDtypeStruct]:
    """Shapes of a batch of the experiment, over all devices."""
    config = model_config(experiment.model.name, experiment.model.overrides)
    shapes = batch_shapes(experiment.data, config)
    return {name: jax.ShapeDtypeStruct(*found) for name, found in shapes.items()}


def _bytes(tree: Any) -> float:
    """Bytes of a tree of placed ShapeDtypeStructs on one device."""
    return float(
        sum(
            math.prod(leaf.sharding.shard_shape(leaf.shape)) * leaf.dtype.itemsize
            for leaf in jax.tree.leaves(tree)
        )
    )


def _traced(
    experiment: Experiment,
    model: Any,
    tx: Any,
    abstract: Tree,
    batch: dict[str, jax.ShapeDtypeStruct],
    mesh: Mesh | AbstractMesh,
) -> tuple[float, float]:
    """Bytes of a step beside its state and batch, and of what has the vocabulary's size in it."""
    pattern, objective = experiment.model.trainable, OBJECTIVES[experiment.objective]
    accumulate = experiment.optim.accumulate
    rows = rows_at_a_time(experiment, mesh)
    local = {k: jax.ShapeDtypeStruct((rows, *v.shape[1:]), v.dtype) for k, v in batch.items()}
    params = _unplaced(abstract["params"])
    learned = trainable(params, pattern)
    rng = jax.eval_shape(lambda: jax.random.key(0))

    def gradient(learned, params, batch, rng):
        return jax.value_and_grad(
            lambda learned: objective(model, merge(params, learned), batch, rng), has_aux=True
        )(learned)

    size = _size_rule(abstract["params"], model, mesh)
    found = liveness.peak(gradient, learned, params, local, rng, size=size)
    gradients = _bytes(trainable(abstract["params"], pattern))
    vocab = _sizes(model, abstract["params"], "vocab")
    parameter_shapes = {leaf.shape for leaf in jax.tree.leaves(params)}
    logits = sum(
        bytes_
        for bytes_, shape in found.arrays
        if vocab.intersection(shape) and shape not in parameter_shapes
    )
    # The update of one parameter at a time, when the activations are gone.
    largest = max(learned, key=lambda path: _bytes({path: _leaf(abstract["params"], path)}))
    one = {largest: learned[largest]}

    def update(grads, params):
        return tx.update(grads, tx.init(params), params)[0]

    updating = gradients + liveness.peak(update, one, one, size=size).bytes
    step = max(found.bytes, updating)
    return step + (gradients if accumulate > 1 else 0.0), logits


def _size_rule(params: Tree, model: Any, mesh: Mesh | AbstractMesh) -> liveness.Size:
    """Bytes of a value on one device.

    Rows are cut already. What has the shape of a parameter lies as the parameter does. Of the rest,
    what has the width of an MLP, of the vocabulary or the like is cut over `tensor`; heads are not
    told from other widths and count whole, so with `tensor` above 1 the sum is too large.
    """
    shares = {
        leaf.shape: math.prod(leaf.sharding.shard_shape(leaf.shape)) / leaf.size
        for leaf in jax.tree.leaves(params)
    }
    tensor = mesh.shape["tensor"]
    cut = {
        size
        for name, axis in parallel.RULES.items()
        if axis == "tensor" and "heads" not in name
        for size in _sizes(model, params, name)
        if size % tensor == 0
    }
    cut -= {s for name in ("embed", "vision_embed") for s in _sizes(model, params, name)}

    def size(aval: Any, top: bool) -> float:
        if not isinstance(getattr(aval, "dtype", None), np.dtype):  # keys of random numbers
            return 0.0
        whole = float(aval.size * aval.dtype.itemsize)
        if top and aval.ndim > 1 and aval.shape in shares:
            return whole * shares[aval.shape]
        return whole / tensor if cut.intersection(aval.shape) else whole

    return size


def _sizes(model: Any, params: Tree, name: str) -> set[int]:
    """The sizes that a logical axis has in the model's parameters."""
    found: set[int] = set()

    def look(axes: tuple[str | None, ...], leaf: Any):
        found.update(s for axis, s in zip(axes, leaf.shape, strict=True) if axis == name)

    is_axes = lambda x: isinstance(x, tuple)  # noqa: E731
    jax.tree.map(look, model.logical_axes(), params, is_leaf=is_axes)
    return found


def _measured(
    experiment: Experiment,
    model: Any,
    tx: Any,
    abstract: Tree,
    batch: dict[str, jax.ShapeDtypeStruct],
    mesh: Mesh,
) -> float:
    """What the compiled step asks for beside its arguments."""
    step = step_of(experiment, model, tx, abstract, mesh)
    found = step.lower(abstract, batch).compile().memory_analysis()
    # The new state takes the place of the old one, as far as it does.
    return float(found.temp_size_in_bytes + found.output_size_in_bytes - found.alias_size_in_bytes)


def _unplaced(tree: Any) -> Any:
    return jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype), tree)


def _leaf(params: Tree, path: str) -> Any:
    for key in path.split("/"):
        params = params[key]
    return params
