"""Eight instruments, each drawn once a video as a layer and then only moved, turned and scaled.

An instrument lies in its own frame: the tip at (0, 0), the shaft along +x, in world units (a shaft
is 6 to 10 % of the image wide, as it is under a real laparoscope). Widths grow along x, for the
handle is nearer to the lens than the tip.
"""

from __future__ import annotations

import dataclasses
import zlib

import cv2
import numpy as np

from surgzoo.datasets.synthsurg import textures
from surgzoo.datasets.synthsurg.layers import Layer, beyond_edge
from surgzoo.datasets.synthsurg.shapes import tube

LENGTH = 1.45  # of the drawn shaft, enough to leave the image from any tip
HALF = 0.13  # half height of the drawn strip
FRONT = 0.05  # drawn in front of the tip
TAPER = 0.30  # growth of the width over one world unit
FINE = 2  # supersampling
OPENINGS = (0.0, 0.5, 1.0)  # of the jaws; a pose picks the nearest

STEEL = (0.62, 0.63, 0.66)
CHROME = (0.86, 0.88, 0.92)
BLACK = (0.085, 0.085, 0.095)
CHARCOAL = (0.20, 0.20, 0.22)
BLUE = (0.10, 0.20, 0.50)
IVORY = (0.80, 0.74, 0.60)
WHITE = (0.80, 0.82, 0.84)
GREEN = (0.10, 0.46, 0.30)
VIOLET = (0.36, 0.18, 0.55)
GOLD = (0.86, 0.62, 0.20)

NAMES = (
    "grasper",
    "bipolar",
    "hook",
    "scissors",
    "clipper",
    "irrigator",
    "vessel_sealer",
    "needle_driver",
)


