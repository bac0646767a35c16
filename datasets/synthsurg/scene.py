"""What the two operating fields share: materials, the specimen bag, baking helpers."""

from __future__ import annotations

import abc
import dataclasses

import numpy as np

from surgzoo.datasets.synthsurg import shapes
from surgzoo.datasets.synthsurg.layers import Canvas, Layer, Material, bake, jitter

LIVER = Material(
    (0.39, 0.125, 0.095), (0.22, 0.055, 0.050), 0.22, gloss=0.8, bump=0.075, swell=0.02
)
GALLBLADDER = Material(
    (0.68, 0.57, 0.53), (0.50, 0.49, 0.36), 0.18, gloss=0.7, bump=0.07, swell=0.012, vessels=10
)
FAT = Material(
    (0.84, 0.62, 0.26), (0.76, 0.47, 0.20), 0.12, gloss=0.6, bump=0.09, vessels=5, lobules=0.055
)
BOWEL = Material(
    (0.82, 0.44, 0.38), (0.70, 0.31, 0.27), 0.15, gloss=0.7, bump=0.09, swell=0.02, vessels=9
)
WALL = Material((0.40, 0.15, 0.12), (0.27, 0.09, 0.08), 0.35, gloss=0.35, bump=0.08, vessels=6)
DUCT = Material((0.76, 0.60, 0.42), (0.62, 0.45, 0.29), 0.10, gloss=0.8, bump=0.05, swell=0.004)
ARTERY = Material((0.66, 0.17, 0.15), (0.54, 0.11, 0.10), 0.08, gloss=0.8, bump=0.05, swell=0.004)
VEIN = Material((0.32, 0.22, 0.40), (0.26, 0.15, 0.30), 0.10, gloss=0.8, bump=0.05, swell=0.006)
BED = Material((0.56, 0.12, 0.09), (0.36, 0.05, 0.05), 0.07, gloss=0.6, bump=0.22, char=0.10)
KIDNEY = Material(
    (0.54, 0.20, 0.15), (0.45, 0.14, 0.11), 0.2, gloss=0.75, bump=0.07, swell=0.012, vessels=3
)
PALE_KIDNEY = dataclasses.replace(KIDNEY, colour=(0.52, 0.33, 0.33), second=(0.46, 0.26, 0.27))
TUMOUR = Material(
    (0.80, 0.66, 0.44), (0.66, 0.42, 0.28), 0.08, gloss=0.6, bump=0.12, swell=0.016, vessels=5
)
CRATER = Material((0.44, 0.06, 0.05), (0.60, 0.22, 0.14), 0.05, gloss=0.7, bump=0.30)
RAW = Material((0.50, 0.17, 0.13), (0.66, 0.38, 0.24), 0.06, gloss=0.7, bump=0.24, swell=0.03)
BLOOD = Material(
    (0.34, 0.018, 0.014), (0.17, 0.006, 0.006), 0.12, gloss=1.0, bump=0.07, swell=0.010
)
BAG = Material((0.80, 0.84, 0.88), (0.60, 0.68, 0.76), 0.16, gloss=0.85, bump=0.07, swell=0.07)
CLIP = Material((0.80, 0.82, 0.88), (0.70, 0.72, 0.78), 0.05, gloss=1.0, bump=0.0, swell=0.0)
CLAMP = Material((0.10, 0.26, 0.66), (0.08, 0.20, 0.56), 0.05, gloss=0.9, bump=0.0, swell=0.0)
THREAD = Material((0.20, 0.10, 0.42), (0.16, 0.08, 0.34), 0.05, gloss=0.4, bump=0.0, swell=0.0)


