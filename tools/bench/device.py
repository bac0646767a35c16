"""What an accelerator does of what it could: training, decoding, and waiting for the loader.

    python tools/bench/device.py                     one NVIDIA GPU; H200, H100 and A100 are known
    python tools/bench/device.py --only=text,decode --sizes=3b
    python tools/bench/device.py --tiny              anywhere: it works, and measures nothing

Everything computes in bfloat16 over float32 parameters, with AdamW and random weights; the median
of 20 steps counts. Training is of slices: the published widths with four layers in each tower.

  text     model FLOPs utilisation (MFU) on rows of 4096 text tokens: 3B >= 0.42, 7B >= 0.47
  vlm      the same on rows of frames of 854 x 480, the vision tower trained: >= 0.33, >= 0.37
  decode   all layers, greedy. One row: bytes of the weights a second over the memory's bandwidth,
           3B >= 0.5, 7B >= 0.6. 64 rows with 1,024 tokens behind them: the time that reading
           weights and caches takes at that bandwidth over the time of a token, >= 0.5
  loader   the share of a step of the 3B slice in which it waits for rows: <= 0.02

FLOPs are counted by formula (bench/flops.py) and set against the dense bfloat16 peak of the data
sheet. Attention is what the model's config chooses on the device.
"""

from __future__ import annotations

import contextlib
import dataclasses
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from absl import app, flags

from surgzoo.core.contract import Bucket, Message
from surgzoo.data.config import DataConfig, Part
from surgzoo.data.pipeline import stack, training_batches
from surgzoo.decode.greedy import make_greedy
from surgzoo.tools.bench import flops, frames
from surgzoo.tools.bench.rows import Row, save
from surgzoo.tools.bench.synthetic import published, text_rows, training
from surgzoo.train.loop import steps

_TINY = flags.DEFINE_bool("tiny", False, "A small model with short rows, on any device.")
_ONLY = flags.DEFINE_list("only", ["text", "vlm", "decode", "loader"], "Which of them.")
_SIZES = flags.DEFINE_list("sizes", ["3b", "7b"], "Which models.")
_STEPS = flags.DEFINE_integer("steps", 20, "Steps whose median counts.")
_ROWS = flags.DEFINE_integer("rows", 4, "Rows of a training step.")
_REMAT = flags.DEFINE_enum("remat", "dots", ["none", "dots", "full"], "Of both towers.")
_PEAK = flags.DEFINE_float("peak_tflops", None, "Of an unknown device: dense bfloat16.")
_BANDWIDTH = flags.DEFINE_float("bandwidth_tbs", None, "Of an unknown device: memory, TB/s.")
_OUT = flags.DEFINE_string("out", "device.json", "Where the numbers go.")

WARMUP = 3
CONTEXT = 1024  # tokens behind each of 64 rows
MUST = {
    "text": {"3b": ">= 0.42", "7b": ">= 0.47"},
    "vlm": {"3b": ">= 0.33", "7b": ">= 0.37"},
    "decode": {"3b": ">= 0.5", "7b": ">= 0.6"},
}


class Device(NamedTuple):
    """What it could do at most."""

    tflops: float  # dense bfloat16
    bandwidth: float  # TB/s


# Data sheets; of the H200's 4.8 TB/s a plain copy reaches 4.3, which is what rows are set against.
KNOWN = {
    "H200": Device(989, 4.3),
    "H100 80GB HBM3": Device(989, 3.35),
    "A100-SXM4-80GB": Device(312, 2.0),
}


@dataclasses.dataclass(frozen=True)
class Sizes:
    """Of the rows. Training takes `rows` of `text` tokens, or of `vlm` tokens with `images`."""

    rows: int
    text: int
    vlm: int
    images: int
    frame: tuple[int, int]  # height and width in pixels
    context: int
    many: int  # rows that are decoded at a time
    new_tokens: int


FULL = Sizes(4, 4096, 2048, 3, (480, 854), CONTEXT, 64, 129)
# As many new tokens as FULL: of fewer, what they take drowns in what the prompt takes.
TINY = Sizes(2, 32, 64, 2, (56, 84), 16, 3, 129)


