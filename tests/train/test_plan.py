"""The plan by hand, against the compiler, and for meshes that are not there."""

import dataclasses
import os
import re
import socket
import subprocess
import sys
import time

import jax
import jax.numpy as jnp
import pytest

from surgzoo.core import parallel
from surgzoo.data.config import DataConfig
from surgzoo.models.build import model_config
from surgzoo.train import liveness, plan
from surgzoo.train.experiment import Experiment, MeshConfig, ModelConfig, OptimConfig
from surgzoo.train.loop import train

# How far the traced step may be from the compiled one, in either direction (scanned layers).
FACTOR = 1.5


def experiment(
    overrides=None, trainable=".*", rows=8, bucket=(96, 64), name="surgvlm-tiny", **more
):
    return Experiment(
        name="plan",
        model=ModelConfig(name, overrides=overrides or {}, trainable=trainable),
        **{"data": DataConfig(batch_size=rows, bucket=bucket), **more},
    )


def one_device():
    return parallel.make_mesh(data=1, devices=jax.devices()[:1])


def size(aval, top):
    return float(aval.size * aval.dtype.itemsize)


def test_by_hand():
    """[256, 256] float32 is 256 KiB: x @ w, its tanh, the loss; then back."""
    square = jax.ShapeDtypeStruct((256, 256), jnp.float32)
    whole = 256 * 256 * 4

    # A product, and nothing else. A second product of it needs both at once.
    assert liveness.peak(lambda x, w: x @ w, square, square, size=size).bytes == whole
    assert liveness.peak(lambda x, w: x @ w @ w, square, square, size=size).bytes == 2 * whole
    # A chain of elementwise operations writes over the product, or is never stored at all.
    chain = liveness.peak(lambda x, w: jnp.exp(jnp.tanh(x @ w) * 2 + 1), square, square, size=size)
    assert chain.bytes == whole
    total = liveness.peak(lambda x: jnp.sum(jnp.tanh(x) * 2), square, size=size)
    assert total.bytes == 4
    # Of a scan: what it stacks up (8 quarters), a slice of what it walks over, the slice it makes.
    slices = jax.ShapeDtypeStruct((8, 256, 64), jnp.float32)

    def scanned(c, xs):
        return jax.lax.scan(lambda c, x: (c, c @ x), c, xs)

    found = liveness.peak(scanned, square, slices, size=size)
    assert found.bytes == (8 + 1 + 1) * whole / 4


def test_the_state_is_counted_exactly():
    """Parameters and moments of surgvlm-tiny in float32; half of the moments in bfloat16."""
    count = sum(x.size for x in jax.tree.leaves(model_config("surgvlm-tiny").build().abstract()))
    found = plan.plan(experiment(), one_device())
    assert found.counts == (count, count)
    assert found.parameters == found.gradients == 4 * count
    assert found.optimizer == pytest.approx(8 * count, abs=64)  # and the counts of steps
    light = experiment(optim=OptimConfig(moments="bfloat16", ema=0.99))
    found = plan.plan(light, one_device())
    assert found.optimizer == pytest.approx(4 * count, abs=64)
    assert found.average == 4 * count
    # tokens, segments, prefix, mask, index, 3 positions: 8 words a token; 1176 pixels and 4 a patch
    assert found.batch == 2 * 8 * 4 * (96 * 8 + 64 * (1176 + 4))


def test_what_is_not_trained_has_neither_moments_nor_gradients():
    found = plan.plan(experiment(trainable="merger"), one_device())
    whole = plan.plan(experiment(), one_device())
    learned = found.counts[1]
    assert 0 < learned < 0.2 * found.counts[0]
    assert found.gradients == 4 * learned
    assert found.optimizer == pytest.approx(8 * learned, abs=64)
    assert found.parameters == whole.parameters and found.step < whole.step


@pytest.mark.parametrize(
    "overrides",
    [
        {},
        {"remat": "dots", "vision_remat": "dots"},
        {"remat": "full", "vision_remat": "full"},
        {"text.depth": 12, "remat": "full"},
    ],
    ids=str,
)
def test_the_estimate_is_near_the_compiled_step(overrides):
    settings = experiment(overrides, rows=8, bucket=(192, 256))
    estimate = plan.plan(settings, one_device())
    measured = plan.plan(settings, one_device(), measure=True)
    assert measured.measured and "compiled step" in measured.table()
    assert 1 / FACTOR < estimate.step / measured.step < FACTOR, (estimate, measured)
    exact = [dataclasses.replace(p, step=0, logits=0, measured=False) for p in (estimate, measured)]
    assert exact[0] == exact[1]


@pytest.mark.parametrize(
    "sizes", [{"data": 8}, {"data": 1, "fsdp": 8}, {"data": 2, "fsdp": 2, "tensor": 2}], ids=str
)
def test_the_estimate_on_a_mesh(sizes):
    settings = experiment(
        {"remat": "full", "vision_remat": "full"},
        rows=16,
        bucket=(192, 256),
        mesh=MeshConfig(**sizes),
    )
    imagined = plan.plan(settings, plan.planned_mesh(settings, 8))
    measured = plan.plan(settings, parallel.make_mesh(**sizes), measure=True)
    assert imagined.mesh == measured.mesh and imagined.parameters == measured.parameters
    # With `tensor` the estimate counts attention heads whole.
    most = FACTOR if "tensor" not in sizes else 2 * FACTOR
    assert 1 / FACTOR < imagined.step / measured.step < most


