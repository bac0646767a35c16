"""What a clip weighs where frequent labels must not drown rare ones."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

BETA = 0.9999


def balanced_weights(counts: Sequence[int]) -> Float[np.ndarray, " C"]:
    """What a clip of each label weighs: the inverse of the effective number of its clips.

    Source: arXiv 1901.05555, eq. 2, beta 0.9999. Over the counted clips the mean weight is 1. A
    label without a clip counts as one with a single clip.
    """
    there = np.maximum(np.asarray(counts, float), 1)
    weights = (1 - BETA) / (1 - BETA**there)
    return (weights * there.sum() / (weights * there).sum()).astype(np.float32)
