"""The picture as layers of surface properties, composed first and lit once (`shading.py`).

A `Layer` is a baked piece of tissue or steel: colour, slope, height and opacity on its own grid. A
`Canvas` is the composed view: what surface each pixel shows, and which tissue or instrument it is.
Because the light is computed after composing, depth and masks are exact by construction.
"""

from __future__ import annotations

import dataclasses

import cv2
import numpy as np

from surgzoo.datasets.synthsurg import textures
from surgzoo.datasets.synthsurg.shapes import Points

STEEPEST = 2.6  # slopes are clipped here: the limb of a round organ would be infinitely steep


@dataclasses.dataclass(frozen=True)
class Material:
    """A surface. Lengths in world units, colours RGB in [0, 1] under white light."""

    colour: tuple[float, float, float]
    second: tuple[float, float, float]  # what the mottle mixes in
    mottle: float = 0.12  # size of its patches
    gloss: float = 0.5
    bump: float = 0.10  # slope of the fine relief that breaks highlights into glints
    swell: float = 0.010  # height of the broad relief
    vessels: int = 0
    vessel_colour: tuple[float, float, float] = (0.45, 0.08, 0.08)
    lobules: float = 0.0  # size of fat lobules, 0 = smooth
    char: float = 0.0  # share of burnt specks


@dataclasses.dataclass
class Layer:
    """A baked surface.

    Attributes:
      surface: float32 (h, w, 4): R, G, B, gloss.
      relief: float32 (h, w, 4): slope x, slope y, height (world units), opacity.
      to_world: 3 x 3, pixel of this layer -> world.
      order: float32 (h, w) or None: where the layer disappears first (0) and last (1).
      ids: uint8 (h, w) or None: tissue ids of a layer that several organs were flattened into.
    """

    surface: np.ndarray
    relief: np.ndarray
    to_world: np.ndarray
    order: np.ndarray | None = None
    ids: np.ndarray | None = None

    def dissolved(
        self, amount: float, edge: tuple[float, float, float] = (0.5, 0.1, 0.08)
    ) -> Layer:
        """This layer with the share `amount` taken away, and a raw `edge` where it was torn."""
        if amount <= 0:
            return self
        left = self.order - amount
        relief = self.relief.copy()
        relief[..., 3] *= np.clip(14.0 * left, 0.0, 1.0)
        surface = self.surface.copy()
        raw = np.exp(-((left / 0.05) ** 2))[..., None] * np.float32(0.7)
        surface[..., :3] += (np.float32(edge) - surface[..., :3]) * raw
        return Layer(surface, relief, self.to_world)


def jitter(rng: np.random.Generator, colour, amount: float = 0.06):
    """A patient's own tint of a colour."""
    return tuple(np.clip(np.array(colour) * rng.normal(1.0, amount, 3), 0.0, 1.0))


