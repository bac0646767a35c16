"""surgzoo's Qwen2.5-VL beside transformers: training step, vision tower, prefill, greedy decoding.

    python tools/bench/vlm.py --out=vlm.json
    python tools/bench/vlm.py --only=train,vision --pairs=5 --environment=default

Both sides get the same weights (a folder that transformers loads), the same rows and the same
optimizer; losses, vision tokens, logits and decoded tokens must agree or the program fails. Each
side is a process of its own; they take turns, so that other work on the machine hits both alike,
and the ratio of a pair is that of its medians. On a CPU both compute in float32; on a GPU `surgzoo
bench` takes a slice of the 3B in bfloat16, and transformers cuDNN's attention where it can. "tuned"
is the allocator setting of environment.py, for both sides; "default" leaves it alone.

What must hold, times as fast as transformers: training 0.9 (default) or 1.0 (tuned), vision tower
1.25, prefill of 8 rows 1.15 and of one 1.25, decoding of one row 3 and of eight 2.
"""

from __future__ import annotations

import dataclasses
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from absl import app, flags

from surgzoo.tools.bench import environment
from surgzoo.tools.bench.rows import Row, save

_ONLY = flags.DEFINE_list("only", [], "Of: train, vision, prefill, decode. Default: all.")
_PAIRS = flags.DEFINE_integer("pairs", 3, "Turns of both sides.")
_RUNS = flags.DEFINE_integer("runs", 4, "Runs a turn.")
_MODEL = flags.DEFINE_enum("model", "small", ["small", "3b", "7b"], "18 M, or a slice of these.")
_ROWS = flags.DEFINE_integer("rows", 8, "Rows of the batch.")
_TOKENS = flags.DEFINE_integer("tokens", 256, "Tokens a row, image tokens included.")
_IMAGE = flags.DEFINE_integer("image", 224, "Side of the square image, a multiple of 28.")
_NEW_TOKENS = flags.DEFINE_integer("new_tokens", 64, "Decoded.")
_ENVIRONMENT = flags.DEFINE_enum("environment", "tuned", environment.NAMES, "Allocator.")
_SCAN = flags.DEFINE_bool("scan", False, "Stacked layers; six run faster side by side on a CPU.")
_DTYPE = flags.DEFINE_enum("dtype", "float32", ["float32", "bfloat16"], "Of products.")
_ATTENTION = flags.DEFINE_string("attention", "sdpa", "Of transformers.")
_SIDE = flags.DEFINE_bool("side", False, "Internal: be our side, driven line by line.")
_OUT = flags.DEFINE_string("out", "vlm.json", "Where the numbers go.")

LR = 1e-4
TOLERANCE = {"float32": 2e-3, "bfloat16": 0.1}
# (must, aim) by row and, where it matters, by allocator.
TARGETS = {
    ("train", "default"): (">= 0.9", None),
    ("train", "tuned"): (">= 1.0", ">= 1.15"),
    "vision": (">= 1.25", ">= 1.4"),
    "prefill of many": (">= 1.15", ">= 1.3"),
    "prefill of one": (">= 1.25", ">= 1.5"),
    "decode of many": (">= 2", ">= 2.7"),
    "decode of one": (">= 3", ">= 4"),
}
TITLES = {
    "train": "training step",
    "vision": "vision tower",
    "prefill of many": "prefill, {rows} rows",
    "prefill of one": "prefill, 1 row",
    "decode of many": "a decoded token, {rows} rows",
    "decode of one": "a decoded token, 1 row",
}


