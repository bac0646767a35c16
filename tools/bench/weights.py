"""A model in from an HF folder and out to one: seconds, GB/s and peak memory, beside transformers.

    python tools/bench/weights.py                      # surgvlm-7b at full width, 4 + 4 layers
    python tools/bench/weights.py --dtype=float32 --pairs=1
    python tools/bench/weights.py --model=surgvlm-tiny --file_bytes=4000000

Target: peak host memory while importing under 1.3 times the largest file. Rows without a target
(seconds, export) are there to be compared.

Writes a folder of random weights (bfloat16, several files), then in turns, each in a process of its
own: ours reads it and writes it to another folder, transformers does the same. The tensors that
ours wrote must be those that were read, bit for bit. The files are in the page cache for both.

Memory. On a CPU the parameters themselves lie in host memory, on an accelerator they do not; what
counts is what is needed beside them: the peak of the process (VmHWM, which Linux keeps exactly)
less what it had before the call and less the bytes of the parameters. VmHWM counts pages of mapped
files too, which the kernel can take back, so `anonymous` memory, which it cannot, is sampled every
5 ms beside. On a CPU transformers maps the files and copies nothing before a weight is used: every
page is touched once inside the clock, and its anonymous memory is below zero as the parameters
themselves are not in it.
"""

from __future__ import annotations

import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from absl import app, flags

from surgzoo.tools.bench.rows import Row, save

SIDES = ("surgzoo", "transformers")
MUST = "ours <= 1.3"  # peak memory while importing / largest file

_MODEL = flags.DEFINE_string("model", "surgvlm-7b", "A registered model.")
_TEXT = flags.DEFINE_integer("text_layers", 4, "Layers of the language model.")
_VISION = flags.DEFINE_integer("vision_layers", 4, "Layers of the vision tower.")
_DTYPE = flags.DEFINE_enum("dtype", "bfloat16", ["bfloat16", "float32"], "Of the parameters.")
_FILE_BYTES = flags.DEFINE_integer("file_bytes", 3 * 10**9, "Largest size of a file.")
_PAIRS = flags.DEFINE_integer("pairs", 3, "Rounds over both sides; medians count, worst memory.")
_WORK_DIR = flags.DEFINE_string("work_dir", None, "Where the folders go; default a temporary one.")
_OUT = flags.DEFINE_string("out", "weights.json", "Where the numbers go.")
_SIDE = flags.DEFINE_enum("side", None, ["make", *SIDES], "Used by itself.")


def memory() -> dict[str, int]:
    """Bytes of this process: now (VmRSS), anonymous now (RssAnon), most so far (VmHWM)."""
    lines = Path("/proc/self/status").read_text().splitlines()
    found = {line.split(":")[0]: line.split()[1] for line in lines if line.endswith(" kB")}
    return {key: int(found[key]) * 1024 for key in ("VmRSS", "RssAnon", "VmHWM")}


def measured(call: Callable[[], Any], kept: Callable[[Any], int]) -> tuple[Any, dict[str, float]]:
    """Seconds and peak memory of a call; `kept` gives the bytes of its result that stay."""
    Path("/proc/self/clear_refs").write_text("5")  # VmHWM starts again from what there is
    before, most, done = memory(), 0, threading.Event()

    def sample():
        nonlocal most
        while not done.wait(0.005):
            most = max(most, memory()["RssAnon"])

    watch = threading.Thread(target=sample)
    watch.start()
    begin = time.perf_counter()
    result = call()
    seconds = time.perf_counter() - begin
    done.set()
    watch.join()
    size = kept(result)
    return result, {
        "seconds": seconds,
        "beside": memory()["VmHWM"] - before["VmRSS"] - size,
        "beside_anonymous": most - before["RssAnon"] - size,
        "absolute": memory()["VmHWM"],
    }


def config() -> Any:
    from surgzoo.models.build import model_config

    layers = {"text.depth": _TEXT.value, "vision.depth": _VISION.value}
    return model_config(_MODEL.value, layers)


def make(folder: Path) -> None:
    """Random weights in bfloat16: sign and mantissa are random, all lie in +-[1/128, 1/64)."""
    import jax
    import numpy as np

    rng = np.random.default_rng(0)

    def draw(leaf):
        bits = rng.integers(0, 2**16, leaf.size, np.uint16) & 0x807F | 0x3C00
        return bits.view(jax.numpy.bfloat16).reshape(leaf.shape)

    params = jax.tree.map(draw, config().build().abstract())
    config().save_weights(params, folder, dtype="bfloat16", max_file_bytes=_FILE_BYTES.value)


def surgzoo_side(folder: Path, out: Path) -> dict[str, Any]:
    """Ours: parameters on the default device, then a folder of them."""
    import jax

    cfg = config()
    abstract = jax.tree.map(
        lambda leaf: jax.ShapeDtypeStruct(leaf.shape, _DTYPE.value), cfg.build().abstract()
    )
    on_host = jax.devices()[0].platform == "cpu"

    def size(params):
        return sum(leaf.nbytes for leaf in jax.tree.leaves(params)) * on_host

    params, read = measured(lambda: jax.block_until_ready(cfg.load_weights(folder, abstract)), size)
    _, write = measured(
        lambda: cfg.save_weights(
            params, out, dtype=_DTYPE.value, max_file_bytes=_FILE_BYTES.value
        ),
        lambda _: 0,
    )  # fmt: skip
    if _DTYPE.value == "bfloat16":
        same(folder, out)
    return {"import": read, "export": write}


