"""The loop: a generator of steps; logging, checkpoints and profiling are hooks with a period.

Everything that a run depends on is in the `Experiment`. A run folder holds

  config.json      the experiment
  metrics.jsonl    one line a step: loss, accuracy, grad_norm, lr
  checkpoints/     see train/checkpoint.py
  vocabulary/      see train/vocabulary.py; only where texts are read with one from elsewhere

Starting a run whose folder has a checkpoint continues it, bit for bit: example number n is a
function of the config alone (data/pipeline.py), randomness one of (seed, step).
"""

from __future__ import annotations

import dataclasses
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax
import numpy as np
import tqdm

import surgzoo
from surgzoo.core import config as config_lib
from surgzoo.core import parallel
from surgzoo.data import features, feed, mixture, pipeline
from surgzoo.data.media import Stores
from surgzoo.db import identity, schema
from surgzoo.models.build import model_config
from surgzoo.train import adapter, optim, plan, vocabulary
from surgzoo.train.checkpoint import Checkpointer
from surgzoo.train.experiment import Experiment
from surgzoo.train.state import Tree, abstract_state, check_trainable, init_state
from surgzoo.train.step import step_of
from surgzoo.train.writers import JsonlWriter, TensorBoardWriter


@dataclasses.dataclass
class StepInfo:
    """What a hook sees after a step. `metrics` are still on the device."""

    step: int  # optimizer steps done
    state: Tree
    metrics: dict[str, jax.Array]
    data_seconds: float  # waited for the batch
    size: int  # of the batch: tokens without padding, or rows (`Batches.unit`)


class Hook:
    """Called after every step with a matching period, and once at the end."""

    every: int = 1

    def __call__(self, info: StepInfo) -> None:
        raise NotImplementedError

    def close(self) -> None:
        pass


def train(experiment: Experiment, run_dir: str | Path) -> Tree:
    """Trains to `experiment.steps` and returns the final state.

    Raises ValueError when the run folder belongs to another experiment, when the mixture leaks into
    the benchmark, when a part of the mixture is empty, when the batch cannot be cut over the mesh
    and the microbatches, or when a step cannot fit into the devices.
    """
    run_dir = Path(run_dir)
    experiment = dataclasses.replace(experiment, model=adapter.with_lora(experiment.model))
    _check_same(experiment, run_dir)
    mesh = parallel.make_mesh(**dataclasses.asdict(experiment.mesh))
    stores = Stores(experiment.data.data_dir)
    leakage = check_leaks(experiment, stores)
    plan.rows_at_a_time(experiment, mesh)  # here, as the plan is not always made
    if experiment.check_memory:
        plan.check(experiment, mesh)

    settings = experiment.model
    architecture = model_config(settings.name, settings.overrides)
    model = architecture.build()
    check_trainable(model, settings.trainable)
    processor = architecture.processor(vocabulary.of(settings, run_dir))
    tx = optim.optimizer(experiment.optim, experiment.steps)
    use_ema = experiment.optim.ema is not None
    abstract = abstract_state(model, tx, settings.trainable, use_ema, mesh)

    checkpoints = Checkpointer(
        run_dir / "checkpoints",
        experiment.checkpoint_every,
        experiment.keep_checkpoints,
        learned=settings.trainable,
    )
    first, place = checkpoints.latest, None
    if first is not None:
        state = checkpoints.restore(abstract)
        first = int(state["step"])
        place = checkpoints.meta(first).get("place")
        print(f"continuing {run_dir} at step {first}")
    else:
        first = 0
        params = None
        rng = jax.random.key(experiment.seed)
        if settings.weights:
            params = adapter.load_weights(settings, architecture, abstract["params"], rng)
        state = init_state(model, tx, settings.trainable, use_ema, mesh, rng, params)
        del params  # they are the state's now, which a step gives away
    log_size(abstract["params"], mesh)

    batches = feed.batches(
        experiment.data,
        architecture,
        processor,
        stores,
        start=first * experiment.data.batch_size,
        place=place,
        process_index=jax.process_index(),
        process_count=jax.process_count(),
    )
    meta = {
        "experiment": config_lib.to_dict(experiment),
        "model": config_lib.to_dict(architecture),  # with the fields that are not overridden
        "surgzoo": surgzoo.__version__,
        "leakage": schema.to_jsonable(leakage),
        "rows": batches.meta,
    }
    step_fn = step_of(experiment, model, tx, abstract, mesh)
    run_dir.mkdir(parents=True, exist_ok=True)
    if jax.process_index() == 0:
        (run_dir / "config.json").write_text(config_lib.dump(experiment), encoding="utf-8")
        vocabulary.keep(settings, run_dir)
    logger = Logger(experiment, run_dir, first, batches.unit)
    hooks: list[Hook] = [logger, Saver(checkpoints, logger, experiment, meta, batches)]
    if experiment.profile_at:
        hooks.append(Profiler(run_dir / "profile", experiment.profile_at))
    if experiment.steps == 0 and checkpoints.latest is None:  # weights to be asked as they are
        hooks[1](StepInfo(0, state, {}, 0.0, 0))
    try:
        for info in steps(state, step_fn, batches, mesh, first, experiment.steps):
            state = info.state
            for hook in hooks:
                if info.step % hook.every == 0 or info.step == experiment.steps:
                    hook(info)
    finally:
        for hook in reversed(hooks):
            hook.close()
    return state


