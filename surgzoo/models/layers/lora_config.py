"""What an adapter is. Importing this imports no JAX."""

from __future__ import annotations

import dataclasses
import re

# All linear layers of the language model: what is usually adapted.
TEXT_LINEARS = r"text/layers/.*/(q|k|v|out|gate|up|down)"


@dataclasses.dataclass(frozen=True)
class LoraConfig:
    """Low-rank adapters on linear layers (arXiv 2106.09685).

    Attributes:
      rank: columns of A and rows of B.
      alpha: the product A B is scaled by alpha / rank.
      targets: regular expression over whole paths of linear layers, without the number of the layer
        ("text/layers/attention/q", "vision/layers/attention/qkv", "vision/merger/fc1").
    """

    rank: int = 16
    alpha: float = 32.0
    targets: str = TEXT_LINEARS

    def __post_init__(self):
        if self.rank < 1:
            raise ValueError(f"lora.rank is {self.rank}; it must be at least 1")
        try:
            re.compile(self.targets)
        except re.error as error:
            raise ValueError(f"lora.targets '{self.targets}': {error}") from None

    @property
    def scale(self) -> float:
        """The factor before the product of the two matrices."""
        return self.alpha / self.rank

    def adapts(self, path: str) -> bool:
        """Whether the linear layer of this path (without a layer's number) has an adapter."""
        return re.fullmatch(self.targets, path) is not None