class Scene(abc.ABC):
    """An operating field of one patient.

    Attributes:
      side: pixels of one world unit. tissues: id in the tissue map -> native label.
    """

    tissues: dict[int, str]

    def __init__(self, rng: np.random.Generator, side: int):
        self.rng, self.side = rng, side
        angle, scale = rng.uniform(-0.20, 0.20), rng.uniform(0.94, 1.08)
        self.patient = shapes.similarity(angle, scale, (0.5, 0.5), rng.uniform(-0.04, 0.04, 2))

    @abc.abstractmethod
    def paint(self, canvas: Canvas, to_image: np.ndarray, v: dict[str, float], bag: int) -> None:
        """Paints the field with variables `v`; the specimen bag gets the instrument id `bag`."""

    @abc.abstractmethod
    def site(self, name: str, v: dict[str, float]) -> np.ndarray:
        """Where a named point is now, (2,) world units. Raises KeyError."""

    def place(self, points) -> np.ndarray:
        """Points of the atlas to this patient, each moved a little more."""
        points = np.asarray(points, float)
        return shapes.apply(self.patient, points + self.rng.normal(0, 0.008, points.shape))

    def organ(self, outline, material: Material, base, height, rim, **kwargs) -> Layer:
        """Bakes an outline in the patient's own tint of a material."""
        tint = dataclasses.replace(
            material,
            colour=jitter(self.rng, material.colour, 0.035),
            second=jitter(self.rng, material.second, 0.05),
        )
        return bake(
            self.rng,
            np.asarray(outline),
            tint,
            self.side,
            base=base,
            height=height,
            rim=rim,
            **kwargs,
        )

    def band(self, centre, along, half_width, half_length, material, base) -> Layer:
        """A clip, clamp or stitch: a bar across the direction `along`."""
        along = np.asarray(along) / (np.linalg.norm(along) + 1e-9)
        across = np.array([-along[1], along[0]])
        ends = (
            np.asarray(centre) - half_length * across,
            np.asarray(centre) + half_length * across,
        )
        return self.organ(
            shapes.tube(ends, [half_width], 6), material, base, 0.012, half_width, feather=0.0
        )


class Bag:
    """A specimen bag: open with a dark mouth, or closed with a drawn neck and a string.

    The bag's own centre is (0, 0); `pose` places it.
    """

    def __init__(self, scene: Scene):
        rng = scene.rng
        body = shapes.blob(rng, (0.0, 0.03), (0.20, 0.17), 0.25, 0.08)
        mouth = shapes.blob(rng, (-0.07, -0.075), (0.15, 0.075), -0.25, 0.05)
        inside = dataclasses.replace(BAG, colour=(0.34, 0.36, 0.40), second=(0.22, 0.22, 0.26))
        self.rim = scene.organ(
            1.16 * (mouth - mouth.mean(0)) + mouth.mean(0), BAG, 0.10, 0.03, 0.02
        )
        self.mouth = scene.organ(mouth, inside, 0.07, -0.02, 0.06)
        self.body = scene.organ(body, BAG, 0.10, 0.07, 0.14)
        lower = body.copy()  # the front sheet leaves the mouth free
        edge = mouth.mean(0)[1] + 0.035 - 0.2 * (lower[:, 0] - mouth.mean(0)[0])
        lower[:, 1] = np.maximum(lower[:, 1], edge)
        self.front = scene.organ(lower, BAG, 0.13, 0.06, 0.12)
        self.front.relief[..., 3] *= 0.86
        neck = shapes.tube([(0.02, 0.05), (-0.05, -0.10), (-0.09, -0.20)], [0.16, 0.05, 0.035])
        knot = dataclasses.replace(BAG, colour=(0.16, 0.34, 0.62), second=(0.12, 0.28, 0.55))
        self.neck = scene.organ(neck, BAG, 0.13, 0.06, 0.07)
        self.string = scene.organ(
            shapes.tube([(-0.11, -0.155), (-0.035, -0.175)], [0.014]), knot, 0.18, 0.02, 0.014
        )
        dark = dataclasses.replace(
            GALLBLADDER, colour=(0.42, 0.34, 0.26), second=(0.36, 0.22, 0.18)
        )
        self.lump = scene.organ(
            shapes.blob(rng, (0.02, 0.07), (0.12, 0.08), 0.3), dark, 0.15, 0.05, 0.1
        )
        self.lump.relief[..., 3] *= 0.45  # shimmers through the sheet

    @staticmethod
    def pose(v: dict[str, float], home, toward) -> np.ndarray:
        """3 x 3: comes in from the lower right, leaves along `toward`."""
        away = (1.0 - v["bag"]) * np.array([0.7, 0.6])
        out = np.asarray(toward) * v["extract"]
        return shapes.similarity(0.0, 1.0, (0, 0), np.asarray(home) + away + out)

    def behind(self, canvas: Canvas, to_image: np.ndarray, ident: int) -> None:
        for layer in (self.body, self.rim, self.mouth):
            canvas.paint(layer, to_image, instrument=ident)

    def before(self, canvas: Canvas, to_image: np.ndarray, ident: int) -> None:
        canvas.paint(self.front, to_image, instrument=ident)

    def shut(self, canvas: Canvas, to_image: np.ndarray, ident: int) -> None:
        for layer in (self.body, self.neck, self.lump, self.string):
            canvas.paint(layer, to_image, instrument=ident)
