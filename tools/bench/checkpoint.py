"""A 1.2 GB training state: ours saved and restored beside torch.save and torch.load.

    python tools/bench/checkpoint.py                    # 3 rounds
    python tools/bench/checkpoint.py --gigabytes=0.1 --pairs=5

Targets: an asynchronous save blocks the loop for at most 5% of a synchronous one; a synchronous
save at 0.8 of the speed of torch.save or better; a restore at 0.5 of the speed of torch.load or
better.

The state is that of Adam: 18 parameters and two moments of each, float32, random. In every round
ours and torch's, in turns, save it to a folder on the same disk and restore it, each in a process
of its own, as after a restart (a process that has just given back a gigabyte restores several times
faster, whoever it is). Before the clock runs, each does the same once with a small state. What ours
restores is compared with what was saved. Files are restored from the page cache.

`synchronous` is save and wait, `blocking` the time until the loop may go on, the median of five
saves, each waited for before the next. On a CPU there is no
copy off a device in the blocking time.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import numpy as np
from absl import app, flags

from surgzoo.tools.bench.rows import Row, save
from surgzoo.train.checkpoint import Checkpointer

_GIGABYTES = flags.DEFINE_float("gigabytes", 1.2, "Size of the state, 10**9 bytes.")
_PAIRS = flags.DEFINE_integer("pairs", 3, "Rounds over both sides; medians count.")
_WORK_DIR = flags.DEFINE_string("work_dir", None, "Where files go; default a temporary folder.")
_OUT = flags.DEFINE_string("out", "checkpoint.json", "Where the numbers go.")

_ACT = flags.DEFINE_enum(
    "act", None, ["surgzoo_save", "surgzoo_restore", "torch_save", "torch_restore"],
    "Used by itself.",
)  # fmt: skip
_CHECK = flags.DEFINE_bool("check", False, "Compare what is restored. Used by itself.")

KERNELS = 18
WARM = 0.01  # gigabytes


def shapes(gigabytes: float) -> dict[str, Any]:
    """Parameters and two moments of each, as `train/state.py` nests them, without values."""
    rows = max(round(gigabytes * 1e9 / (3 * KERNELS * 4 * 1024)), 1)
    device = jax.sharding.SingleDeviceSharding(jax.devices()[0])
    kernel = jax.ShapeDtypeStruct((rows, 1024), np.float32, sharding=device)
    names = [f"layer{i}" for i in range(KERNELS)]
    return {
        "params": {name: {"kernel": kernel} for name in names},
        "opt": {moment: {f"{name}/kernel": kernel for name in names} for moment in ("mu", "nu")},
        "step": jax.ShapeDtypeStruct((), np.int32, sharding=device),
    }


def state(gigabytes: float) -> dict[str, Any]:
    """The same with random values; a step of 7."""
    rng = np.random.default_rng(0)

    def draw(leaf):
        value = rng.standard_normal(leaf.shape, np.float32) if leaf.ndim else np.int32(7)
        return jax.device_put(value, leaf.sharding)

    return jax.tree.map(draw, shapes(gigabytes))


def clock(call: Callable[[], Any]) -> float:
    begin = time.perf_counter()
    call()
    return time.perf_counter() - begin


def surgzoo_save(folder: Path, gigabytes: float) -> dict[str, float]:
    tree = state(gigabytes)
    checkpoints = Checkpointer(folder, every=1, keep=1)

    def start(step):
        checkpoints.save(step, tree, {"examples": step})

    def synchronous():
        start(1)
        checkpoints.wait()

    seconds, blocking = clock(synchronous), []
    for step in range(2, 7):
        blocking.append(clock(lambda step=step: start(step)))
        checkpoints.wait()
    checkpoints.close()
    # One blocking time is a few thread switches: what else the machine does shows in each of them.
    return {"save": seconds, "blocking": statistics.median(blocking)}


def surgzoo_restore(folder: Path, gigabytes: float) -> dict[str, float]:
    wanted, checkpoints = shapes(gigabytes), Checkpointer(folder, every=1, keep=1)
    found: list[Any] = []
    seconds = clock(lambda: found.append(jax.block_until_ready(checkpoints.restore(wanted))))
    checkpoints.close()
    if _CHECK.value:
        jax.tree.map(np.testing.assert_array_equal, found[0], state(gigabytes))
    return {"restore": seconds}


def torch_save(folder: Path, gigabytes: float) -> dict[str, float]:
    import torch

    tensors = [torch.from_numpy(np.array(leaf)) for leaf in jax.tree.leaves(state(gigabytes))]
    folder.mkdir()
    return {"save": clock(lambda: torch.save(tensors, folder / "state.pt"))}


def torch_restore(folder: Path, gigabytes: float) -> dict[str, float]:
    import torch

    del gigabytes
    return {"restore": clock(lambda: torch.load(folder / "state.pt"))}


def act(name: str, work: Path, check: bool) -> dict[str, float]:
    """A save or a restore in a process of its own."""
    out = work / "act.json"
    told = [f"--act={name}", f"--work_dir={work}", f"--gigabytes={_GIGABYTES.value}"]
    told += [f"--out={out}", f"--check={check}"]
    subprocess.run([sys.executable, __file__, *told], check=True)
    return json.loads(out.read_text())


def bench(work: Path) -> tuple[list[Row], list[Any]]:
    """The rows, and the seconds of every round."""
    rounds = []
    for number in range(_PAIRS.value):
        with tempfile.TemporaryDirectory(dir=work) as folder:
            done: dict[str, dict[str, float]] = {"surgzoo": {}, "torch": {}}
            for what in ("save", "restore"):
                for side in list(done)[:: 1 if number % 2 == 0 else -1]:
                    done[side] |= act(f"{side}_{what}", Path(folder), check=number == 0)
        rounds.append(done | {"load": os.getloadavg()[0]})

    def median(side: str, key: str) -> float:
        return statistics.median(r[side][key] for r in rounds)

    def row(name, key, peer, peer_key, ratio, must, aim):
        value = statistics.median(ratio(r["surgzoo"][key], r[peer][peer_key]) for r in rounds)
        return Row(name, median("surgzoo", key), median(peer, peer_key), "s", value, must, aim)

    share, speed = (lambda ours, peer: ours / peer), (lambda ours, peer: peer / ours)
    rows = [
        row(
            "asynchronous save: blocking / synchronous", "blocking", "surgzoo", "save", share,
            "<= 0.05", "<= 0.01",
        ),
        row("synchronous save, torch.save", "save", "torch", "save", speed, ">= 0.8", ">= 1"),
        row("restore, torch.load", "restore", "torch", "restore", speed, ">= 0.5", ">= 0.7"),
    ]  # fmt: skip
    return rows, rounds


def main(argv):
    del argv
    if _ACT.value is not None:
        work, call = Path(_WORK_DIR.value), globals()[_ACT.value]
        side = _ACT.value.split("_")[0]
        call(work / f"{side}_warm", WARM)  # restoring finds what saving left there
        Path(_OUT.value).write_text(json.dumps(call(work / side, _GIGABYTES.value)))
        return
    with tempfile.TemporaryDirectory(dir=_WORK_DIR.value) as work:
        rows, rounds = bench(Path(work))
    leaves = jax.tree.leaves(shapes(_GIGABYTES.value))
    size = sum(leaf.size * leaf.dtype.itemsize for leaf in leaves)
    device = jax.devices()[0].device_kind
    save(_OUT.value, rows, bytes=size, arrays=len(leaves), device=device, rounds=rounds)


if __name__ == "__main__":
    app.run(main)
