"""Checkpoints: Orbax behind one module.

`<run>/checkpoints/<step>/` holds `params` (what inference needs: averaged weights if there are any)
and `train` (optimizer state, raw weights where they differ, step); the meta (full config, examples
seen, code version, overrides of the leakage check) is the checkpoint's custom metadata. A save is
written beside and renamed, so a killed process leaves the previous one intact.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from absl import logging
from orbax.checkpoint import v1 as ocp

from surgzoo.train.state import Tree, flatten, merge


def _expected_without_ocdbt(record: Any) -> bool:
    """Orbax warns at every save, and at some reads, that it found no OCDBT files; we ask for
    none."""
    text = record.getMessage()
    return "Skipping merge of OCDBT" not in text and "TensorStore data files not found" not in text


logging.get_absl_handler().addFilter(_expected_without_ocdbt)


class Checkpointer:
    """Saves every `every` steps without blocking, keeps the last `keep`. Restores on any mesh."""

    def __init__(self, folder: str | Path, every: int = 0, keep: int = 2):
        context = ocp.Context()
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

    @property
    def latest(self) -> int | None:
        """Step of the newest finished checkpoint."""
        found = self._orbax.latest
        return None if found is None else found.step

    def due(self, step: int) -> bool:
        """Whether the period or a preemption signal asks for a save at this step."""
        return self._orbax.should_save(step)

    def save(self, step: int, state: Tree, meta: dict[str, Any]) -> None:
        """Starts a save; returns as soon as the arrays are copied off the device."""
        train = {key: value for key, value in state.items() if key not in ("params", "ema")}
        params = state["params"]
        if "ema" in state:
            train["raw"] = params
            params = merge(params, state["ema"])
        self._orbax.save_checkpointables_async(
            step, {"params": params, "train": train}, force=True, custom_metadata=meta
        )

    def restore(self, abstract: Tree, step: int | None = None) -> Tree:
        """The state as it was saved, placed as `abstract` says (any mesh)."""
        train = {key: value for key, value in abstract.items() if key not in ("params", "ema")}
        if "ema" in abstract:
            train["raw"] = abstract["params"]
        self._check_shapes(abstract["params"], step)
        loaded = self._orbax.load_checkpointables(
            step, {"params": abstract["params"], "train": train}
        )
        state = dict(loaded["train"])
        if "ema" in abstract:
            averaged = flatten(loaded["params"])
            state["ema"] = {path: averaged[path] for path in abstract["ema"]}
            return state | {"params": state.pop("raw")}
        return state | {"params": loaded["params"]}

    def restore_params(self, abstract_params: Tree, step: int | None = None) -> Tree:
        """Only what inference needs. Raises ValueError when the checkpoint is of another model."""
        self._check_shapes(abstract_params, step)
        return self._orbax.load_checkpointables(step, {"params": abstract_params})["params"]

    def _check_shapes(self, abstract_params: Tree, step: int | None) -> None:
        """Raises ValueError with a table of differences; Orbax would print the whole tree."""
        step = self.latest if step is None else step
        if step is None or step not in {found.step for found in self._orbax.checkpoints}:
            there = ", ".join(str(found.step) for found in self._orbax.checkpoints) or "none"
            raise FileNotFoundError(
                f"no checkpoint of step {step} in {self._orbax.directory}; there: {there}"
            )
        saved = self._orbax.checkpointables_metadata(step).metadata["params"]
        saved = {path: tuple(leaf.shape) for path, leaf in flatten(saved).items()}
        wanted = {path: tuple(leaf.shape) for path, leaf in flatten(abstract_params).items()}
        wrong = [
            f"  {path}: checkpoint {saved.get(path, 'none')}, model {wanted.get(path, 'none')}"
            for path in sorted(saved.keys() | wanted.keys())
            if saved.get(path) != wanted.get(path)
        ]
        if wrong:
            raise ValueError(
                f"checkpoint {step} in {self._orbax.directory} does not fit the model: "
                f"{len(wrong)} parameters differ. Was the model's config changed since? "
                "(model.overrides sets its fields.)\n" + "\n".join(wrong[:12])
            )

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
