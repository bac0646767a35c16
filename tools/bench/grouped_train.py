"""Eight questions a frame: training on frame-grouped rows against one question a row.

    python tools/bench/grouped_train.py
    python tools/bench/grouped_train.py --tiny       surgvlm-tiny, whose frames have 64 patches

Both ways take the same conversations, so the same answer tokens count, in rows as long as the
longest of them: one row a frame, or one a conversation. Both start from the same weights, and the
losses must agree, or the program fails. Timed are making the rows from stored frames, and the
training step; a run does the first on threads beside the second. The model is the one of the other
rows on a CPU: 18 M parameters, 256 patches a frame.

Must: a conversation costs at most a third of what it costs in a row of its own.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np
from absl import app, flags

from surgzoo.core.contract import Bucket
from surgzoo.data.media import MediaReader
from surgzoo.data.pipeline import stack
from surgzoo.data.prompts import static_length, units
from surgzoo.data.turns import messages
from surgzoo.db.schema import Conversation
from surgzoo.models.build import model_config
from surgzoo.tools.bench import frames
from surgzoo.tools.bench.rows import Row, save
from surgzoo.tools.bench.synthetic import training
from surgzoo.train.loop import place

_DATA_DIR = flags.DEFINE_string("data_dir", None, "Prepared data; default: rendered anew.")
_FRAMES = flags.DEFINE_integer("frames", 4, "Frames of a step.")
_QUESTIONS = flags.DEFINE_integer("questions", 8, "Questions a frame.")
_PAIRS = flags.DEFINE_integer("pairs", 3, "Turns of both ways.")
_STEPS = flags.DEFINE_integer("steps", 2, "Steps a turn.")
_TINY = flags.DEFINE_bool("tiny", False, "The quickstart's model.")
_OUT = flags.DEFINE_string("out", "grouped_train.json", "Where the numbers go.")

LOSS_TOLERANCE = 1e-3  # of sums in another order, float32


def encode(
    groups: Sequence[Sequence[Conversation]], processor: Any, read: MediaReader, bucket: Bucket
) -> dict[str, np.ndarray]:
    """A batch with one row a group. Raises ValueError when a group does not fit its row."""
    rows = []
    for group in groups:
        visuals, fps = read(group[0].media)
        talks = [messages(item) for item in group]
        row, count = processor.encode_group(talks, visuals, fps=fps, bucket=bucket)
        if count < len(group):
            raise ValueError(f"{group[count].id} does not fit into the row of its frame")
        rows.append(row)
    return stack(rows)


def tight(groups: Sequence[Sequence[Conversation]], processor: Any, read: MediaReader) -> Bucket:
    """The static shape of the longest group."""
    batch = encode(groups, processor, read, processor.buckets[-1])
    tokens = int((batch["segments"] > 0).sum(axis=1).max())
    patches = int((batch["patch_frame"] >= 0).sum(axis=1).max())
    return Bucket(static_length(tokens), patches)


def main(argv):
    del argv
    config = model_config("surgvlm-tiny") if _TINY.value else frames.small_model()
    processor = config.processor(buckets=[*config.input.buckets, (2048, 512)])
    made = training(config)
    with tempfile.TemporaryDirectory() as folder:
        stores = frames.small_source(Path(_DATA_DIR.value or folder))
        items = frames.questions(stores, "train", _FRAMES.value, _QUESTIONS.value)
        measure(made, items, processor, MediaReader(stores))


def measure(made: Any, items: list[Conversation], processor: Any, read: MediaReader) -> None:
    """Trains both ways in turns and writes what a conversation took."""
    ways = {"grouped": units(items, _QUESTIONS.value), "alone": [[item] for item in items]}
    buckets = {way: tight(groups, processor, read) for way, groups in ways.items()}
    states = {way: made.state() for way in ways}

    def step(way: str) -> dict[str, float]:
        begin = time.perf_counter()
        batch = encode(ways[way], processor, read, buckets[way])
        encoded = time.perf_counter()
        states[way], metrics = made.step(states[way], place(batch, made.mesh))
        loss = float(metrics["loss"])
        done = time.perf_counter()
        return {
            "encode_s": encoded - begin,
            "step_s": done - encoded,
            "both_s": done - begin,
            "loss": loss,
            "answer_tokens": float(batch["loss_mask"].sum()),
        }

    first = {way: step(way) for way in ways}  # compiles
    off = abs(first["grouped"]["loss"] - first["alone"]["loss"])
    if off > LOSS_TOLERANCE or first["grouped"]["answer_tokens"] != first["alone"]["answer_tokens"]:
        raise RuntimeError(f"the ways did not train on the same: {first}")
    turns = []
    for _ in range(_PAIRS.value):
        turn = {}
        for way in ways:
            steps = [step(way) for _ in range(_STEPS.value)]
            turn[way] = {key: statistics.median(s[key] for s in steps) for key in steps[0]}
        turns.append(turn)
        print(", ".join(f"{way} {t['both_s']:.2f} s" for way, t in turn.items()), flush=True)

    def row(key: str, name: str, must: str | None = None, aim: str | None = None) -> Row:
        ours, peer = (1e3 * statistics.median(t[w][key] for t in turns) / len(items) for w in ways)
        ratio = statistics.median(turn["alone"][key] / turn["grouped"][key] for turn in turns)
        name = f"{_QUESTIONS.value} questions a frame, training, {name}"
        return Row(name, ours, peer, "ms a conversation", ratio, must, aim)

    save(
        _OUT.value,
        [
            row("both_s", "rows and step", ">= 3", ">= 5"),
            row("step_s", "step alone"),
            row("encode_s", "rows alone"),
        ],
        device=jax.devices()[0].device_kind,
        conversations=len(items),
        shapes={way: (len(ways[way]), *buckets[way]) for way in ways},
        answer_tokens=first["alone"]["answer_tokens"],
        turns=turns,
    )


if __name__ == "__main__":
    app.run(main)
