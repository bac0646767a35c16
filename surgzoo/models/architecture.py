"""What every model's config is. Importing this imports neither JAX nor an image library."""

from __future__ import annotations

import dataclasses
import importlib
import pathlib
from typing import TYPE_CHECKING, Any, ClassVar

from surgzoo.core.contract import Reads
from surgzoo.core.registry import resolve

if TYPE_CHECKING:
    import jax
    from jaxtyping import PyTree

    from surgzoo.models.base import Model


@dataclasses.dataclass(frozen=True)
class Architecture:
    """Sizes and choices of one model as fields, and where its parts are. A subclass is a frozen
    dataclass; an object of it, or a function that returns one, is what gets registered.

    Attributes:
      reads: what the model is fed with and asked by, a contract of `core/contract.py`.
      module: "package.module:Class" of the NNX module, made as Class(config, rngs=rngs). Its
        methods are the verbs of `models/base.py:Model`.
      weights: module with `load(config, folder, abstract, rng)` and `save(config, params, folder)`,
        for files that other programs read and write.
    """

    reads: ClassVar[Reads]
    module: ClassVar[str]
    weights: ClassVar[str]

    def row(self) -> dict[str, tuple[tuple[int, ...], str]]:
        """One typical row of what the model reads: shape and dtype of each field of its contract.

        Costs are counted for it, and checks of all models make inputs like it (`models/verbs.py`).
        """
        raise NotImplementedError(f"{type(self).__name__}.row says what one input looks like")

    def build(self) -> Model:
        """The model's functions; parameters come from `.init(rng)` or `load_weights`."""
        from surgzoo.models.base import Model

        return Model(self, resolve(self.module))

    def processor(self, folder: str | pathlib.Path | None = None) -> Any:
        """What makes arrays of frames and texts; None for a model that reads neither.

        `folder` is where a tokenizer may lie, for models with text.
        """
        return None

    def load_weights(
        self,
        folder: str | pathlib.Path,
        abstract: PyTree[jax.ShapeDtypeStruct] | None = None,
        rng: jax.Array | None = None,
    ) -> dict[str, Any]:
        """Parameters from files, placed as `abstract` says: see `load` of the family's `weights`.

        `rng` draws what files of the family may lack, such as heads and adapters.
        """
        return importlib.import_module(self.weights).load(self, folder, abstract, rng)

    def save_weights(
        self, params: dict[str, Any], folder: str | pathlib.Path, **options: Any
    ) -> list[pathlib.Path]:
        """Writes files that other programs load: see `save` of the family's `weights`."""
        return importlib.import_module(self.weights).save(self, params, folder, **options)
