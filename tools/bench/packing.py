"""Useful tokens in packed rows against padding, and the packer's speed on one core.

    python tools/bench/packing.py --out=packing.json

The mix: 60 % questions about a frame, 20 % captions, 15 % short video, 5 % text alone. A frame of
854 x 480 is 510 image tokens; a video has 4 to 13 slices of 144; texts are log-normal; the mean is
about 695 tokens. Nothing is decoded: lengths decide how full rows are.

  share    of the tokens of all rows, those that are not padding. Ours: windows of --window units,
           each packed by itself, as training does (data/packed.py), with --patches patches for
           every token of a row. Beside it: every unit padded to the row, the best 4 and 6 static
           lengths, and Grain's packers over the same stream with 8 open rows (without a limit on
           patches, which is their best case).
  speed    tokens a second from lengths and single rows to whole packed rows, all arrays of the
           contract except the pixels, on one core; Grain's first fit packs the same arrays. Joining
           with pixels too is memory bandwidth (4,704 bytes a patch) and stands apart.
  planning units a second from conversations to lengths with a tokenizer, which the packer needs.
"""

from __future__ import annotations

import logging
import os
import statistics
import time
from typing import Any

import grain
import numpy as np
from absl import app, flags

from surgzoo.core.contract import Bucket, Message
from surgzoo.data.packing import join, pack
from surgzoo.models.build import model_config
from surgzoo.tools.bench.rows import Row, save

_UNITS = flags.DEFINE_integer("units", 32768, "Units of the mix whose packing is measured.")
_WINDOW = flags.DEFINE_integer("window", 1024, "Units packed together (data.pack_window).")
_PATCHES = flags.DEFINE_float("patches", 4.0, "Patches of a row, for each of its tokens.")
_RUNS = flags.DEFINE_integer("runs", 5, "Repeats of what is timed; the median counts.")
_SEED = flags.DEFINE_integer("seed", 0, "Draws the lengths.")
_OUT = flags.DEFINE_string("out", "packing.json", "Where the numbers go.")

MUST = {4096: "ours >= 0.93", 8192: "ours >= 0.97"}
AIM = {4096: "ours >= 0.95", 8192: "ours >= 0.98"}
MUST_SPEED = "ours >= 5000000"
PATCH_DIM = 1176  # 3 colours x 2 frames x 14 x 14 pixels


def lengths(count: int, seed: int) -> np.ndarray:
    """(count, 2) int64: tokens and patches of the units of the mix."""
    rng = np.random.default_rng(seed)
    kind = rng.choice(4, size=count, p=(0.60, 0.20, 0.15, 0.05))
    text = np.array([70, 150, 130, 250])[kind] * rng.lognormal(-0.08, 0.4, count)
    vision = np.select([kind < 2, kind == 2], [510, 144 * rng.integers(4, 14, count)], 0)
    text = np.clip(text, 16, 2000).astype(np.int64)
    return np.stack([text + vision, 4 * vision], axis=1)


def windows(sizes: np.ndarray) -> list[np.ndarray]:
    return [sizes[i : i + _WINDOW.value] for i in range(0, len(sizes), _WINDOW.value)]


def best_lengths(tokens: np.ndarray, count: int, grid: int = 64) -> float:
    """The useful share with the best `count` static lengths, multiples of `grid`."""
    edges = np.arange(grid, tokens.max() + grid, grid)
    below = np.searchsorted(np.sort(tokens), edges, side="right")  # units that a length holds
    # cost[e]: tokens of rows for all units up to edge e with the lengths used so far
    cost = edges * below
    for _ in range(count - 1):
        cost = np.array(
            [min(cost[e], *(cost[:e] + edges[e] * (below[e] - below[:e])), np.inf)
             for e in range(len(edges))]
        )  # fmt: skip
    return float(tokens.sum() / cost[-1])


def grain_rows(rows: list[dict[str, np.ndarray]], bucket: Bucket, packer: str) -> Any:
    """Grain's packer over single rows, as an iterator of packed rows."""
    from grain import experimental

    of = {key: bucket.patches if key.startswith("patch") else bucket.tokens for key in rows[0]}
    make = getattr(experimental, f"{packer}PackIterDataset")
    dataset = grain.MapDataset.source(rows).to_iter_dataset(grain.ReadOptions(num_threads=0))
    return make(dataset, length_struct=of, num_packing_bins=8, shuffle_bins=False)


def grain_share(tokens: np.ndarray, size: int, packer: str) -> float:
    rows = [{"tokens": np.ones(n, np.int32)} for n in tokens]
    return tokens.sum() / size / sum(1 for _ in grain_rows(rows, Bucket(size, 0), packer))


