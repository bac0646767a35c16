"""What a model can be asked, and one row of what it reads: for costs and for checks of any model.

A verb here is a function of (params, batch), whose batch has the fields of the contract that the
model reads (`core/contract.py`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import ShapeDtypeStruct

from surgzoo.models.architecture import Architecture
from surgzoo.models.base import Model, Params

Batch = dict[str, Any]
Verb = Callable[[Params, Batch], Any]

# Verb -> how it is asked. Those of one contract stand together, the chief ones first.
ASKED: dict[str, Callable[[Model, Params, Batch], Any]] = {
    "forward": lambda m, p, b: m.forward(p, b),
    "prefill": lambda m, p, b: m.prefill(p, b, 1)[0],
    "extend": lambda m, p, b: _extend(m, p, b),
    "embed_image": lambda m, p, b: m.embed_image(p, b["images"]),
    "embed_text": lambda m, p, b: m.embed_text(p, b["tokens"], b["mask"]),
    "similarity": lambda m, p, b: _similarity(m, p, b),
    "image_features": lambda m, p, b: m.image_features(p, b["images"]),
    "embed_frames": lambda m, p, b: m.embed_frames(p, b),
    "classify": lambda m, p, b: m.classify(p, b["video"]),
    "label_logits": lambda m, p, b: m.label_logits(p, b["video"]),
    "opinion": lambda m, p, b: m.opinion(p, b["video"]),
    "image_to_image": lambda m, p, b: m.image_to_image(p, b["images"]),
    "label_frames": lambda m, p, b: m.label_frames(p, b["features"]),
    "plan": lambda m, p, b: m.plan(p, jax.nn.one_hot(b["actions"], m.config.actions)),
}
# What these are made of, and not asked for by themselves.
PARTS = ("features", "head", "logits", "raw_image", "raw_text")
# What an input of each contract is asked first: its cost is theirs.
CHIEF: dict[str, tuple[str, ...]] = {
    "turns": ("forward",),
    "pairs": ("embed_image", "embed_text"),
    "clips": ("classify",),
    "frames": ("image_to_image",),
    "features": ("label_frames",),
    "histories": ("plan",),
}


def verbs(model: Model) -> dict[str, Verb]:
    """The verbs that the model has, by name."""
    has = (name for name in ASKED if callable(getattr(model.module, name, None)))
    return {name: lambda p, b, ask=ASKED[name]: ask(model, p, b) for name in has}


def batch_of(config: Architecture, rows: int) -> dict[str, ShapeDtypeStruct]:
    """The shapes of so many rows, as the config's `row` says."""
    return {
        name: ShapeDtypeStruct((rows, *shape), dtype)
        for name, (shape, dtype) in config.row().items()
    }


def _extend(model: Model, params: Params, batch: Batch) -> Any:
    logits, cache = model.prefill(params, batch, 1)
    return model.extend(params, cache, logits.argmax(axis=-1)[:, None].astype(jnp.int32))[0]


def _similarity(model: Model, params: Params, batch: Batch) -> Any:
    images = model.embed_image(params, batch["images"])
    return model.similarity(
        params, images, model.embed_text(params, batch["tokens"], batch["mask"])
    )
