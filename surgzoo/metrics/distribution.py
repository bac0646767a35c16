"""Fréchet distance between the features of true and of predicted images or clips: FID, FVD.

The number means nothing without the network that made the features, and those in use differ by
their weights, their resizing and their clip length. So none is shipped: an extractor is registered
by name, as models are, by a plug-in that brings the network, and gets the weights from a file that
the user has. A number carries the name of its extractor: `fvd_grey16`, `fid_inception2015`.

    # my_lab/surgzoo_plugin.py, named by an entry point of the group "surgzoo.plugins"
    from surgzoo.core.registry import Card
    from surgzoo.metrics.distribution import extractors

    def register():
        extractors.register("i3d_k400", "my_lab.i3d:load", Card(...), origin="my_lab")

`my_lab.i3d:load(weights)` takes the path of a file and gives the function from clips to features.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Literal, NamedTuple

import numpy as np
from jaxtyping import Float, UInt8

from surgzoo.core.registry import Card, Registry

# Clips (N, T, H, W, 3) as uint8, an image is a clip of one frame -> features (N, D), any float.
Extractor = Callable[[UInt8[np.ndarray, "N T H W 3"]], Float[np.ndarray, "N D"]]

# Each registers what makes an extractor from the path of its weights, None where it has none.
extractors: Registry[Callable[[str | None], Extractor]] = Registry("extractor")

_SIDE = 16


class Moments(NamedTuple):
    """Mean and covariance (divisor n - 1, as pytorch-fid's) of n features."""

    mean: Float[np.ndarray, " D"]
    covariance: Float[np.ndarray, "D D"]
    count: int


def moments(features: Iterable[Float[np.ndarray, "N D"]]) -> Moments:
    """Of features that come in batches, in float64. Memory does not grow with their number.

    Raises ValueError for fewer than two features, which have no covariance, and for numbers that
    are not finite.
    """
    count, total, products = 0, 0.0, 0.0
    origin = None  # sums are taken around the first feature, or large means would drown the rest
    for batch in features:
        batch = np.asarray(batch, np.float64)
        if batch.ndim != 2 or not np.isfinite(batch).all():
            raise ValueError(f"features must be finite and of shape (N, D), not {batch.shape}")
        if not len(batch):
            continue
        origin = batch[0] if origin is None else origin
        batch = batch - origin
        count, total, products = (
            count + len(batch),
            total + batch.sum(0),
            products + batch.T @ batch,
        )
    if count < 2:
        raise ValueError(f"{count} features have no covariance; two or more are needed")
    covariance = (products - np.outer(total, total) / count) / (count - 1)
    return Moments(origin + total / count, covariance, count)


def frechet(first: Moments, second: Moments) -> float:
    """|m1 - m2|^2 + Tr(C1 + C2 - 2 (C1 C2)^(1/2)), the distance of two normal distributions.

    FID: Heusel et al., NeurIPS 2017; FVD: Unterthiner et al., arXiv 1812.01717. The trace of the
    root is the sum of the roots of the eigenvalues of C1^(1/2) C2 C1^(1/2), which is symmetric and
    has those of C1 C2, so no root of a matrix that is not symmetric is taken. 0 for equal moments,
    never below. Biased upwards where features are few: compare only equal numbers of clips.
    """
    if first.mean.shape != second.mean.shape:
        raise ValueError(f"features of {second.mean.size} numbers against {first.mean.size}")
    values, vectors = np.linalg.eigh(first.covariance)
    root = (vectors * np.sqrt(values.clip(0))) @ vectors.T
    middle = root @ second.covariance @ root
    trace = np.sqrt(np.linalg.eigvalsh((middle + middle.T) / 2).clip(0)).sum()
    distance = np.sum((first.mean - second.mean) ** 2)
    distance += np.trace(first.covariance) + np.trace(second.covariance) - 2 * trace
    return max(0.0, float(distance))


def frechet_distance(
    truth: Iterable[UInt8[np.ndarray, "N T H W 3"]],
    said: Iterable[UInt8[np.ndarray, "N T H W 3"]],
    extractor: str,
    weights: str | None = None,
    kind: Literal["fid", "fvd"] = "fvd",
) -> dict[str, float]:
    """{"fvd_<extractor>": the distance} of two sets of clips, each in batches.

    Raises UnknownNameError for an extractor that nobody registered, and what `moments` raises.
    """
    extract = extractors.get(extractor)(weights)
    true, predicted = (moments(map(extract, batches)) for batches in (truth, said))
    return {f"{kind}_{extractor}": frechet(true, predicted)}


def grey16(weights: str | None = None) -> Extractor:
    """The plain extractor: 16 x 16 block means of grey, and of their change from frame to frame.

    512 numbers in [0, 1] a clip, both averaged over time; an image does not change. Made to test
    with and to have a number that any machine reproduces; it tells blur and wrong colours, not
    realism. Raises ValueError for weights, as there are none.
    """
    if weights is not None:
        raise ValueError(f"grey16 has no weights, so '{weights}' is not for it")
    return _grey16


def _grey16(clips: UInt8[np.ndarray, "N T H W 3"]) -> Float[np.ndarray, "N 512"]:
    count, frames, height, width = clips.shape[:4]
    if min(height, width) < _SIDE:
        raise ValueError(f"grey16 needs at least {_SIDE} x {_SIDE} pixels: {height} x {width}")
    grey = clips.astype(np.float32).mean(-1) / 255
    for axis, size in ((2, height), (3, width)):
        edges = np.arange(_SIDE + 1) * size // _SIDE
        spans = np.diff(edges).reshape(-1, *[1] * (3 - axis))
        grey = np.add.reduceat(grey, edges[:-1], axis=axis) / spans
    still = grey.mean(1).reshape(count, -1)
    moved = np.abs(np.diff(grey, axis=1)).sum(1).reshape(count, -1) / max(frames - 1, 1)
    return np.concatenate([still, moved], axis=1)


extractors.register(
    "grey16",
    "surgzoo.metrics.distribution:grey16",
    Card(
        summary="16 x 16 grey means and their change over time; needs no weights",
        licence="Apache-2.0",
        source="surgzoo",
    ),
)