def shares(sizes: np.ndarray, size: int) -> dict[str, float]:
    """Useful shares at one row length."""
    bucket = (size, int(_PATCHES.value * size) // 4 * 4)
    rows = sum(len(pack(part, bucket)) for part in windows(sizes))
    tokens, patches = sizes.sum(axis=0)
    return {
        "packed": tokens / rows / size,
        "packed_patches": patches / rows / bucket[1],
        "pad_to_max": tokens / len(sizes) / size,
        "lengths_4": best_lengths(sizes[:, 0], 4),
        "lengths_6": best_lengths(sizes[:, 0], 6),
        "grain_first_fit_8": grain_share(sizes[:, 0], size, "FirstFit"),
        "grain_best_fit_8": grain_share(sizes[:, 0], size, "BestFit"),
    }


def single(tokens: int, patches: int, width: int) -> dict[str, np.ndarray]:
    """A row of the contract without padding; `width` numbers a patch."""
    merged = patches // 4
    index = np.full(tokens, -1, np.int32)
    index[4 : 4 + merged] = np.arange(merged)
    mask = np.zeros(tokens, np.float32)
    mask[4 + merged :] = 1
    return {
        "tokens": np.arange(tokens, dtype=np.int32),
        "positions": np.tile(np.arange(tokens, dtype=np.int32), (3, 1)),
        "segments": np.where(np.arange(tokens) < 6 + merged, 1, 2).astype(np.int32),
        "prefix": np.where(np.arange(tokens) < 6 + merged, 0, 1).astype(np.int32),
        "loss_mask": mask,
        "vision_index": index,
        "patches": np.ones((patches, width), np.float32),
        "patch_hw": np.ones((patches, 2), np.int32),
        "patch_window": np.arange(patches, dtype=np.int32) // 64,
        "patch_frame": np.arange(patches, dtype=np.int32) // 2040,
    }


def timed(function: Any) -> float:
    """Median seconds."""
    took = []
    for _ in range(_RUNS.value):
        begin = time.perf_counter()
        function()
        took.append(time.perf_counter() - begin)
    return statistics.median(took)


def speeds(sizes: np.ndarray, size: int) -> dict[str, float]:
    """Tokens a second on one core, at one row length, over one window."""
    sizes = sizes[: _WINDOW.value]
    bucket = Bucket(size, int(_PATCHES.value * size) // 4 * 4)
    total = int(sizes[:, 0].sum())
    rows = [single(tokens, patches, 0) for tokens, patches in sizes.tolist()]

    def ours() -> None:
        for row in pack(sizes, bucket):
            join([rows[number] for number in row], bucket)

    def peer() -> None:
        for _ in grain_rows(flat, bucket, "FirstFit"):
            pass

    # Grain packs along the first axis and makes segments and positions of its own.
    own = ("patches", "segments")
    flat = [{key: row[key].T for key in row if key not in own} for row in rows]
    flat = [{k: v.T if k == "patch_hw" else v for k, v in row.items()} for row in flat]
    some = pack(sizes, bucket)[:4]
    with_pixels = {n: single(*sizes[n].tolist(), PATCH_DIM) for row in some for n in row}
    held = int(sum(sizes[n, 0] for row in some for n in row))

    def pixels() -> None:
        for row in some:
            join([with_pixels[n] for n in row], bucket)

    seconds = {"plan": timed(lambda: pack(sizes, bucket)), "ours": timed(ours), "peer": timed(peer)}
    found = {name: total / took for name, took in seconds.items()}
    moved = timed(pixels)
    size_of = sum(v.nbytes for n in with_pixels for v in with_pixels[n].values())
    return found | {"with_pixels": held / moved, "with_pixels_gb_s": size_of / moved / 1e9}


def planning() -> float:
    """Units a second, eight short questions a frame of 854 x 480: lengths with the tokenizer."""
    processor = model_config("surgvlm-tiny", {"input.image_size": None}).processor()
    outline = np.broadcast_to(np.uint8(0), (480, 854, 3))
    units = [
        [
            [
                Message("user", f"Which of the {n} instruments of part {k} is in view?", 1),
                Message("assistant", f"grasper {k}, hook"),
            ]
            for k in range(8)
        ]
        for n in range(200)
    ]
    took = timed(lambda: [processor.measure_group(unit, [outline]) for unit in units])
    return len(units) / took


def main(argv):
    del argv
    logging.getLogger("absl").setLevel(logging.ERROR)
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    sizes = lengths(_UNITS.value, _SEED.value)
    rows, details = [], {}
    for size in MUST:
        share = details[str(size)] = shares(sizes, size)
        name, ours, peer = f"useful tokens, packed {size}", share["packed"], share["pad_to_max"]
        rows.append(Row(name, ours, peer, "share", ours / peer, MUST[size], AIM[size]))
    speed = {str(size): speeds(sizes, size) for size in MUST}
    for size, found in speed.items():
        name, ours, peer = f"packer, rows of {size}", found["ours"], found["peer"]
        rows.append(Row(name, ours, peer, "tokens/s/core", ours / peer, MUST_SPEED))
    save(
        _OUT.value,
        rows,
        peer="pad to max for shares; Grain's FirstFitPackIterDataset for speed",
        mean_tokens=float(sizes[:, 0].mean()),
        mean_patches=float(sizes[:, 1].mean()),
        units=len(sizes),
        window=_WINDOW.value,
        patches_per_token=_PATCHES.value,
        shares=details,
        tokens_per_second=speed,
        planning_units_per_second=planning(),
    )


if __name__ == "__main__":
    app.run(main)