def bake(
    rng: np.random.Generator,
    outline: Points,
    material: Material,
    side: int,
    *,
    base: float,
    height: float,
    rim: float,
    feather: float = 0.006,
    dissolves: float | None = None,
    toward: tuple[float, float] = (0.0, 0.0),
    inward: bool = False,
) -> Layer:
    """Bakes an organ.

    Args:
      outline: closed polygon (n, 2), world units.
      side: pixels of one world unit.
      base, height: world units; the surface rises from base at the edge to base + height inside.
      rim: width of the rounded edge; wide = ball, narrow = pillow.
      feather: width of the soft edge.
      dissolves: if given, the layer can be `dissolved`, with patches of this size.
      toward: direction in which it disappears (world units), on top of the random patches.
      inward: it disappears from its edge to its middle, as a drying pool does.
    """
    low = outline.min(0) - 0.03
    shape = tuple(int(n) for n in np.ceil((outline.max(0) + 0.03 - low) * side))[::-1]
    fine = np.zeros((2 * shape[0], 2 * shape[1]), np.uint8)
    polygon = np.round((outline - low) * side * 2 * 16).astype(np.int32)
    cv2.fillPoly(fine, [polygon.reshape(-1, 1, 2)], 255, cv2.LINE_AA, shift=4)
    mask = cv2.resize(fine, shape[::-1], interpolation=cv2.INTER_AREA)
    alpha = _blur(mask.astype(np.float32) / 255.0, feather * side)

    inside = cv2.distanceTransform((mask > 127).astype(np.uint8), cv2.DIST_L2, 5) / (rim * side)
    profile = np.sqrt(np.maximum(0.0, 1.0 - (1.0 - np.minimum(inside, 1.0)) ** 2))
    z = height * _blur(profile, 0.12 * rim * side)
    broad = textures.fractal(rng, shape, material.mottle * side)
    z += material.swell * broad
    surface = _colours(rng, shape, side, material, broad)
    if material.lobules:
        lumps = textures.lobules(rng, shape, material.lobules * side)
        z += 0.34 * material.lobules * lumps
        surface[..., :3] *= (0.70 + 0.42 * lumps)[..., None]

    relief = np.empty((*shape, 4), np.float32)
    relief[..., 0] = cv2.Sobel(z, cv2.CV_32F, 1, 0, scale=side / 8)
    relief[..., 1] = cv2.Sobel(z, cv2.CV_32F, 0, 1, scale=side / 8)
    # Glints come in clusters: the fine relief is strong in some patches and absent in others.
    patches = material.bump * (0.3 + 1.4 * textures.fractal(rng, shape, 0.15 * side, 2) ** 2)
    for axis in range(2):
        fine_relief = textures.fractal(rng, shape, 0.017 * side, 2) - 0.5
        relief[..., axis] += 4.0 * patches * fine_relief
    np.clip(relief[..., :2], -STEEPEST, STEEPEST, out=relief[..., :2])
    relief[..., :2] = beyond_edge(relief[..., :2], (mask > 127).astype(np.float32), 2.0)
    relief[..., 2] = base + z
    relief[..., 3] = alpha

    to_world = np.array([[1 / side, 0, low[0]], [0, 1 / side, low[1]], [0, 0, 1.0]])
    order = None
    if dissolves is not None:
        order = textures.fractal(rng, shape, dissolves * side)
        if any(toward):
            ys, xs = np.mgrid[0 : shape[0], 0 : shape[1]] / np.float32(side)
            ramp = cv2.normalize(xs * toward[0] + ys * toward[1], None, 0, 1, cv2.NORM_MINMAX)
            order = 0.45 * order + 0.55 * ramp.astype(np.float32)
        if inward:
            order = 0.3 * order + 0.7 * inside / inside.max()
        order = _ranked(order, alpha > 0.5)
    return Layer(surface, relief, to_world, order)


def _colours(rng, shape, side, material: Material, broad: np.ndarray) -> np.ndarray:
    """float32 (h, w, 4): mottled colour, vessels, burnt specks, gloss."""
    surface = np.empty((*shape, 4), np.float32)
    speckle = textures.fractal(rng, shape, 0.028 * side)
    mix = (0.55 * broad + 0.45 * speckle)[..., None]
    first, second = np.float32(material.colour), np.float32(material.second)
    surface[..., :3] = first + (second - first) * mix
    surface[..., :3] *= (0.90 + 0.20 * speckle)[..., None]
    if material.vessels:
        opacity = textures.vessels(rng, shape, material.vessels, 0.22 * side)[..., None]
        tint = np.float32(material.vessel_colour)
        surface[..., :3] += (tint - surface[..., :3]) * (0.5 * opacity)
    if material.char:
        burnt = textures.fractal(rng, shape, 0.035 * side, 2)
        level = np.quantile(burnt, 1.0 - material.char)
        burnt = np.clip((burnt - level) * 10.0, 0.0, 0.85)[..., None]
        surface[..., :3] += (np.float32((0.10, 0.06, 0.05)) - surface[..., :3]) * burnt
    surface[..., 3] = material.gloss
    return surface