def test_microbatches_hold_less():
    whole = plan.plan(experiment(rows=16), one_device())
    cut = plan.plan(experiment(rows=16, optim=OptimConfig(accumulate=4)), one_device())
    assert cut.rows == 4 and cut.step < 0.5 * whole.step
    with pytest.raises(ValueError, match=r"data.batch_size 16 cannot be cut .*multiple of 3"):
        plan.plan(experiment(rows=16, optim=OptimConfig(accumulate=3)), one_device())


def test_a_batch_that_cannot_be_cut_is_refused_without_a_plan(tmp_path):
    settings = experiment(rows=12, check_memory=False, optim=OptimConfig(accumulate=4))
    with pytest.raises(ValueError, match=r"data.batch_size 12 cannot be cut .*multiple of 32"):
        train(settings, tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("name", "trainable", "devices", "gib"),
    [  # 4 bytes a parameter over the devices
        ("surgvlm-7b", ".*", 8, 8.29e9 * 4 / 8 / 2**30),
        ("surgvlm-32b", "merger", 8, 33.45e9 * 4 / 8 / 2**30),
        ("surgvlm-72b", "merger", 16, 73.41e9 * 4 / 16 / 2**30),
    ],
)
def test_published_sizes_are_planned_in_seconds(name, trainable, devices, gib):
    settings = experiment(
        name=name,
        trainable=trainable,
        rows=16,
        bucket=(4096, 4096),
        mesh=MeshConfig(data=1, fsdp=-1),
    )
    started = time.perf_counter()
    found = plan.plan(settings, plan.planned_mesh(settings, devices))
    assert time.perf_counter() - started < 30
    assert found.parameters / 2**30 == pytest.approx(gib, rel=0.01)
    assert found.total > found.parameters + found.optimizer + found.gradients


def test_a_run_that_cannot_fit_is_refused_with_the_ways_out(monkeypatch):
    settings = experiment(rows=32, bucket=(192, 256))
    whole = plan.plan(settings, one_device())
    monkeypatch.setattr(plan, "device_memory", lambda mesh: whole.parameters)
    with pytest.raises(ValueError) as error:
        plan.check(settings, one_device())
    said = str(error.value)
    assert "DOES NOT FIT" in said and "--config.check_memory=false" in said
    levers = ["remat=full", "batch_size=16", "moments=bfloat16", "trainable=merger", "fsdp=8"]
    assert [said.index(lever) for lever in levers] == sorted(said.index(lever) for lever in levers)
    for line in said.splitlines():  # every lever takes something off
        if found := re.search(r"(=full|=16 .*|=bfloat16|=merger|fsdp=8) +([\d.,]+)", line):
            assert float(found[2]) < whole.total / 2**30
    assert sum("fits" in line for line in said.splitlines()) == 0


def test_the_compiler_has_the_last_word(monkeypatch):
    """The estimate says no and the state alone would fit: the step is compiled."""
    settings = experiment()
    found = plan.plan(settings, one_device())
    monkeypatch.setattr(plan, "device_memory", lambda mesh: found.total * 0.9)
    asked = []

    def compiled(step):
        def measured(*arguments):
            asked.append(step)
            return step

        return measured

    monkeypatch.setattr(plan, "_measured", compiled(found.step * 0.8))
    plan.check(settings, one_device())
    assert len(asked) == 1
    monkeypatch.setattr(plan, "_measured", compiled(found.step * 1.2))
    with pytest.raises(ValueError, match=r"one step \(compiled step\)"):
        plan.check(settings, one_device())


def test_memory_of_this_machine():
    """The devices of a CPU share the host's memory; what fits is not refused."""
    memory = plan.device_memory(parallel.make_mesh())
    assert memory is None or 1e7 < memory < 1e15
    plan.check(experiment(rows=8, bucket=(64, 0)), one_device())


PROCESS = """
import sys
import jax
rank, port = int(sys.argv[1]), sys.argv[2]
jax.config.update("jax_num_cpu_devices", 2)
jax.distributed.initialize(f"localhost:{port}", num_processes=2, process_id=rank)
from surgzoo.core import parallel
from surgzoo.train import plan

plan._host_memory = lambda: (6.0e9, 4.0e9)[rank]
both = plan.device_memory(parallel.make_mesh())
plan._host_memory = lambda: (None, 4.0e9)[rank]
print(both, plan.device_memory(parallel.make_mesh()))
"""


def test_all_processes_find_the_memory_of_the_smallest():
    with socket.socket() as probe:
        probe.bind(("localhost", 0))
        port = probe.getsockname()[1]
    env = {key: value for key, value in os.environ.items() if key != "XLA_FLAGS"}
    env["PYTHONPATH"] = os.pathsep.join(sys.path)
    started = [
        subprocess.Popen(
            [sys.executable, "-c", PROCESS, str(rank), str(port)],
            stdout=subprocess.PIPE,
            text=True,
            env=env,
        )
        for rank in range(2)
    ]
    outputs = [process.communicate(timeout=120)[0] for process in started]
    assert [process.returncode for process in started] == [0, 0]
    assert [output.splitlines()[-1] for output in outputs] == ["2000000000.0 None"] * 2


def test_the_table():
    found = plan.plan(experiment(), one_device())
    table = found.table(80e9)
    shown = [
        float(x.replace(",", ""))
        for x in re.findall(r"^  \S.*? +([\d.,]+)(?=$|  fits)", table, re.M)
    ]
    assert sum(shown[:-2]) == pytest.approx(shown[-2], abs=0.03) and "74.51  fits" in table
    assert "all of them trained; 1 device" in table