def main(argv):
    del argv
    wrong = [name for name in _ONLY.value if name not in MEASURES]
    if wrong:
        raise ValueError(f"--only={wrong[0]}: choose from {', '.join(MEASURES)}")
    kind, limits = jax.devices()[0].device_kind, None
    if not _TINY.value:
        limits = limits_of(jax.devices()[0])
    sizes = TINY if _TINY.value else dataclasses.replace(FULL, rows=_ROWS.value)
    rows: list[Row] = []
    for what in _ONLY.value:
        names = ["tiny"] if _TINY.value else _SIZES.value
        for size in names[:1] if what == "loader" else names:  # one size shows it
            for row in MEASURES[what](size, sizes, limits):
                print(row, flush=True)
                rows.append(row)
    save(_OUT.value, rows, device=kind, limits=limits, tiny=_TINY.value, remat=_REMAT.value)


def limits_of(device: Any) -> Device:
    """What the device could do. Ends the program on a CPU and on an unknown device."""
    if device.platform == "cpu":
        sys.exit(
            "these rows measure an accelerator and JAX sees a CPU only. On a GPU: pip install "
            "'surgzoo[cuda]'; --tiny shows here that the program works"
        )
    if _PEAK.value and _BANDWIDTH.value:
        return Device(_PEAK.value, _BANDWIDTH.value)
    for name, limits in KNOWN.items():
        if name in device.device_kind:
            return limits
    sys.exit(
        f"what a {device.device_kind} could do is not known: give --peak_tflops and --bandwidth_tbs"
    )


def slice_of(size: str, **more: Any) -> Any:
    """Four layers in each tower, as they are trained."""
    remat = {"remat": _REMAT.value, "vision_remat": _REMAT.value}
    return published(size, layers=4, vision_layers=4, **remat, **more)


def seconds(step: Callable[[], Any], runs: int) -> float:
    """The median of so many runs, each waited for."""
    taken = []
    for number in range(WARMUP + runs):
        begin = time.perf_counter()
        jax.block_until_ready(step())
        if number >= WARMUP:
            taken.append(time.perf_counter() - begin)
    return statistics.median(taken)


def trained(config: Any, batch: dict[str, np.ndarray], name: str, must: str, limits: Any) -> Row:
    """The utilisation of training steps on one batch."""
    made = training(config)
    state, placed = made.state(), jax.device_put(batch)

    def step():
        nonlocal state
        state, metrics = made.step(state, placed)
        return metrics

    took = seconds(step, _STEPS.value)
    reached = flops.count(config, batch).training / took / 1e12
    share = reached / limits.tflops if limits else None
    peak = limits.tflops if limits else None
    return Row(name, reached, peak, "TFLOP/s", share, must if limits else None)


def text(size: str, sizes: Sizes, limits: Device | None) -> Iterator[Row]:
    """MFU on text alone."""
    config = slice_of(size)
    batch = text_rows(config, sizes.rows, sizes.text)
    must = MUST["text"].get(size)
    yield trained(config, batch, f"text MFU, {size} slice", must, limits)


def vlm(size: str, sizes: Sizes, limits: Device | None) -> Iterator[Row]:
    """MFU on rows of several frames with text behind them."""
    config = slice_of(size)
    config = dataclasses.replace(
        config, input=dataclasses.replace(config.input, image_size=None, system_prompt=None)
    )
    batch = frame_rows(config, sizes)
    must = MUST["vlm"].get(size)
    yield trained(config, batch, f"VLM MFU, {size} slice", must, limits)