def same(one: Path, other: Path) -> None:
    """Raises when two folders do not hold the same tensors."""
    import numpy as np

    from surgzoo.models.tensor_files import TensorFolder, row_ranges

    with TensorFolder(one) as left, TensorFolder(other) as right:
        if left.shapes != right.shapes:
            raise RuntimeError(f"{one} and {other} hold other tensors")
        for key, shape in left.shapes.items():
            for first, last in row_ranges(0, shape[0], left.row_bytes(key)):
                a, b = left.read(key, first, last), right.read(key, first, last)
                if a.dtype != b.dtype or not np.array_equal(a.view(np.uint16), b.view(np.uint16)):
                    raise RuntimeError(f"{key} is another one in {other}")


def transformers_side(folder: Path, out: Path) -> dict[str, Any]:
    """The same in transformers, on the CPU or the first accelerator."""
    import torch
    import transformers

    device = "cuda" if torch.cuda.is_available() else "cpu"
    kind = getattr(torch, _DTYPE.value)
    load = transformers.Qwen2_5_VLForConditionalGeneration.from_pretrained

    def size(model):
        return sum(p.nbytes for p in model.parameters()) * (device == "cpu")

    def touched():
        model = load(folder, dtype=kind, device_map=device)
        for parameter in model.parameters():
            parameter.detach().reshape(-1)[:: 4096 // parameter.itemsize].sum().item()
        return model

    model, read = measured(touched, size)
    _, write = measured(
        lambda: model.save_pretrained(out, max_shard_size=_FILE_BYTES.value), lambda _: 0
    )
    return {"import": read, "export": write}


def run(side: str, work: Path) -> dict[str, Any]:
    """One side in a process of its own."""
    told = [
        *(
            f"--model={_MODEL.value}",
            f"--dtype={_DTYPE.value}",
            f"--file_bytes={_FILE_BYTES.value}",
        ),
        *(f"--text_layers={_TEXT.value}", f"--vision_layers={_VISION.value}"),
        *(f"--side={side}", f"--work_dir={work}", f"--out={work / 'side.json'}"),
    ]
    shutil.rmtree(work / "out", ignore_errors=True)
    subprocess.run([sys.executable, __file__, *told], check=True)
    return json.loads((work / "side.json").read_text())


def bench(work: Path) -> tuple[list[Row], dict[str, Any]]:
    """The rows, and what else there is to know."""
    run("make", work)
    files = [file.stat().st_size for file in (work / "in").glob("*.safetensors")]
    total, largest = sum(files), max(files)
    rounds = []
    for number in range(_PAIRS.value):
        order = SIDES[:: 1 if number % 2 == 0 else -1]
        rounds.append({side: run(side, work) for side in order})
        rounds[-1]["load"] = os.getloadavg()[0]
    shutil.rmtree(work / "out", ignore_errors=True)

    def median(side: str, what: str, key: str) -> float:
        return statistics.median(r[side][what][key] for r in rounds)

    def worst(side: str, what: str, key: str) -> float:
        return max(r[side][what][key] for r in rounds)

    rows = []
    for what in ("import", "export"):
        for name, key in (("peak memory", "beside"), ("anonymous", "beside_anonymous")):
            ours, peer = (worst(side, what, key) / largest for side in SIDES)
            title = f"{what}: {name} beside the parameters / largest file"
            # On a CPU the mapped side may have less than nothing beside: no ratio of that.
            ratio = ours / peer if peer > 0 else None
            rows.append(Row(title, ours, peer, "x", ratio, MUST if what == "import" else None))
        ours, peer = (median(side, what, "seconds") for side in SIDES)
        rows.append(Row(what, ours, peer, "s", peer / ours))
        rate = [total / seconds / 1e9 for seconds in (ours, peer)]
        rows.append(Row(f"{what}: speed", *rate, "GB/s", peer / ours))
    absolute = {
        side: {what: worst(side, what, "absolute") for what in ("import", "export")}
        for side in SIDES
    }
    facts = {
        "model": _MODEL.value, "text_layers": _TEXT.value, "vision_layers": _VISION.value,
        "dtype": _DTYPE.value, "bytes": total, "files": len(files), "largest_file": largest,
        "absolute_peak": absolute, "rounds": rounds,
    }  # fmt: skip
    return rows, facts


def main(argv):
    del argv
    if _SIDE.value is not None:
        work = Path(_WORK_DIR.value)
        sides = {"surgzoo": surgzoo_side, "transformers": transformers_side}
        if _SIDE.value == "make":
            result = make(work / "in")
        else:
            result = sides[_SIDE.value](work / "in", work / "out")
        Path(_OUT.value).write_text(json.dumps(result))
        return
    with tempfile.TemporaryDirectory(dir=_WORK_DIR.value) as work:
        rows, facts = bench(Path(work))
    save(_OUT.value, rows, **facts)


if __name__ == "__main__":
    app.run(main)