def steps(
    state: Tree, step_fn: Any, batches: pipeline.Batches, mesh: Any, first: int, last: int
) -> Iterator[StepInfo]:
    """The loop itself. The next batch is fetched while the device works on this one."""
    for number in range(first, last):
        started = time.perf_counter()
        rows = next(batches)
        waited = time.perf_counter() - started
        size = batches.size(rows) * jax.process_count()
        state, metrics = step_fn(state, place(rows, mesh))
        yield StepInfo(number + 1, state, metrics, waited, size)


def place(rows: dict[str, np.ndarray], mesh: Any) -> dict[str, np.ndarray] | dict[str, jax.Array]:
    """This process's rows as the compiled step takes them.

    One process leaves it to the step, whose signature says where rows belong: ten arrays placed one
    by one cost more host time than the whole call (tools/bench/host_time.py).
    """
    return rows if jax.process_count() == 1 else parallel.shard_batch(rows, mesh)


class Logger(Hook):
    """Writes every step's numbers, moves the bar; reads the device every `log_every` steps only."""

    def __init__(self, experiment: Experiment, run_dir: Path, first: int, unit: str):
        self.period = max(experiment.log_every, 1)
        self.last, self.unit = experiment.steps, unit
        self.rate = optim.schedule(experiment.optim, experiment.steps)
        self.writers: list[Any] = []
        self.waiting: list[StepInfo] = []
        self.mark = time.perf_counter()
        if jax.process_index() == 0:
            self.writers.append(JsonlWriter(run_dir / "metrics.jsonl", first))
            if experiment.tensorboard:
                self.writers.append(TensorBoardWriter(run_dir / "tensorboard"))
        self.bar = tqdm.tqdm(
            total=experiment.steps,
            initial=first,
            desc=experiment.name,
            unit="step",
            disable=None if jax.process_index() == 0 else True,
        )

    def __call__(self, info: StepInfo) -> None:
        self.waiting.append(dataclasses.replace(info, state={}))
        if len(self.waiting) >= self.period or info.step == self.last:
            self.flush()

    def flush(self) -> None:
        """Fetches and writes what waits. Also called before a save, so that no line is lost."""
        if not self.waiting:
            return
        fetched = jax.device_get([info.metrics for info in self.waiting])  # waits for the device
        now = time.perf_counter()
        seconds = (now - self.mark) / len(self.waiting)
        self.mark = now
        for info, metrics in zip(self.waiting, fetched, strict=True):
            values = {name: float(value) for name, value in metrics.items()}
            values["lr"] = float(self.rate(info.step - 1))
            for writer in self.writers:
                writer.write(info.step, values)
        wait = sum(info.data_seconds for info in self.waiting) / len(self.waiting)
        size = sum(info.size for info in self.waiting) / len(self.waiting)
        self.bar.update(len(self.waiting))
        self.bar.set_postfix_str(
            f"loss {float(fetched[-1]['loss']):.3f}, {seconds * 1e3:.0f} ms/step, "
            f"wait {wait * 1e3:.0f} ms, {size / seconds:,.0f} {self.unit}/s"
        )
        if (
            self.bar.disable
            and jax.process_index() == 0
            and self.waiting[-1].step % 100 < self.period
        ):
            print(f"step {self.waiting[-1].step}: {self.bar.postfix}", flush=True)
        self.waiting = []

    def close(self) -> None:
        self.flush()
        self.bar.close()
        for writer in self.writers:
            writer.close()