def frame_rows(config: Any, sizes: Sizes) -> dict[str, np.ndarray]:
    """Rows of random frames; what is left of a row is a long answer."""
    rng = np.random.default_rng(0)
    processor = config.processor(buckets=[])
    unit = config.vision.merge**2
    grid = processor.grid(*sizes.frame)
    patches = sizes.images * grid.time * grid.rows * grid.columns
    bucket = Bucket(sizes.vlm, patches)
    room = sizes.vlm - patches // unit - 2 * sizes.images
    if room < 16:
        raise ValueError(f"{sizes.images} frames leave {room} of {sizes.vlm} tokens for text")
    rows = []
    for _ in range(sizes.rows):
        pixels = [rng.integers(0, 256, (*sizes.frame, 3), np.uint8) for _ in range(sizes.images)]
        answer = "." * (room - 14)  # a token each; the turns take the rest
        turns = [Message("user", "?", sizes.images), Message("assistant", answer)]
        rows.append(processor.encode(turns, pixels, bucket=bucket))
    return stack(rows)


def decode(size: str, sizes: Sizes, limits: Device | None) -> Iterator[Row]:
    """Tokens a second of one row and of many, against reading weights and caches."""
    config = published(size, layers=None, vision_layers=1, remat="none", vision_remat="none")
    made = config.build()
    half = jnp.bfloat16

    def cast():  # as it serves: 7B in float32 would need twice the memory for nothing
        params = made.init(jax.random.key(0))
        return jax.tree.map(lambda a: a.astype(half) if a.ndim > 1 else a, params)

    params = jax.jit(cast)()
    weights = 2 * flops.text_weights(config.text)
    for rows, context, must in (
        (1, sizes.context // 8, MUST["decode"].get(size)),
        (sizes.many, sizes.context, ">= 0.5"),
    ):
        batch = jax.device_put(text_rows(config, rows, context))
        few, many = (make_greedy(made, count, -1) for count in (1, sizes.new_tokens))
        runs = max(3, _STEPS.value // 4)
        begun = seconds(lambda few=few, batch=batch: few(params, batch), runs)
        took = seconds(lambda many=many, batch=batch: many(params, batch), runs) - begun
        took /= sizes.new_tokens - 1  # of a token in each row
        # In the middle of the answer; one row's cache is small beside the weights.
        held = context + sizes.new_tokens // 2
        read = weights + rows * held * flops.cache_bytes(config.text, 2)
        share = read / took / 1e12 / limits.bandwidth if limits else None
        floor = rows * limits.bandwidth * 1e12 / read if limits else None
        name = f"decode, {size}, {rows} x {context} tokens"
        yield Row(name, rows / took, floor, "tokens/s", share, must if limits else None)


def loader(size: str, sizes: Sizes, limits: Device | None) -> Iterator[Row]:
    """The share of a step in which the loop waits for rows."""
    config = slice_of(size)
    side = sizes.frame[0] // 28 * 28  # of the source's small frames, enlarged
    config = dataclasses.replace(
        config, input=dataclasses.replace(config.input, image_size=side, system_prompt=None)
    )
    processor = config.processor(buckets=[])
    patches = (side // config.vision.patch) ** 2
    made = training(config)
    with tempfile.TemporaryDirectory() as folder:
        stores = frames.small_source(Path(folder))
        data = DataConfig(
            mixture=tuple(Part(frames.SOURCE, task, config="small") for task in frames.TASKS),
            data_dir=folder,
            batch_size=2 * sizes.rows,
            bucket=(patches // config.vision.merge**2 + 384, patches),
            threads=8,
        )
        batches = training_batches(data, processor, stores)
        waited, whole = [], []
        last = WARMUP + _STEPS.value
        with contextlib.closing(steps(made.state(), made.step, batches, made.mesh, 0, last)) as run:
            begin = time.perf_counter()
            for info in run:
                jax.block_until_ready(info.metrics)
                now = time.perf_counter()
                waited.append(info.data_seconds)
                whole.append(now - begin)
                begin = now
    waited, whole = (statistics.median(x[WARMUP:]) for x in (waited, whole))
    must = "<= 0.02" if limits else None
    yield Row(f"loader wait, {size} slice", waited, whole, "s", waited / whole, must)


MEASURES = {"text": text, "vlm": vlm, "decode": decode, "loader": loader}


if __name__ == "__main__":
    app.run(main)
