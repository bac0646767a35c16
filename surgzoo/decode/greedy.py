"""Greedy decoding: the likeliest token each time, of the one loop that sampling runs too."""

from __future__ import annotations

from surgzoo.decode.loop import Generate, make_generate
from surgzoo.models.base import Model


def make_greedy(model: Model, max_new_tokens: int, eos_id: int | tuple[int, ...]) -> Generate:
    """A compiled `generate(params, batch)`; see `make_generate` of `decode/loop.py`."""
    return make_generate(model, max_new_tokens, eos_id)