@dataclasses.dataclass
class Drawing:
    """The pixel grid of one instrument while its parts are put on it, FINE times finer."""

    side: int
    metal: np.random.Generator

    def __post_init__(self):
        self.scale = self.side * FINE
        shape = (round(2 * HALF * self.scale), round((LENGTH + FRONT) * self.scale))
        self.surface = np.full((*shape, 4), 0.3, np.float32)
        self.relief = np.zeros((*shape, 4), np.float32)
        self.x = (np.arange(shape[1], dtype=np.float32) + 0.5) / self.scale - FRONT
        self.y = (np.arange(shape[0], dtype=np.float32)[:, None] + 0.5) / self.scale - HALF

    def _pixels(self, outline) -> np.ndarray:
        pixels = (np.asarray(outline) + np.array((FRONT, HALF))) * self.scale * 16
        return np.round(pixels).astype(np.int32).reshape(-1, 1, 2)

    def shaft(self, start: float, end: float, half_width: float, colour, shine: float = 0.5):
        """A cylinder from x = start to end."""
        width = half_width * (1.0 + TAPER * self.x)
        v = np.clip(self.y / width, -0.985, 0.985)
        inside = (np.abs(self.y) <= width) & (self.x >= start) & (self.x < end)
        slope = -v / np.sqrt(1.0 - v * v)
        z = width * np.sqrt(1.0 - v * v)
        self._put(inside, np.zeros_like(slope), slope, z, colour, shine)

    def part(self, outline, thickness: float, colour, shine: float = 0.5, lift: float = 0.0):
        """A part with rounded edges; `thickness` is its half thickness in world units."""
        mask = np.zeros(self.relief.shape[:2], np.uint8)
        cv2.fillPoly(mask, [self._pixels(outline)], 1, shift=4)
        inside = cv2.distanceTransform(mask, cv2.DIST_L2, 5) / (thickness * self.scale)
        inside = np.minimum(inside, 1.0)
        z = thickness * np.sqrt(np.maximum(0.0, 1.0 - (1.0 - inside) ** 2))
        z = cv2.GaussianBlur(z, (0, 0), 1.2)
        slope_x = cv2.Sobel(z, cv2.CV_32F, 1, 0, scale=self.scale / 8)
        slope_y = cv2.Sobel(z, cv2.CV_32F, 0, 1, scale=self.scale / 8)
        self._put(mask > 0, slope_x, slope_y, z + lift, colour, shine)

    def hole(self, outline):
        """A window through which the tissue shows."""
        mask = np.zeros(self.relief.shape[:2], np.uint8)
        cv2.fillPoly(mask, [self._pixels(outline)], 1, shift=4)
        self.relief[mask > 0, 3] = 0.0

    def _put(self, inside, slope_x, slope_y, z, colour, shine):
        # Polished metal mirrors the cavity: a bright streak on one flank, a faint one on the other.
        v = slope_y / np.sqrt(1.0 + slope_x**2 + slope_y**2)
        streak = np.exp(-(((v - 0.25) / 0.25) ** 2)) + 0.45 * np.exp(-(((v + 0.62) / 0.16) ** 2))
        dim = 0.75 - 0.35 * shine
        rgb = np.float32(colour) * (dim + (0.25 + 0.75 * shine) * streak)[..., None]
        self.surface[inside, :3] = rgb[inside]
        self.surface[inside, 3] = 0.15 + 0.85 * shine
        np.clip(slope_x, -3, 3, out=slope_x)
        np.clip(slope_y, -3, 3, out=slope_y)
        raised = 0.16 + 0.20 * np.maximum(self.x, 0.0)
        values = (slope_x, slope_y, z + raised)
        for channel, value in enumerate(values):
            self.relief[..., channel][inside] = np.broadcast_to(value, inside.shape)[inside]
        self.relief[inside, 3] = 1.0

    def layer(self) -> Layer:
        scratches = textures.fractal(self.metal, (self.relief.shape[0] // 4, 24), 5.0, 3)
        scratches = cv2.resize(scratches, self.relief.shape[1::-1])
        self.surface[..., :3] *= (0.86 + 0.28 * scratches)[..., None]
        inside = self.relief[..., 3].copy()
        self.surface = beyond_edge(self.surface, inside, 2.0)
        self.relief[..., :3] = beyond_edge(self.relief[..., :3], inside, 2.0)
        size = (self.relief.shape[1] // FINE, self.relief.shape[0] // FINE)
        surface = cv2.resize(self.surface, size, interpolation=cv2.INTER_AREA)
        relief = cv2.resize(self.relief, size, interpolation=cv2.INTER_AREA)
        to_world = np.eye(3)
        to_world[0, 0] = to_world[1, 1] = 1.0 / self.side
        to_world[:2, 2] = (-FRONT, -HALF)
        return Layer(surface, relief, to_world)


def _mirrored(points, sign: int):
    return np.asarray(points) * (1, sign)


def _grasper(d: Drawing, opening: float):
    d.shaft(0.155, LENGTH, 0.036, STEEL, 0.75)
    d.shaft(0.125, 0.165, 0.028, CHROME, 0.9)
    for sign in (-1, 1):
        gap = sign * (0.006 + 0.034 * opening)
        d.part(
            [
                (0.150, sign * 0.022),
                (0.095, sign * 0.030 + 0.45 * gap),
                (0.020, sign * 0.022 + 0.9 * gap),
                (0.000, sign * 0.010 + gap),
                (0.002, gap),
                (0.130, sign * 0.002),
            ],
            0.011,
            CHROME,
            0.8,
        )
        slot = np.array(
            [(0.105, 0.016), (0.09, 0.020), (0.035, 0.015), (0.035, 0.008), (0.10, 0.009)]
        )
        d.hole(_mirrored(slot, sign) + np.stack([0 * slot[:, 0], gap * (1 - slot[:, 0] / 0.13)], 1))


def _hook(d: Drawing, opening: float):
    d.part(
        tube([(0.10, 0), (0.014, 0), (0.002, 0.012), (0.0, 0.048)], [0.011, 0.010, 0.008]),
        0.008,
        CHROME,
        1.0,
    )
    d.shaft(0.105, LENGTH, 0.031, BLACK, 0.55)
    d.shaft(0.080, 0.112, 0.022, IVORY, 0.4)


def _bipolar(d: Drawing, opening: float):
    d.shaft(0.135, LENGTH, 0.037, BLUE, 0.5)
    d.shaft(0.110, 0.145, 0.027, IVORY, 0.4)
    for sign in (-1, 1):
        end = sign * (0.008 + 0.020 * opening)
        path = [(0.125, sign * 0.012), (0.07, sign * (0.024 + 0.012 * opening)), (0.0, end)]
        d.part(tube(path, [0.012, 0.012, 0.009]), 0.009, CHROME, 0.9)
        d.part(tube([(0.03, 1.15 * end), (0.002, end)], [0.010, 0.008]), 0.008, IVORY, 0.5)


def _scissors(d: Drawing, opening: float):
    d.shaft(0.20, LENGTH, 0.031, CHARCOAL, 0.5)
    d.shaft(0.185, 0.235, 0.033, GREEN, 0.4)
    d.shaft(0.120, 0.19, 0.024, STEEL, 0.8)
    for sign in (-1, 1):
        tip = sign * (0.004 + 0.046 * opening)
        d.part(
            [
                (0.14, -sign * 0.004),
                (0.10, sign * 0.020),
                (0.05, sign * 0.020 + 0.62 * tip),
                (0.0, tip),
                (0.055, 0.45 * tip),
                (0.12, -sign * 0.012),
            ],
            0.008,
            CHROME,
            1.0,
        )
    d.part(tube([(0.122, 0.0), (0.118, 0.0)], [0.010]), 0.006, STEEL, 0.6, 0.01)


def _clipper(d: Drawing, opening: float):
    d.shaft(0.14, LENGTH, 0.049, CHROME, 0.7)
    d.shaft(0.16, 0.175, 0.050, CHARCOAL, 0.3)
    d.shaft(0.10, 0.15, 0.036, STEEL, 0.7)
    for sign in (-1, 1):
        gap = sign * (0.004 + 0.028 * opening)
        d.part(
            [
                (0.125, sign * 0.030),
                (0.075, sign * 0.032 + 0.5 * gap),
                (-0.012, sign * 0.016 + gap),
                (-0.016, gap),
                (0.055, gap),
                (0.11, sign * 0.004),
            ],
            0.012,
            STEEL,
            0.9,
        )


def _irrigator(d: Drawing, opening: float):
    d.shaft(0.008, LENGTH, 0.033, WHITE, 0.95)
    d.part(tube([(0.032, 0.0), (0.03, 0.0)], [0.034]), 0.03, WHITE, 0.9)
    for x, y in ((0.035, 0.004), (0.085, -0.006), (0.135, 0.005), (0.19, -0.004)):
        d.part(tube([(x, y), (x + 0.010, y)], [0.012]), 0.004, (0.05, 0.03, 0.03), 0.1, 0.02)


def _vessel_sealer(d: Drawing, opening: float):
    d.shaft(0.15, LENGTH, 0.043, WHITE, 0.35)
    d.shaft(0.15, 0.195, 0.045, VIOLET, 0.4)
    for sign in (-1, 1):
        gap = sign * (0.003 + 0.030 * opening)
        d.part(
            [
                (0.16, sign * 0.036),
                (0.08, sign * 0.030 + 0.5 * gap),
                (0.012, sign * 0.020 + gap),
                (0.0, gap),
                (0.13, sign * 0.002),
            ],
            0.014,
            CHARCOAL,
            0.6,
        )


def _needle_driver(d: Drawing, opening: float):
    arc = np.linspace(-2.5, 0.5, 14)
    needle = np.stack([0.012 + 0.052 * np.cos(arc) - 0.01, 0.052 * np.sin(arc) + 0.046], 1)
    d.part(tube(needle - (0.012, 0.02), [0.0075, 0.0065, 0.005]), 0.006, CHROME, 1.0)
    d.shaft(0.125, LENGTH, 0.036, BLACK, 0.5)
    d.shaft(0.105, 0.14, 0.030, STEEL, 0.8)
    for sign in (-1, 1):
        gap = sign * (0.002 + 0.018 * opening)
        d.part(
            [
                (0.12, sign * 0.026),
                (0.06, sign * 0.022 + 0.5 * gap),
                (0.0, sign * 0.010 + gap),
                (0.0, gap),
                (0.11, sign * 0.001),
            ],
            0.011,
            GOLD,
            0.8,
        )


_DRAW = {
    "grasper": _grasper,
    "bipolar": _bipolar,
    "hook": _hook,
    "scissors": _scissors,
    "clipper": _clipper,
    "irrigator": _irrigator,
    "vessel_sealer": _vessel_sealer,
    "needle_driver": _needle_driver,
}


class Tray:
    """The instruments of one operation, drawn when first used."""

    def __init__(self, seed: tuple[int, ...], side: int):
        self.seed, self.side = seed, side
        self._layers: dict[tuple[str, float], Layer] = {}

    def layer(self, name: str, opening: float) -> Layer:
        """The instrument with its jaws as open as the nearest drawn opening."""
        nearest = min(OPENINGS, key=lambda o: abs(o - opening))
        if name in ("hook", "irrigator"):
            nearest = 0.0
        if (name, nearest) not in self._layers:
            # The seed names the instrument, so the order of first use does not matter.
            rng = np.random.default_rng((*self.seed, zlib.crc32(name.encode())))
            drawing = Drawing(self.side, rng)
            _DRAW[name](drawing, nearest)
            self._layers[name, nearest] = drawing.layer()
        return self._layers[name, nearest]
