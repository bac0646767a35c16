"""As CLIP: one room."""

from oracles.clip import inputs, parity

__all__ = ["inputs", "parity"]
