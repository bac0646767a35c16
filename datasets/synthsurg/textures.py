"""Random fields that tissue is made of: fractal noise, lobules, vessels. All float32 in [0, 1].

Every function draws from the generator it is given and from nothing else, so a patient's texture is
a pure function of the seed. `cell` is the size of the largest feature in pixels.
"""

from __future__ import annotations

import cv2
import numpy as np


def fractal(
    rng: np.random.Generator, shape: tuple[int, int], cell: float, octaves: int = 3
) -> np.ndarray:
    """Smooth noise (h, w), each octave half as large and half as strong as the one before."""
    height, width = shape
    out = np.zeros(shape, np.float32)
    for octave in range(octaves):
        size = max(2.0, cell / 2**octave)
        grid = rng.random((int(height / size) + 3, int(width / size) + 3), dtype=np.float32)
        out += 0.5**octave * cv2.resize(grid, (width, height), interpolation=cv2.INTER_CUBIC)
    return cv2.normalize(out, None, 0.0, 1.0, cv2.NORM_MINMAX)


def lobules(rng: np.random.Generator, shape: tuple[int, int], cell: float) -> np.ndarray:
    """Bulging, irregular cells (h, w): high on a lobule, 0 in the furrow between two."""
    coarse = _cells(rng, shape, 1.7 * cell)
    fine = _cells(rng, shape, 0.8 * cell)
    height, width = shape
    bend = 0.9 * cell
    ys, xs = np.mgrid[0:height, 0:width].astype(np.float32)
    xs += bend * (fractal(rng, shape, 2.0 * cell, 2) - 0.5)
    ys += bend * (fractal(rng, shape, 2.0 * cell, 2) - 0.5)
    mixed = 0.65 * coarse + 0.35 * fine
    mixed = cv2.remap(mixed, xs, ys, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT)
    return cv2.GaussianBlur(mixed, (0, 0), 0.11 * cell)


def _cells(rng: np.random.Generator, shape: tuple[int, int], cell: float) -> np.ndarray:
    """Rounded Voronoi cells around jittered grid points."""
    height, width = shape
    rows, columns = int(height / cell) + 2, int(width / cell) + 2
    centres = np.stack(np.meshgrid(np.arange(columns), np.arange(rows)), -1).reshape(-1, 2)
    centres = (centres + rng.uniform(-0.3, 1.3, centres.shape)) * cell - cell / 2
    seeds = np.full(shape, 255, np.uint8)
    x = np.clip(centres[:, 0].astype(int), 0, width - 1)
    y = np.clip(centres[:, 1].astype(int), 0, height - 1)
    seeds[y, x] = 0
    distance = cv2.distanceTransform(seeds, cv2.DIST_L2, 5) / (0.85 * cell)
    return np.clip(1.0 - distance**2, 0.0, 1.0)


def vessels(
    rng: np.random.Generator, shape: tuple[int, int], count: int, reach: float
) -> np.ndarray:
    """Branching surface vessels (h, w) as opacity; `reach` is the length of one, in pixels."""
    height, width = shape
    canvas = np.zeros((2 * height, 2 * width), np.uint8)
    stack = [
        (rng.uniform(0, (2 * width, 2 * height)), rng.uniform(0, 2 * np.pi), 2.0 * reach, 2)
        for _ in range(count)
    ]
    while stack:
        start, heading, length, width_px = stack.pop()
        steps = 9
        headings = heading + np.cumsum(rng.normal(0, 0.22, steps))
        hops = np.stack([np.cos(headings), np.sin(headings)], 1) * (length / steps)
        path = np.vstack([start, start + np.cumsum(hops, 0)])
        points = np.round(path).astype(np.int32).reshape(-1, 1, 2)
        cv2.polylines(canvas, [points], False, 60 + 80 * width_px, width_px, cv2.LINE_AA)
        if width_px > 1:
            for at in (2, 4, 7):
                turn = rng.choice((-1, 1)) * rng.uniform(0.4, 0.9)
                stack.append((path[at], headings[at - 1] + turn, 0.6 * length, width_px - 1))
    small = cv2.resize(canvas, (width, height), interpolation=cv2.INTER_AREA)
    return small.astype(np.float32) / 255.0
