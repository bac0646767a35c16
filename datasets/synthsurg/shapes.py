"""Outlines in world units: closed blobs and tubes along smooth curves.

World units: the image is 1 x 1 at zoom 1, x to the right, y down. An outline is float64 (n, 2).
"""

from __future__ import annotations

import numpy as np

Points = np.ndarray


def curve(points, samples: int = 40) -> Points:
    """A Catmull-Rom curve through the points, (samples, 2)."""
    points = np.asarray(points, np.float64)
    padded = np.vstack([2 * points[0] - points[1], points, 2 * points[-1] - points[-2]])
    t = np.linspace(0, len(points) - 1 - 1e-9, samples)
    i, f = t.astype(int), (t % 1)[:, None]
    a, b, c, d = (padded[i + k] for k in range(4))
    return 0.5 * (
        2 * b + (c - a) * f + (2 * a - 5 * b + 4 * c - d) * f**2 + (3 * b - a - 3 * c + d) * f**3
    )


def tube(points, radii, samples: int = 40) -> Points:
    """The outline of a tube with round ends; `radii` are spread evenly along the curve."""
    spine = curve(points, samples)
    radius = np.interp(np.linspace(0, 1, samples), np.linspace(0, 1, len(radii)), radii)
    along = np.gradient(spine, axis=0)
    along /= np.linalg.norm(along, axis=1, keepdims=True) + 1e-9
    across = np.stack([-along[:, 1], along[:, 0]], 1)
    sweep = np.linspace(-np.pi / 2, np.pi / 2, 9)[1:-1, None]
    head = spine[0] - radius[0] * (np.cos(sweep) * along[0] + np.sin(sweep) * across[0])
    tail = spine[-1] + radius[-1] * (np.cos(sweep) * along[-1] - np.sin(sweep) * across[-1])
    left = spine + radius[:, None] * across
    right = spine - radius[:, None] * across
    return np.vstack([left, tail, right[::-1], head[::-1]])


def blob(
    rng: np.random.Generator, centre, radii, angle: float = 0.0, wobble: float = 0.1
) -> Points:
    """A wavy ellipse; `wobble` is the share of the radius that random harmonics change."""
    phi = np.linspace(0, 2 * np.pi, 64, endpoint=False)
    scale = np.ones_like(phi)
    for harmonic in (2, 3, 4, 5):
        scale += wobble / harmonic * rng.normal() * np.cos(harmonic * phi + rng.uniform(0, 6.3))
    x, y = radii[0] * scale * np.cos(phi), radii[1] * scale * np.sin(phi)
    c, s = np.cos(angle), np.sin(angle)
    return np.stack([centre[0] + c * x - s * y, centre[1] + s * x + c * y], 1)


def similarity(angle: float = 0.0, scale: float = 1.0, about=(0.0, 0.0), shift=(0.0, 0.0)):
    """The 3 x 3 matrix: turn by `angle` and scale around `about`, then shift."""
    c, s = scale * np.cos(angle), scale * np.sin(angle)
    about, shift = np.asarray(about, float), np.asarray(shift, float)
    linear = np.array([[c, -s], [s, c]])
    out = np.eye(3)
    out[:2, :2] = linear
    out[:2, 2] = about - linear @ about + shift
    return out


def apply(matrix: np.ndarray, points) -> Points:
    """A 3 x 3 affine matrix applied to (..., 2) points."""
    return np.asarray(points, np.float64) @ matrix[:2, :2].T + matrix[:2, 2]
