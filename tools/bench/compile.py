"""Compiling 28 layers: stacked under one scan, against the same layers side by side.

    python tools/bench/compile.py
    python tools/bench/compile.py --layers=6 --pairs=1

The training step of a text model (8 rows of 256 tokens; surgzoo's own model, state and step) is
traced, lowered and compiled; nothing is run. Both forms take turns with all caches emptied between
them, and without a compilation cache on disk.

  trace + compile    stacked / side by side, both without recomputation: must <= 0.45, aim 0.3
  temporary memory   stacked with `remat: full` / side by side with none, as the compiler planned
                     it: must <= 0.15, aim 0.1
"""

from __future__ import annotations

import statistics
import time
from typing import Any

import jax
from absl import app, flags

from surgzoo.models.qwen2_5_vl.config import Qwen25VLConfig, TextConfig, VisionConfig
from surgzoo.tools.bench.rows import Row, save
from surgzoo.tools.bench.synthetic import text_rows, training

_LAYERS = flags.DEFINE_integer("layers", 28, "Layers of the language model.")
_WIDTH = flags.DEFINE_integer("width", 256, "Its width.")
_ROWS = flags.DEFINE_integer("rows", 8, "Rows of the batch.")
_TOKENS = flags.DEFINE_integer("tokens", 256, "Tokens of a row.")
_PAIRS = flags.DEFINE_integer("pairs", 3, "Turns of both forms.")
_OUT = flags.DEFINE_string("out", "compile.json", "Where the numbers go.")


def config(stacked: bool, remat: str) -> Qwen25VLConfig:
    """A text model; its vision tower, which every model has, is as small as can be."""
    width = _WIDTH.value
    return Qwen25VLConfig(
        text=TextConfig(
            vocab=8192, width=width, depth=_LAYERS.value, heads=width // 32, kv_heads=width // 64,
            mlp=4 * width, tied=False, mrope_sections=(4, 6, 6),
        ),
        vision=VisionConfig(width=16, depth=1, heads=1, mlp=16, full_attention_layers=(0,)),
        scan_layers=stacked,
        remat=remat,
    )  # fmt: skip


def compiled(stacked: bool, remat: str) -> dict[str, Any]:
    """Seconds of tracing and of compiling, and MiB of temporary memory."""
    jax.clear_caches()
    model_config = config(stacked, remat)
    made = training(model_config, pattern="^text/")
    batch = jax.tree.map(
        lambda a: jax.ShapeDtypeStruct(a.shape, a.dtype),
        text_rows(model_config, _ROWS.value, _TOKENS.value),
    )
    begin = time.perf_counter()
    lowered = made.step.lower(made.abstract, batch)
    traced = time.perf_counter()
    memory = lowered.compile().memory_analysis()
    done = time.perf_counter()
    return {
        "stacked": stacked,
        "remat": remat,
        "trace_s": traced - begin,
        "compile_s": done - traced,
        "total_s": done - begin,
        "temp_mib": memory.temp_size_in_bytes / 2**20,
    }


def main(argv):
    del argv
    jax.config.update("jax_enable_compilation_cache", False)
    compiled(True, "none")  # the first call of all also starts the device and loads modules
    pairs = []
    for _ in range(_PAIRS.value):
        pairs.append((compiled(True, "none"), compiled(False, "none")))
        ours, peer = pairs[-1]
        print(f"stacked {ours['total_s']:.2f} s, side by side {peer['total_s']:.2f} s", flush=True)
    # What the compiler plans does not vary: once is enough.
    full = {stacked: compiled(stacked, "full") for stacked in (True, False)}
    none = pairs[0][1]
    rows = [
        Row(
            f"trace + compile, {_LAYERS.value} layers",
            statistics.median(ours["total_s"] for ours, _ in pairs),
            statistics.median(peer["total_s"] for _, peer in pairs),
            "s",
            statistics.median(ours["total_s"] / peer["total_s"] for ours, peer in pairs),
            must="<= 0.45",
            aim="<= 0.3",
        ),
        Row(
            f"temporary memory with remat, {_LAYERS.value} layers",
            full[True]["temp_mib"],
            none["temp_mib"],
            "MiB",
            full[True]["temp_mib"] / none["temp_mib"],
            must="<= 0.15",
            aim="<= 0.1",
        ),
    ]
    save(
        _OUT.value,
        rows,
        device=jax.devices()[0].device_kind,
        pairs=pairs,
        remat_full=list(full.values()),
    )


if __name__ == "__main__":
    app.run(main)