class Saver(Hook):
    """Checkpoints: when due, at the last step, and when preemption is signalled."""

    def __init__(
        self,
        checkpoints: Checkpointer,
        logger: Logger,
        experiment: Experiment,
        meta: dict,
        batches: pipeline.Batches,
    ):
        self.checkpoints, self.logger, self.meta = checkpoints, logger, meta
        self.batches = batches
        self.last, self.batch_size = experiment.steps, experiment.data.batch_size

    def __call__(self, info: StepInfo) -> None:
        force = info.step == self.last and self.checkpoints.latest != self.last
        if force or self.checkpoints.due(info.step):
            self.logger.flush()
            examples = info.step * self.batch_size
            meta = self.meta | {"examples": examples, "place": self.batches.place(examples)}
            self.checkpoints.save(info.step, info.state, meta)

    def close(self) -> None:
        self.checkpoints.close()


class Profiler(Hook):
    """A trace of five steps for TensorBoard or Perfetto."""

    def __init__(self, folder: Path, first: int):
        self.folder, self.first = folder, first

    def __call__(self, info: StepInfo) -> None:
        if info.step == self.first:
            jax.profiler.start_trace(str(self.folder))
        elif info.step == self.first + 5:
            jax.block_until_ready(info.metrics)
            jax.profiler.stop_trace()


def check_leaks(experiment: Experiment, stores: Stores) -> identity.Leakage:
    """Operations that are both trained on and tested on; an error unless it is allowed.

    What the encoder of stored features was trained on counts as trained on.
    """
    train_videos = [
        video for part in experiment.data.mixture for video in mixture.videos(part, stores)
    ]
    name = experiment.data.features
    train_videos += [  # named so that the list tells them from those of the mixture
        dataclasses.replace(video, source=f"{video.source} by the encoder of features '{name}'")
        for video in features.encoder_videos(stores.data_dir, name)[0]
    ]
    test_videos = [
        stored.video
        for source in experiment.eval.sources
        for stored in stores(source).select(experiment.eval.split, experiment.eval.scheme)
    ]
    return identity.check_leakage(train_videos, test_videos, allow=experiment.allow_leak)


def log_size(abstract_params: Tree, mesh: Any) -> None:
    """One line about the model and the mesh."""
    count = sum(leaf.size for leaf in jax.tree.leaves(abstract_params))
    if jax.process_index() == 0:
        sizes = ", ".join(f"{axis} {size}" for axis, size in mesh.shape.items())
        print(f"{count / 1e6:.2f} M parameters on mesh {sizes}")


def _check_same(experiment: Experiment, run_dir: Path) -> None:
    """Raises ValueError when the folder holds a run of another experiment.

    Fields that may differ between two starts of one run: how long, how often, on what mesh.
    """
    free = {"steps", "log_every", "checkpoint_every", "keep_checkpoints", "tensorboard", "mesh"}
    free |= {"profile_at", "eval", "check_memory"}
    path = run_dir / "config.json"
    if not path.exists():
        return
    new = json.loads(config_lib.dump(experiment))
    old = json.loads(path.read_text(encoding="utf-8"))
    # Fields that came up since the run began had their defaults then.
    old = config_lib.to_dict(config_lib.from_dict(Experiment, old))
    old = json.loads(json.dumps(old))
    changed = sorted(
        key for key in new.keys() | old.keys() if key not in free and new.get(key) != old.get(key)
    )
    if changed:
        raise ValueError(
            f"{run_dir} holds a run of another experiment: {', '.join(changed)} differ. Choose "
            f"another --run_dir, or delete that folder to start again."
        )
