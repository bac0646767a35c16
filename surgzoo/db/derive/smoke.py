"""Synthetic surgical smoke over clear frames, so that desmoking has pairs.

Atmospheric scattering (Koschmieder; the model of dark-channel dehazing, He et al., CVPR 2009): a
pixel J becomes I = J t + A (1 - t), where A is the colour of the smoke and t = exp(-density n) the
share of light that comes through. n in [0, 1] is value noise of several octaves over (y, x, time),
moved by a drift: neighbouring frames get almost the same smoke, and the same seed always the same.
"""

from __future__ import annotations

import dataclasses
import hashlib
import math

import cv2
import numpy as np
from jaxtyping import Bool, Float, UInt8

LATTICE = 16  # cells after which an octave of the noise repeats
BLACK = 16  # grey level up to which a pixel may be outside the field of view


@dataclasses.dataclass(frozen=True)
class Smoke:
    """The parameters of the smoke of one video; what a derived store records.

    Attributes:
      seed: draws the noise.
      density: optical depth where the noise is 1; 1.5 lets 22 % of the light through.
      light: RGB of the smoke, 0 to 1.
      octaves, scale: number of octaves, and cells of the coarsest one across the image.
      drift: image widths and heights per second by which the smoke moves (x right, y down).
      change: how many new shapes a second the smoke takes on beside moving.
    """

    seed: int
    density: float = 1.5
    light: tuple[float, float, float] = (0.78, 0.79, 0.8)
    octaves: int = 4
    scale: float = 2.5
    drift: tuple[float, float] = (0.03, -0.05)
    change: float = 0.15


def drawn(identity: str, seed: int = 0) -> Smoke:
    """The smoke of a video: density, colour, drift and shape drawn from its name and the seed."""
    digest = hashlib.blake2b(f"{seed}:smoke:{identity}".encode(), digest_size=8).digest()
    number = int.from_bytes(digest, "little")
    rng = np.random.default_rng(number)
    grey = rng.uniform(0.68, 0.88)
    angle, speed = rng.uniform(0, 2 * math.pi), rng.uniform(0.02, 0.1)
    return Smoke(
        seed=number >> 1,  # fits the signed 64 bits of JSON readers
        density=round(float(rng.uniform(0.7, 2.2)), 4),
        light=tuple(round(float(grey + d), 4) for d in rng.uniform(-0.02, 0.02, 3)),
        scale=round(float(rng.uniform(1.5, 4.0)), 4),
        drift=(round(speed * math.cos(angle), 4), round(speed * math.sin(angle), 4)),
    )


def transmission(smoke: Smoke, height: int, width: int, time: float) -> Float[np.ndarray, "H W"]:
    """Share of light in (0, 1] that comes through at a time in seconds."""
    total = np.zeros((height, width), np.float32)
    weight = 0.0
    for octave in range(smoke.octaves):
        gain = 0.5**octave
        total += gain * _octave(smoke, octave, height, width, time)
        weight += gain
    # The sum of octaves crowds around a half; stretched, there are clear and dense places.
    noise = np.clip((total / weight - 0.25) * 2, 0, 1)
    return np.exp(-smoke.density * noise)


def over(
    image: UInt8[np.ndarray, "H W 3"], smoke: Smoke, time: float
) -> UInt8[np.ndarray, "H W 3"]:
    """A clear RGB frame with smoke in front; the black around a round field of view stays black."""
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[-1] != 3:
        raise ValueError(f"smoke goes over uint8 RGB, not {image.dtype} {image.shape}")
    t = np.where(outside(image), 1, transmission(smoke, *image.shape[:2], time))[..., None]
    light = 255 * np.asarray(smoke.light, np.float32)
    return np.round(image * t + light * (1 - t)).astype(np.uint8)


def outside(image: UInt8[np.ndarray, "H W 3"]) -> Bool[np.ndarray, "H W"]:
    """What lies outside the endoscope's round field of view: black and joined to a corner."""
    black = (image.max(axis=-1) <= BLACK).astype(np.uint8)
    _, labels = cv2.connectedComponents(black)
    corners = labels[[0, 0, -1, -1], [0, -1, 0, -1]]
    return np.isin(labels, corners[corners > 0])


def _octave(
    smoke: Smoke, octave: int, height: int, width: int, time: float
) -> Float[np.ndarray, "H W"]:
    """Value noise in [0, 1]: lattices of two instants, moved and blended."""
    cells = smoke.scale * 2**octave
    moment = smoke.change * 2**octave * time
    before, share = math.floor(moment), moment - math.floor(moment)
    share = share * share * (3 - 2 * share)
    lattice = (1 - share) * _lattice(smoke.seed, octave, before)
    lattice += share * _lattice(smoke.seed, octave, before + 1)
    x = (np.arange(width, dtype=np.float32) + 0.5) / width - smoke.drift[0] * time
    y = (np.arange(height, dtype=np.float32) + 0.5) / height - smoke.drift[1] * time
    down, across = (cells * side / max(height, width) for side in (height, width))  # square cells
    return _weights(y * down) @ lattice @ _weights(x * across).T


def _lattice(seed: int, octave: int, moment: int) -> Float[np.ndarray, "L L"]:
    rng = np.random.default_rng((seed, octave, moment % (1 << 32)))
    return rng.random((LATTICE, LATTICE), np.float32)


def _weights(at: Float[np.ndarray, " N"]) -> Float[np.ndarray, "N L"]:
    """Weights of the lattice points for each coordinate: smoothstep between the two beside it.

    The lattice repeats.
    """
    below = np.floor(at)
    share = at - below
    share = share * share * (3 - 2 * share)
    out = np.zeros((len(at), LATTICE), np.float32)
    index, rows = below.astype(np.int64) % LATTICE, np.arange(len(at))
    out[rows, index] = 1 - share
    out[rows, (index + 1) % LATTICE] += share
    return out