def beyond_edge(values: np.ndarray, inside: np.ndarray, reach: float) -> np.ndarray:
    """Continues (h, w, c) values from where `inside` is 1 to the pixels around.

    Resampling mixes the pixels on both sides of an edge; without this a silhouette would get the
    slope of nothing, and shine.
    """
    weight = cv2.GaussianBlur(inside, (0, 0), reach)[..., None] + 1e-4
    spread = cv2.GaussianBlur(values * inside[..., None], (0, 0), reach)
    return np.where(inside[..., None] > 0.5, values, spread / weight)


def flatten(pieces: list[tuple[Layer, int]], side: int, low: float, high: float) -> Layer:
    """One layer of what never moves: (layer, tissue id) pieces on the square low .. high."""
    canvas = Canvas(round((high - low) * side))
    to_canvas = np.array([[side, 0, -low * side], [0, side, -low * side], [0, 0, 1.0]])
    for layer, ident in pieces:
        canvas.paint(layer, to_canvas, tissue=ident)
    canvas.relief[..., 3] = 1.0
    return Layer(canvas.surface, canvas.relief, np.linalg.inv(to_canvas), ids=canvas.tissue)


def _ranked(field: np.ndarray, inside: np.ndarray) -> np.ndarray:
    """The field's rank among the pixels inside, in [0, 1]: `dissolved(0.3)` takes 30 % of them."""
    levels = np.quantile(field[inside], np.linspace(0, 1, 33))
    return np.interp(field, levels, np.linspace(0, 1, 33)).astype(np.float32)


def _blur(image: np.ndarray, sigma: float) -> np.ndarray:
    return cv2.GaussianBlur(image, (0, 0), sigma) if sigma > 0.25 else image


