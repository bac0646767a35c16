"""Light: from a composed canvas to a picture, seen by a lens with its light beside it."""

from __future__ import annotations

import dataclasses

import cv2
import numpy as np

from surgzoo.datasets.synthsurg import textures
from surgzoo.datasets.synthsurg.layers import Canvas


@dataclasses.dataclass(frozen=True)
class Optics:
    """One patient's camera and light.

    Attributes:
      light: direction towards the light, unit length.
      exposure: overall brightness. tint: white balance, R, G, B.
      falloff: float32 (side, side), light that reaches a pixel; 0 outside the round field of view.
      centre, radius: of the round field of view in [0, 1]; radius > 0.71 shows no black corner.
      haze: float32 (n, n) tileable smoke texture. grain: float32 (m, m) sensor noise.
    """

    light: np.ndarray
    exposure: float
    tint: np.ndarray
    falloff: np.ndarray
    centre: tuple[float, float]
    radius: float
    haze: np.ndarray
    grain: np.ndarray


def optics(rng: np.random.Generator, side: int) -> Optics:
    """Draws a patient's camera."""
    # Far enough off the lens that flat tissue does not mirror it: only bumps and limbs glint.
    lean, sweep = rng.uniform(0.42, 0.55), np.pi * rng.uniform(1.2, 1.8)
    light = np.array([lean * np.cos(sweep), lean * np.sin(sweep), 1.0], np.float32)
    radius = float(rng.choice((0.90, 0.62, 0.52), p=(0.45, 0.3, 0.25)))
    centre = tuple(0.5 + rng.uniform(-0.03, 0.03, 2))
    ys, xs = (np.mgrid[0:side, 0:side].astype(np.float32) + 0.5) / side
    distance = np.hypot(xs - centre[0], ys - centre[1])
    spot = 0.5 + rng.uniform(-0.08, 0.08, 2)
    lit = 1.0 / (1.0 + (np.hypot(xs - spot[0], ys - spot[1]) / rng.uniform(0.44, 0.58)) ** 2.6)
    edge = np.clip((radius - distance) * side / 3.0, 0.0, 1.0)
    haze = textures.fractal(rng, (2 * side, 2 * side), 0.35 * side, 5)
    haze = np.clip(1.5 * haze - 0.25, 0.0, 1.0)
    return Optics(
        light=light / np.linalg.norm(light),
        exposure=float(rng.uniform(0.92, 1.12)),
        tint=(np.array([1.04, 0.98, 0.96]) * rng.normal(1.0, 0.025, 3)).astype(np.float32),
        falloff=(lit * edge).astype(np.float32),
        centre=centre,
        radius=radius,
        haze=haze,
        grain=rng.normal(0, 1.0, (side + 64, side + 64)).astype(np.float32),
    )


def shade(canvas: Canvas, lens: Optics) -> np.ndarray:
    """The picture before smoke and noise: float32 (side, side, 3), RGB, 0 .. about 1."""
    slope_x, slope_y = canvas.relief[..., 0], canvas.relief[..., 1]
    z = canvas.relief[..., 2]
    steep = 1.0 / np.sqrt(1.0 + slope_x * slope_x + slope_y * slope_y)
    lx, ly, lz = lens.light
    facing = (lz - lx * slope_x - ly * slope_y) * steep
    np.maximum(facing, 0.0, out=facing)

    # Half vector between light and the viewer at (0, 0, 1).
    half = np.array([lx, ly, lz + 1.0], np.float32)
    hx, hy, hz = half / np.linalg.norm(half)
    mirror = (hz - hx * slope_x - hy * slope_y) * steep
    mirror = np.clip((mirror - 0.982) / 0.018, 0.0, 1.0)
    mirror *= mirror * mirror
    gloss = mirror * canvas.surface[..., 3]

    # What lies below its surroundings gets less light: furrows, and the shadow of an instrument.
    small = cv2.resize(z, None, fx=0.25, fy=0.25, interpolation=cv2.INTER_AREA)
    around = cv2.GaussianBlur(small, (0, 0), 0.022 * canvas.side)
    shift = np.float32([[1, 0, -0.015 * canvas.side * lx], [0, 1, -0.015 * canvas.side * ly]])
    around = cv2.warpAffine(around, shift, small.shape[::-1], borderMode=cv2.BORDER_REPLICATE)
    around = cv2.resize(around, z.shape[::-1], interpolation=cv2.INTER_LINEAR)
    shadow = 1.0 / (1.0 + 5.0 * np.maximum(around - z, 0.0))

    power = lens.falloff * shadow * (0.75 + 1.3 * z) * (lens.exposure * 1.55)
    diffuse = power * (0.10 + 0.90 * facing)
    picture = canvas.surface[..., :3] * diffuse[..., None]
    picture += (gloss * np.minimum(power, 1.1) * 1.3)[..., None]
    picture *= lens.tint
    return picture


def smoke(picture: np.ndarray, lens: Optics, amount: float, at, time: float) -> np.ndarray:
    """The picture behind smoke.

    Args:
      picture: float32 (side, side, 3). amount: 0 none .. 1 thick. at: pixel where it rises from.
      time: seconds; moves the clouds.
    """
    side = picture.shape[0]
    n = lens.haze.shape[0] - side
    x = int(side * 0.11 * time) % n
    y = int(side * 0.17 * time) % n
    cloud = lens.haze[y : y + side, x : x + side]
    xs = np.arange(side, dtype=np.float32) - np.float32(at[0])
    ys = np.arange(side, dtype=np.float32)[:, None] - np.float32(at[1] - 0.08 * side)
    plume = np.exp(-(xs**2 + (0.8 * ys) ** 2) / np.float32(2 * (0.20 * side) ** 2))
    opacity = np.clip(amount * (0.22 + 0.30 * cloud + 0.75 * plume * (0.3 + 0.9 * cloud)), 0, 0.9)
    glow = np.float32((0.72, 0.70, 0.70)) * lens.tint
    lit = np.minimum(1.0, 0.25 + 0.85 * lens.falloff) * (lens.falloff > 0)
    opacity = opacity[..., None].astype(np.float32)
    return picture + (glow * lit[..., None] - picture) * opacity


def develop(picture: np.ndarray, lens: Optics, frame_seed: int) -> np.ndarray:
    """Float picture to uint8 RGB (side, side, 3): sensor noise, soft shoulder, gamma."""
    x, y = (frame_seed * 29) % 64, (frame_seed * 47) % 64
    side = picture.shape[0]
    grain = lens.grain[y : y + side, x : x + side] * np.float32(1.6)
    tone = np.clip(picture, 0.0, 4.0)
    tone = tone * (1.0 + 0.10 * tone) / (1.0 + 0.30 * tone * tone)
    tone = cv2.sqrt(tone) * np.float32(0.38) + tone * np.float32(0.72)
    out = 255.0 * tone + grain[..., None]
    return cv2.convertScaleAbs(np.clip(out, 0.0, 255.0))
