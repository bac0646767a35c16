"""Checkpoints: Orbax behind one module.

`<run>/checkpoints/<step>/` holds `params` (what inference needs: averaged weights if there are any)
and `train` (optimizer state, raw weights where they differ, step); the meta (full config, examples
seen, code version, overrides of the leakage check) is the checkpoint's custom metadata. A save is
written beside and renamed, so a killed process leaves the previous one intact.

What a run does not train stands once in `<run>/checkpoints/frozen/`, written before the first
checkpoint, and in no checkpoint: of a large model with adapters it is nearly everything.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Set
from pathlib import Path
from typing import Any

from absl import logging
from flax.traverse_util import unflatten_dict
from orbax.checkpoint import v1 as ocp

from surgzoo.train.state import Tree, flatten, merge, trainable


def _expected_without_ocdbt(record: Any) -> bool:
    """Orbax warns at every save, and at some reads, that it found no OCDBT files; we ask for
    none."""
    text = record.getMessage()
    return "Skipping merge of OCDBT" not in text and "TensorStore data files not found" not in text


logging.get_absl_handler().addFilter(_expected_without_ocdbt)


class Checkpointer:
    """Saves every `every` steps without blocking, keeps the last `keep`. Restores on any mesh.

    Who saves says what changes between two saves: `learned`, a regular expression over paths.
    """

    def __init__(self, folder: str | Path, every: int = 0, keep: int = 2, learned: str = ".*"):
        self._frozen, self._learned = Path(folder).absolute() / "frozen", learned
        self._context = context = ocp.Context()
        context.array.saving.use_ocdbt = False  # 2-4x slower on a file system
        context.array.saving.use_compression = False  # 4x slower; random bits do not shrink
        policies = ocp.training.save_decision_policies
        decide: list[Any] = [policies.PreemptionCheckpointingPolicy()]
        if every:
            decide.append(policies.FixedIntervalPolicy(every))
        self._orbax = ocp.training.Checkpointer(
            Path(folder).absolute(),
            context=context,
            save_decision_policy=policies.AnySavePolicy(decide),
            preservation_policy=ocp.training.preservation_policies.LatestN(keep),
        )
        # What lies there without a checkpoint is of a run that was given up before its first one.
        self._frozen_saved = self._orbax.latest is not None and self._frozen.exists()

    @property
    def latest(self) -> int | None:
        """Step of the newest finished checkpoint."""
        found = self._orbax.latest
        return None if found is None else found.step

    def due(self, step: int) -> bool:
        """Whether the period or a preemption signal asks for a save at this step."""
        return self._orbax.should_save(step)

    def save(self, step: int, state: Tree, meta: dict[str, Any]) -> None:
        """Starts a save; returns as soon as the arrays are copied off the device.

        The first one of a run waits until what is not trained is on disk.
        """
        train = {key: value for key, value in state.items() if key not in ("params", "ema")}
        params = state["params"]
        paths = trainable(params, self._learned).keys()
        frozen = _without(params, paths)
        if frozen and not self._frozen_saved:
            with self._context:
                ocp.save_checkpointables(self._frozen, {"params": frozen}, overwrite=True)
        self._frozen_saved = True
        learned = _only(params, paths)
        if "ema" in state:
            train["raw"] = learned
            learned = merge(learned, state["ema"])
        self._orbax.save_checkpointables_async(
            step, {"params": learned, "train": train}, force=True, custom_metadata=meta
        )

    def restore(self, abstract: Tree, step: int | None = None) -> Tree:
        """The state as it was saved, placed as `abstract` says (any mesh)."""
        train = {key: value for key, value in abstract.items() if key not in ("params", "ema")}
        here = self._places(abstract["params"], step)
        if "ema" in abstract:
            train["raw"] = _only(abstract["params"], here)
        params, state = self._load(abstract["params"], here, step, {"train": train})
        state = dict(state["train"])
        if "ema" in abstract:
            averaged = flatten(params)
            state["ema"] = {path: averaged[path] for path in abstract["ema"]}
            params = merge(params, flatten(state.pop("raw")))
        return state | {"params": params}

    def restore_params(self, abstract_params: Tree, step: int | None = None) -> Tree:
        """Only what inference needs. Raises ValueError when the checkpoint is of another model."""
        return self._load(abstract_params, self._places(abstract_params, step), step, {})[0]

    def _load(
        self, abstract_params: Tree, here: Set[str], step: int | None, more: Tree
    ) -> tuple[Tree, Tree]:
        """The parameters, those `here` from the checkpoint itself, and `more` of its parts."""
        with self._naming(step):
            loaded = self._orbax.load_checkpointables(
                step, {"params": _only(abstract_params, here), **more}
            )
        params, elsewhere = loaded.pop("params"), _without(abstract_params, here)
        if elsewhere:
            with self._naming("frozen"), self._context:
                frozen = ocp.load_checkpointables(self._frozen, {"params": elsewhere})["params"]
            found = flatten(params) | flatten(frozen)
            params = merge(abstract_params, found)  # in the order of the model
        return params, loaded

    def _places(self, abstract_params: Tree, step: int | None) -> Set[str]:
        """Paths of the parameters that the checkpoint itself holds, not the frozen part.

        Raises ValueError with a table of differences; Orbax would print the whole tree.
        """
        step = self.latest if step is None else step
        if step is None or step not in {found.step for found in self._orbax.checkpoints}:
            there = ", ".join(str(found.step) for found in self._orbax.checkpoints) or "none"
            raise FileNotFoundError(
                f"no checkpoint of step {step} in {self._orbax.directory}; there: {there}"
            )
        with self._naming(step):
            own = _shapes(self._orbax.checkpointables_metadata(step).metadata["params"])
        saved, wanted = own, _shapes(abstract_params)
        if wanted.keys() - own.keys() and self._frozen.exists():
            with self._naming("frozen"), self._context:
                saved = _shapes(ocp.checkpointables_metadata(self._frozen).metadata["params"]) | own
        wrong = [
            f"  {path}: checkpoint {saved.get(path, 'none')}, model {wanted.get(path, 'none')}"
            for path in sorted(saved.keys() | wanted.keys())
            if saved.get(path) != wanted.get(path)
        ]
        if wrong:
            where = f"checkpoint {step} in {self._orbax.directory}"
            if own.items() <= wanted.items() and not self._frozen.exists():
                raise FileNotFoundError(
                    f"{where} lacks {len(wrong)} of {len(wanted)} parameters, and there is no "
                    f"{self._frozen}, which holds what a run does not train: copy it too. "
                    "Or was the model's config changed since?"
                )
            raise ValueError(
                f"{where} does not fit the model: {len(wrong)} parameters differ. Was the model's "
                "config changed since? (model.overrides sets its fields.)\n" + "\n".join(wrong[:12])
            )
        return own.keys()

    @contextlib.contextmanager
    def _naming(self, part: int | str | None) -> Iterator[None]:
        """Damaged files as a ValueError that names them; Orbax says whole trees, or a key."""
        try:
            yield
        except Exception as error:
            steps = ", ".join(str(found.step) for found in self._orbax.checkpoints)
            part = self.latest if part is None else part
            raise ValueError(
                f"{self._orbax.directory / str(part)} cannot be read; is it damaged, or copied in "
                f"part? Copy it again, or take another step (there: {steps}). "
                f"({type(error).__name__}: {str(error)[:200]})"
            ) from error

    def meta(self, step: int | None = None) -> dict[str, Any]:
        """The meta that was saved with a checkpoint."""
        found = self._orbax.latest if step is None else self._orbax.metadata(step)
        if found is None:
            raise FileNotFoundError(f"no finished checkpoint in {self._orbax.directory}")
        return self._orbax.metadata(found.step).custom_metadata

    def wait(self) -> None:
        """Blocks until saves are on disk."""
        self._orbax.wait()

    def close(self) -> None:
        self._orbax.close()


def _shapes(params: Tree) -> dict[str, tuple[int, ...]]:
    return {path: tuple(leaf.shape) for path, leaf in flatten(params).items()}


def _only(params: Tree, paths: Set[str]) -> Tree:
    """The nested dict with nothing but these paths."""
    kept = {path: leaf for path, leaf in flatten(params).items() if path in paths}
    return unflatten_dict(kept, sep="/")


def _without(params: Tree, paths: Set[str]) -> Tree:
    return _only(params, flatten(params).keys() - paths)