class Canvas:
    """The composed view of side x side pixels.

    Attributes:
      surface, relief: as in Layer (relief's last channel is unused).
      tissue, instrument: uint8 (side, side), the id that each pixel shows, 0 = none.
    """

    def __init__(self, side: int):
        self.side = side
        self.surface = np.zeros((side, side, 4), np.float32)
        self.relief = np.zeros((side, side, 4), np.float32)
        self.tissue = np.zeros((side, side), np.uint8)
        self.instrument = np.zeros((side, side), np.uint8)

    def paint(
        self, layer: Layer, to_image: np.ndarray, *, tissue: int = 0, instrument: int = 0
    ) -> None:
        """Paints a layer over what is there. `to_image` is 3 x 3, world -> pixel."""
        matrix = to_image @ layer.to_world
        height, width = layer.relief.shape[:2]
        corners = np.array([(0, 0), (width, 0), (0, height), (width, height)], float)
        corners = corners @ matrix[:2, :2].T + matrix[:2, 2]
        x1, y1 = np.clip(np.floor(corners.min(0)), 0, self.side).astype(int)
        x2, y2 = np.clip(np.ceil(corners.max(0)), 0, self.side).astype(int)
        if x2 - x1 < 2 or y2 - y1 < 2:
            return
        local = matrix[:2].copy()
        local[:, 2] -= (x1, y1)
        size = (int(x2 - x1), int(y2 - y1))
        surface = cv2.warpAffine(layer.surface, local, size, borderMode=cv2.BORDER_REPLICATE)
        relief = cv2.warpAffine(layer.relief, local, size, borderMode=cv2.BORDER_CONSTANT)
        scale = np.hypot(to_image[0, 0], to_image[1, 0])
        c, s = to_image[0, 0] / scale, to_image[1, 0] / scale
        if abs(s) > 0.03:  # a turned layer's slopes turn with it
            turn = np.eye(4, dtype=np.float32)
            turn[:2, :2] = (c, -s), (s, c)
            relief = cv2.transform(relief, turn)
        window = (slice(y1, y2), slice(x1, x2))
        if layer.ids is not None:  # opaque, and below everything else
            ids = cv2.warpAffine(layer.ids, local, size, flags=cv2.INTER_NEAREST)
            self.surface[window], self.relief[window], self.tissue[window] = surface, relief, ids
            return
        alpha = relief[..., 3:].copy()
        # Colours mix over a soft edge, slopes hardly: a mixed slope would catch a light of its own.
        firm = np.clip(4.0 * alpha - 1.5, 0.0, 1.0)
        for mine, new, share in (
            (self.surface[window], surface, alpha),
            (self.relief[window], relief, firm),
        ):
            # OpenCV: numpy is three times slower where one factor is broadcast over channels.
            share = cv2.merge([share] * 4)
            cv2.add(mine, cv2.multiply(cv2.subtract(new, mine), share), dst=mine)
        edge = 1.0 - 4.0 * alpha[..., 0] * (1.0 - alpha[..., 0])
        self.surface[window][..., 3] *= edge
        shown = alpha[..., 0] > 0.5
        self.tissue[window][shown] = tissue
        self.instrument[window][shown] = instrument

    def tent(self, point, pull, radius: float) -> None:
        """Draws the tissue at `point` along `pull` (both pixels), as a grasper does."""
        tip = np.asarray(point) + pull
        x1, y1 = np.clip(np.floor(tip - 3 * radius), 0, self.side).astype(int)
        x2, y2 = np.clip(np.ceil(tip + 3 * radius), 0, self.side).astype(int)
        if x2 - x1 < 4 or y2 - y1 < 4:
            return
        xs = np.arange(x1, x2, dtype=np.float32) - np.float32(tip[0])
        ys = np.arange(y1, y2, dtype=np.float32)[:, None] - np.float32(tip[1])
        weight = np.exp(-(xs**2 + ys**2) / (2 * radius**2)).astype(np.float32)
        map_x = (xs + np.float32(tip[0])) - np.float32(pull[0]) * weight
        map_y = (ys + np.float32(tip[1])) - np.float32(pull[1]) * weight
        window = (slice(y1, y2), slice(x1, x2))
        mode = cv2.BORDER_REPLICATE
        for name in ("surface", "relief"):
            whole = getattr(self, name)
            whole[window] = cv2.remap(whole, map_x, map_y, cv2.INTER_LINEAR, borderMode=mode)
        for name in ("tissue", "instrument"):
            whole = getattr(self, name)
            whole[window] = cv2.remap(whole, map_x, map_y, cv2.INTER_NEAREST, borderMode=mode)
        lift = np.float32(0.35 * np.hypot(*pull))  # pixels: drawn tissue also rises
        slope = -lift / np.float32(radius**2) * weight
        self.relief[window][..., 0] += slope * xs
        self.relief[window][..., 1] += slope * ys
        self.relief[window][..., 2] += lift / np.float32(self.side) * weight

    def stain(self, point, radius: float, colour, opacity: float) -> None:
        """A soft spot of colour on what is painted so far (pixels; RGB in [0, 1])."""
        x1, y1 = np.clip(np.floor(np.asarray(point) - 2.5 * radius), 0, self.side).astype(int)
        x2, y2 = np.clip(np.ceil(np.asarray(point) + 2.5 * radius), 0, self.side).astype(int)
        if x2 - x1 < 1 or y2 - y1 < 1:
            return
        xs = np.arange(x1, x2, dtype=np.float32) - np.float32(point[0])
        ys = np.arange(y1, y2, dtype=np.float32)[:, None] - np.float32(point[1])
        weight = np.exp(-(((xs**2 + ys**2) / np.float32(radius**2)) ** 2)) * np.float32(opacity)
        window = self.surface[y1:y2, x1:x2, :3]
        window += (np.float32(colour) - window) * weight[..., None]