def base_config(image: int) -> Any:
    """Of both sides: the sizes that the targets on a CPU come from, or a slice of a published one,
    four layers in each tower."""
    from surgzoo.core.contract import Bucket
    from surgzoo.tools.bench.synthetic import published, small

    config = small() if _MODEL.value == "small" else published(_MODEL.value, 4, 4)
    bucket = Bucket(_TOKENS.value, (image // 14) ** 2)
    rows = {"image_size": image, "system_prompt": None, "buckets": (bucket,)}
    return dataclasses.replace(
        config,
        input=dataclasses.replace(config.input, **rows),
        compute_dtype=_DTYPE.value,
        scan_layers=_SCAN.value,
        remat="none",
        vision_remat="none",
    )


class Ours:
    """The same measurements as `vlm_peer.Peer`, of surgzoo."""

    def __init__(self, folder: str):
        import jax

        from surgzoo.models.qwen2_5_vl import hf_config

        self.jax = jax
        base = base_config(_IMAGE.value)
        self.config = hf_config.read_config(
            folder, input=base.input, compute_dtype=base.compute_dtype, scan_layers=_SCAN.value
        )
        self.model = self.config.build()
        self.params = self.config.load_weights(folder)
        self.step = None
        self.ready: dict[Any, Any] = {}

    def load(self, path: str) -> dict:
        jax = self.jax
        arrays = dict(np.load(path))
        self.batch = {key: jax.numpy.asarray(value) for key, value in arrays.items()}
        return {
            "device": jax.devices()[0].device_kind,
            "parameters": sum(leaf.size for leaf in jax.tree.leaves(self.params)),
        }

    def train(self, runs: int, warmup: int, lr: float) -> dict:
        jax = self.jax
        if self.step is None:
            from surgzoo.core import parallel
            from surgzoo.train import optim
            from surgzoo.train.experiment import OptimConfig
            from surgzoo.train.objectives import causal_lm
            from surgzoo.train.state import abstract_state, init_state
            from surgzoo.train.step import make_train_step

            mesh = parallel.make_mesh()
            options = OptimConfig(
                lr=lr, schedule="constant", warmup_steps=0, weight_decay=0.0, clip_norm=1e9
            )
            tx = optim.optimizer(options, 1000)
            abstract = abstract_state(self.model, tx, ".*", False, mesh)
            params = jax.tree.map(jax.numpy.array, self.params)  # the state will be donated
            self.state = init_state(self.model, tx, ".*", False, mesh, jax.random.key(0), params)
            self.step = make_train_step(self.model, causal_lm, tx, abstract, mesh)
        losses: list[Any] = []

        def step():
            self.state, metrics = self.step(self.state, self.batch)
            losses.append(float(metrics["loss"]))

        return {"seconds": self._timed(step, runs, warmup), "losses": losses}

    def vision(self, runs: int, warmup: int) -> dict:
        def see(params, batch):
            return self.model.bind(params).see(batch)

        fn = self.ready.setdefault("vision", self.jax.jit(see))
        seconds = self._timed(lambda: fn(self.params, self.batch), runs, warmup)
        # Ours stand window by window; theirs place by place, as the text refers to them.
        seen, index = fn(self.params, self.batch), self.batch["vision_index"]
        places = np.asarray(index)[np.asarray(index) >= 0].reshape(len(index), -1)
        seen = np.take_along_axis(np.asarray(seen), places[..., None], axis=1)
        return {"seconds": seconds, "check": _summary(seen)}

    def prefill(self, runs: int, warmup: int, rows: int) -> dict:
        batch = self._some(rows)
        fn = self.ready.setdefault("prefill", self.jax.jit(self.model.prefill, static_argnums=2))
        room = _NEW_TOKENS.value
        seconds = self._timed(lambda: fn(self.params, batch, room), runs, warmup)
        return {"seconds": seconds, "check": _summary(fn(self.params, batch, room)[0])}

    def decode(self, runs: int, warmup: int, rows: int, tokens: int) -> dict:
        from surgzoo.decode.greedy import make_greedy

        batch, params = self._some(rows), self.params
        many, one = (make_greedy(self.model, count, -1) for count in (tokens, 1))
        seconds = self._timed(lambda: many(params, batch), runs, warmup)
        single = self._timed(lambda: one(params, batch), runs, warmup)
        out = np.asarray(many(params, batch).tokens)
        return {"seconds": seconds, "one": single, "tokens": out.tolist()}

    def _some(self, rows: int) -> dict:
        return {key: value[:rows] for key, value in self.batch.items()}

    def _timed(self, fn, runs: int, warmup: int) -> list[float]:
        seconds = []
        for number in range(warmup + runs):
            begin = time.perf_counter()
            self.jax.block_until_ready(fn())
            if number >= warmup:
                seconds.append(time.perf_counter() - begin)
        return seconds


def _summary(x: Any) -> list[float]:
    """As in vlm_peer."""
    flat = np.asarray(x, np.float32).reshape(-1)
    some = [float(flat[i * (len(flat) - 1) // 15]) for i in range(16)]
    return [*some, float(np.sqrt(np.mean(flat.astype(np.float64) ** 2)))]


def serve() -> None:
    """Our side: as `vlm_peer.main`."""
    ours = None
    for line in sys.stdin:
        request = json.loads(line)
        do = request.pop("do")
        if do == "open":
            ours = Ours(request["folder"])
            answer = ours.load(request["inputs"])
        else:
            answer = getattr(ours, do)(**request)
        print(json.dumps(answer), flush=True)


class Side:
    """A process that answers JSON lines."""

    def __init__(self, name: str, command: list[str], environment: dict[str, str]):
        self.name = name
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
        )

    def ask(self, do: str, **keywords: Any) -> dict:
        self._process.stdin.write(json.dumps({"do": do, **keywords}) + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"the {self.name} side died; its messages stand above")
        return json.loads(line)

    def close(self) -> None:
        self._process.stdin.close()
        self._process.wait()


def make_inputs(folder: Path) -> None:
    """Random weights as a folder, and the same rows for both sides."""
    import jax

    from surgzoo.core.contract import Message

    jax.config.update("jax_platforms", "cpu")  # a GPU is for the two sides
    config = base_config(_IMAGE.value)
    params = jax.jit(config.build().init)(jax.random.key(0))
    config.save_weights(params, folder / "weights")
    processor = config.processor()
    rng = np.random.default_rng(0)
    words = ["grasper", "hook", "liver", "clips", "the", "gallbladder", "phase", "of", "a", "cut"]
    rows = []
    for _ in range(_ROWS.value):
        image = rng.integers(0, 256, (_IMAGE.value, _IMAGE.value, 3), np.uint8)
        text = ""
        while True:  # exactly full, so that neither side computes padding
            word = f"{words[rng.integers(len(words))]} "
            longer = Message("user", text + word, images=1)
            try:
                row = processor.encode([longer], [image])
            except ValueError:
                break
            text += word
        row = processor.encode([Message("user", text, images=1)], [image])
        short = int((row["segments"] == 0).sum())
        if short:
            row = processor.encode([Message("user", text + "." * short, images=1)], [image])
        if not (row["segments"] == 1).all():
            raise RuntimeError("a row could not be filled exactly")
        row["loss_mask"] = (row["vision_index"] < 0).astype(np.float32)
        rows.append(row)
    batch = {key: np.stack([row[key] for row in rows]) for key in rows[0]}
    np.savez(folder / "ours.npz", **batch)

    grid = _IMAGE.value // 14
    # Theirs come frame by frame, the four patches of a token together, tokens row by row.
    y, x = batch["patch_hw"][..., 0], batch["patch_hw"][..., 1]
    key = ((y // 2 * grid + x // 2) * 2 + y % 2) * 2 + x % 2
    order = np.argsort(key, axis=1)
    pixels = np.take_along_axis(batch["patches"], order[..., None], axis=1)
    tokens = batch["tokens"].astype(np.int64)
    seen = batch["vision_index"] >= 0
    np.savez(
        folder / "theirs.npz",
        input_ids=tokens,
        attention_mask=np.ones_like(tokens),
        mm_token_type_ids=seen.astype(np.int32),
        pixel_values=pixels.reshape(-1, pixels.shape[-1]),
        image_grid_thw=np.tile(np.array([[1, grid, grid]]), (len(tokens), 1)),
        labels=np.where(seen, -100, tokens),
    )


def check(what: str, ours: Any, theirs: Any) -> None:
    """Raises RuntimeError when the sides did not compute the same.

    Not for tokens in bfloat16: two near logits change places there, and what follows differs.
    """
    if what == "tokens":
        if ours != theirs and _DTYPE.value == "float32":
            raise RuntimeError("the sides decoded different tokens")
        return
    theirs = np.array(theirs)
    off = float(np.max(np.abs(np.array(ours) - theirs)) / max(1.0, np.max(np.abs(theirs))))
    if off > TOLERANCE[_DTYPE.value]:
        raise RuntimeError(f"the sides differ in {what} by {off:.2g}: {ours[:4]} {theirs[:4]}")


def measure(ours: Side, theirs: Side) -> dict[str, list[tuple[float, float]]]:
    """Seconds of both sides, turn by turn."""
    wanted = _ONLY.value or ["train", "vision", "prefill", "decode"]
    jobs: dict[str, tuple[str, dict[str, Any]]] = {}
    for what in wanted:
        if what in ("prefill", "decode"):
            for rows, name in ((_ROWS.value, "many"), (1, "one")):
                more = {"tokens": _NEW_TOKENS.value + 1} if what == "decode" else {}
                jobs[f"{what} of {name}"] = (what, {"rows": rows, **more})
        elif what == "train":
            jobs[what] = (what, {"lr": LR})
        else:
            jobs[what] = (what, {})
    # Training moves the weights: inference first.
    order = sorted(jobs, key=lambda name: name == "train")
    result: dict[str, list[tuple[float, float]]] = {}
    for name in order:
        what, keywords = jobs[name]
        pairs = []
        for number in range(_PAIRS.value):
            options = {"runs": _RUNS.value, "warmup": 2 if number == 0 else 1, **keywords}
            a, b = ours.ask(what, **options), theirs.ask(what, **options)
            for key in ("check", "losses", "tokens"):
                if key in a:
                    check(key, a[key], b[key])
            pairs.append((_seconds(a), _seconds(b)))
        result[name] = pairs
        ratios = ", ".join(f"{b / a:.2f}" for a, b in pairs)
        print(f"{name}: {ratios} times as fast", flush=True)
    return result


def _seconds(answer: dict) -> float:
    """Of a run; of a decoded token, the prompt taken off."""
    median = statistics.median(answer["seconds"])
    if "one" not in answer:
        return median
    return (median - statistics.median(answer["one"])) / _NEW_TOKENS.value


def main(argv):
    del argv
    if _SIDE.value:
        serve()
        return
    variables = environment.variables(_ENVIRONMENT.value, os.environ)
    variables["XLA_PYTHON_CLIENT_PREALLOCATE"] = "false"  # both sides share a GPU's memory
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make_inputs(folder)
        passed = [
            f"--{flag}={flags.FLAGS[flag].value}"
            for flag in ("model", "rows", "tokens", "image", "new_tokens", "scan", "dtype")
        ]
        ours = Side("surgzoo", [sys.executable, __file__, "--side", *passed], variables)
        here = Path(__file__).with_name("vlm_peer.py")
        theirs = Side("transformers", [sys.executable, str(here)], variables)
        try:
            mine = ours.ask("open", folder=name + "/weights", inputs=name + "/ours.npz")
            device = "cuda" if mine["device"].lower().startswith("nvidia") else "cpu"
            other = theirs.ask(
                "open", folder=name + "/weights", inputs=name + "/theirs.npz", device=device,
                dtype=_DTYPE.value, attention=_ATTENTION.value,
            )  # fmt: skip
            if mine["parameters"] != other["parameters"]:
                raise RuntimeError(f"different sizes: {mine['parameters']}, {other['parameters']}")
            numbers = measure(ours, theirs)
        finally:
            ours.close()
            theirs.close()
    allocator = _ENVIRONMENT.value
    rows = []
    for name, pairs in numbers.items():
        must, aim = TARGETS.get(name) or TARGETS[name, allocator]
        rows.append(
            Row(
                f"{TITLES[name].format(rows=_ROWS.value)} ({allocator})",
                ours=statistics.median(a for a, _ in pairs),
                peer=statistics.median(b for _, b in pairs),
                unit="s",
                ratio=statistics.median(b / a for a, b in pairs),
                must=must,
                aim=aim,
            )
        )
    save(
        _OUT.value,
        rows,
        device=mine["device"],
        threads_of_peer=other["threads"],
        parameters=mine["parameters"],
        model=_MODEL.value,
        dtype=_DTYPE.value,
        scan=_SCAN.value,
        environment=allocator,
        turns=numbers,
    )


if __name__ == "__main__":
    app.run(main)
