"""The functional boundary of every model: parameters are a plain nested dict of arrays.

Modules are Flax NNX, but nothing outside `models/` sees one. A `Model` binds a dict of arrays to a
fresh module at each call, so that everything works under plain `jax.jit`, `jax.grad` and Orbax,
without `nnx.jit`, shared references or global state.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Bool, Float, Int, PyTree

from surgzoo.core.contract import Batch

Params = dict[str, Any]


@dataclasses.dataclass(frozen=True)
class Model:
    """A config and the NNX module class that it describes. Hashable, holds no arrays.

    Verbs are capabilities of the module: calling one that the architecture lacks raises
    AttributeError. All are pure and may be traced.
    """

    config: Any
    module: Callable[..., nnx.Module]  # called as module(config, rngs=rngs)

    def init(self, rng: Array) -> Params:
        """Fresh parameters, float32. Under `jax.jit` with out_shardings they are born sharded."""
        return _arrays(nnx.split(self.module(self.config, rngs=nnx.Rngs(rng)))[1])

    def abstract(self) -> PyTree[jax.ShapeDtypeStruct]:
        """Shapes and dtypes of the parameters; allocates nothing."""
        return _arrays(_structure(self)[1])

    def logical_axes(self) -> PyTree[tuple[str | None, ...]]:
        """For every parameter a tuple with one logical axis name, or None, per dimension.

        The leaves are tuples: map over them with `is_leaf=lambda x: isinstance(x, tuple)`.
        """
        return _map_variables(_axes_of, _structure(self)[1])

    def bind(self, params: Params) -> nnx.Module:
        """The module with these parameters, for use inside one traced function."""
        return nnx.merge(_structure(self)[0], params)

    def forward(self, params: Params, batch: Batch) -> Float[Array, "B S V"]:
        """Logits of the next token at every position, float32."""
        return self.bind(params).forward(batch)

    def features(self, params: Params, batch: Batch) -> Float[Array, "B S H"]:
        """Final hidden states, which `logits` reads; for losses that never hold all logits."""
        return self.bind(params).features(batch)

    def head(self, params: Params) -> Float[Array, "H V"]:
        """The kernel of the output head: `logits` are its products with `features`."""
        return self.bind(params).head()

    def logits(self, params: Params, features: Float[Array, "*B H"]) -> Float[Array, "*B V"]:
        """The output head on final hidden states, float32."""
        return self.bind(params).logits(features)

    def prefill(
        self, params: Params, batch: Batch, room: int, ends: Int[Array, "F G"] | None = None
    ) -> tuple[Float[Array, "B V"], Any]:
        """Reads prompts. Returns the logits at the end of each, and the cache.

        A row of the batch holds one prompt or, frame-grouped, several about the same media. `ends`
        says at which tokens of each of the F rows the G prompts end (-1: there are fewer); without
        it there is one, which ends where the padding begins. From here on a prompt is a row: B is
        F * G, the prompts of one row of the batch beside each other.

        `room` is how many tokens may be appended to each. The cache has a method `select(kept)`
        that keeps some of the G prompts of each row, by their numbers [F, g].
        """
        return self.bind(params).prefill(batch, room, ends)

    def extend(
        self,
        params: Params,
        cache: Any,
        tokens: Int[Array, "B S"],
        positions: Int[Array, "B 3 S"] | None = None,
    ) -> tuple[Float[Array, "B S V"], Any]:
        """Appends tokens to every prompt. Returns their logits and the longer cache.

        `positions` defaults to the ones that follow in each prompt.
        """
        return self.bind(params).extend(cache, tokens, positions)

    def embed_image(self, params: Params, images: Float[Array, "B H W C"]) -> Float[Array, "B E"]:
        """Embeddings of normalised images, of length one (L2), float32."""
        return self.bind(params).embed_image(images)

    def embed_text(
        self, params: Params, tokens: Int[Array, "B S"], mask: Bool[Array, "B S"]
    ) -> Float[Array, "B E"]:
        """Embeddings of texts, of length one (L2), float32; `mask` is True where a text is read."""
        return self.bind(params).embed_text(tokens, mask)

    def raw_image(self, params: Params, images: Float[Array, "B H W C"]) -> Float[Array, "B E"]:
        """As `embed_image`, of the length that the tower gives them: what SurgVLP is trained on."""
        return self.bind(params).raw_image(images)

    def raw_text(
        self, params: Params, tokens: Int[Array, "B S"], mask: Bool[Array, "B S"]
    ) -> Float[Array, "B E"]:
        """As `embed_text`, of the length that the tower gives them."""
        return self.bind(params).raw_text(tokens, mask)

    def similarity(
        self, params: Params, images: Float[Array, "I E"], texts: Float[Array, "T E"]
    ) -> Float[Array, "I T"]:
        """Logits of embedded images against embedded texts: scaled, shifted cosines."""
        return self.bind(params).similarity(images, texts)

    def image_features(
        self, params: Params, images: Float[Array, "B H W C"]
    ) -> Float[Array, "B P D"]:
        """Hidden states of the patches, or cells, of normalised images, row by row."""
        return self.bind(params).image_features(images)

    def embed_frames(self, params: Params, frames: Mapping[str, Array]) -> Float[Array, "B F"]:
        """One vector a frame, float32, for models that read stored features of a video's frames.

        `frames` is what the processor's `frames(pictures)` makes of B uint8 RGB pictures.
        """
        return self.bind(params).embed_frames(frames)

    def can(self, verb: str) -> bool:
        """Whether the architecture has a verb."""
        return hasattr(self.module, verb)

    def classify(self, params: Params, video: Float[Array, "B T H W 3"]) -> Float[Array, "B C"]:
        """Logits of the classes of clips, float32."""
        return self.bind(params).classify(video)

    def opinion(
        self, params: Params, video: Float[Array, "B T H W 3"]
    ) -> tuple[Float[Array, "B C"], Float[Array, " B"]]:
        """Probabilities of the classes of clips, and the share of ignorance, from 0 to 1."""
        return self.bind(params).opinion(video)

    def label_logits(
        self, params: Params, video: Float[Array, "B T H W 3"]
    ) -> dict[str, Float[Array, "B C"]]:
        """Logits of every classification head by its name, float32."""
        return self.bind(params).label_logits(video)

    def plan(self, params: Params, history: Float[Array, "B S A"]) -> Float[Array, "B S+1 A"]:
        """Logits of the action at each place of a history and behind it, from those before."""
        return self.bind(params).plan(history)

    def label_frames(
        self, params: Params, features: Float[Array, "B T F"]
    ) -> Float[Array, "N B T C"]:
        """Logits of every frame after each of N stages, float32; the last is the result."""
        return self.bind(params).label_frames(features)

    def image_to_image(
        self, params: Params, images: Float[Array, "B H W 3"]
    ) -> Float[Array, "B H W C"]:
        """A map for each image, as the model's processor made it: depth, logits of classes, or RGB
        from 0 to 1, float32."""
        return self.bind(params).image_to_image(images)


def select(array: Array, kept: Int[Array, "F g"]) -> Array:
    """Of each of F rows with G neighbouring entries those `kept`: [F*G, *] to [F*g, *]."""
    rows, count = kept.shape
    array = array.reshape(rows, -1, *array.shape[1:])
    index = kept.reshape(rows, count, *(1,) * (array.ndim - 2))
    # Along an axis, not by flat numbers: what is cut over devices by rows stays where it is.
    return jnp.take_along_axis(array, index, axis=1).reshape(-1, *array.shape[2:])


def parameter_count(model: Model) -> int:
    """The number of parameters, by shapes alone."""
    return sum(leaf.size for leaf in jax.tree.leaves(model.abstract()))


@functools.lru_cache(maxsize=64)
def _structure(model: Model) -> tuple[Any, Any]:
    """The graph definition and the abstract state: both depend on the config only."""
    return nnx.split(nnx.eval_shape(lambda: model.module(model.config, rngs=nnx.Rngs(0))))


def _is_variable(x: Any) -> bool:
    return isinstance(x, nnx.Variable)


def _map_variables(fn: Callable[[nnx.Variable], Any], state: Any) -> Params:
    """A nested dict with `fn(variable)` at the leaves."""
    out: Params = {}
    for path, variable in nnx.to_flat_state(state):
        node = out
        for key in path[:-1]:
            node = node.setdefault(str(key), {})
        node[str(path[-1])] = fn(variable)
    return out


def _arrays(state: Any) -> Params:
    return _map_variables(lambda variable: variable.get_value(), state)


def _axes_of(variable: nnx.Variable) -> tuple[str | None, ...]:
    axes = variable.get_metadata("logical_axes")
    # Layers stacked for lax.scan have one more, leading dimension than they were declared with.
    return ("layers",) * (len(variable.get_value().shape) - len(axes)) + tuple(axes)
