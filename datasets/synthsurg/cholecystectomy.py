"""The operating field of a cholecystectomy: liver, gallbladder, duct and artery, fat and bowel."""

from __future__ import annotations

import numpy as np

from surgzoo.datasets.synthsurg import scene, shapes
from surgzoo.datasets.synthsurg.layers import Canvas, flatten

ABDOMINAL_WALL, LIVER, OMENTUM, GUT, PLATE, GALLBLADDER, DUCT, ARTERY, BLOOD = range(1, 10)


class CholecystectomyScene(scene.Scene):
    tissues = {
        ABDOMINAL_WALL: "abdominal_wall",
        LIVER: "liver",
        OMENTUM: "omentum",
        GUT: "gut",
        PLATE: "cystic_plate",
        GALLBLADDER: "gallbladder",
        DUCT: "cystic_duct",
        ARTERY: "cystic_artery",
        BLOOD: "blood",
    }

    def __init__(self, rng: np.random.Generator, side: int):
        super().__init__(rng, side)
        self.spine = shapes.curve(
            self.place([(0.34, 0.12), (0.38, 0.28), (0.45, 0.44), (0.53, 0.56)]), 40
        )
        girth = rng.uniform(0.9, 1.12)
        radii = girth * np.array([0.105, 0.125, 0.11, 0.075, 0.040])
        self.duct = shapes.curve(self.place([(0.525, 0.55), (0.57, 0.67), (0.64, 0.82)]), 40)
        self.artery = shapes.curve(
            self.place([(0.50, 0.46), (0.62, 0.53), (0.73, 0.63), (0.86, 0.80)]), 40
        )
        self._bake_background()
        self._bake_gallbladder(radii)
        self._bake_structures()
        self._bake_covers()
        self.bag = scene.Bag(self)
        self.bag_home = np.array([0.66, 0.70])
        self.bag_way = np.array([-0.62, -0.50])

    def _bake_background(self):
        rng, organ = self.rng, self.organ
        box = np.array([(-0.4, -0.4), (1.4, -0.4), (1.4, 1.4), (-0.4, 1.4)])
        right = shapes.blob(rng, self.place((0.78, 0.16)), (0.66, 0.60), 0.35, 0.07)
        left = shapes.blob(rng, self.place((-0.05, 0.42)), (0.40, 0.46), -0.2, 0.08)
        bowel = shapes.tube(
            self.place([(0.74, 1.22), (0.94, 0.98), (1.25, 0.92)]), [0.20, 0.17, 0.2]
        )
        stomach = shapes.blob(rng, self.place((0.02, 1.06)), (0.28, 0.22), 0.3, 0.08)
        fat = shapes.blob(rng, self.place((0.50, 1.08)), (0.50, 0.27), 0.0, 0.10)
        pool = shapes.blob(rng, self.place((0.42, 0.72)), (0.30, 0.15), 0.1, 0.22)
        pieces = [
            (organ(box, scene.WALL, -0.30, 0.0, 0.3), ABDOMINAL_WALL),
            (organ(right, scene.LIVER, -0.12, 0.14, 0.30), LIVER),
            (organ(left, scene.LIVER, -0.10, 0.12, 0.26), LIVER),
            (organ(fat, scene.FAT, -0.10, 0.12, 0.16), OMENTUM),
            (organ(stomach, scene.BOWEL, -0.08, 0.13, 0.20), GUT),
            (organ(bowel, scene.BOWEL, -0.06, 0.14, 0.17), GUT),
        ]
        # Raw tissue behind the triangle, through which the liver shows.
        raw = shapes.blob(rng, self.place((0.62, 0.62)), (0.17, 0.13), 0.7, 0.25)
        behind = organ(raw, scene.RAW, 0.0, 0.02, 0.05, feather=0.03)
        behind.relief[..., 3] *= 0.48  # less than half: the pixels stay liver
        pieces.append((behind, LIVER))
        self.background = flatten(pieces, self.side, -0.35, 1.35)
        self.pool = organ(pool, scene.BLOOD, 0.02, 0.012, 0.03, dissolves=0.2, inward=True)
        self.pool_centre = pool.mean(0)

    def _bake_gallbladder(self, radii):
        organ = self.organ
        outline = shapes.tube(self.spine[::4], radii)
        bed = shapes.tube(self.spine[::4] + np.array((0.012, 0.0)), 0.92 * radii)
        self.bed = organ(bed, scene.BED, 0.03, -0.03, 0.06, feather=0.012)
        self.gallbladder = organ(outline, scene.GALLBLADDER, 0.04, 0.12, 0.12)
        self.length = np.linalg.norm(self.spine[-1] - self.spine[0])

    def _bake_structures(self):
        organ = self.organ
        cut = 18  # of 40 samples along the duct and the artery
        self.structures = {}
        for name, path, radius, material in (
            ("duct", self.duct, 0.027, scene.DUCT),
            ("artery", self.artery, 0.017, scene.ARTERY),
        ):
            near = shapes.tube(path[: cut + 1 : 3], [radius])
            far = shapes.tube(path[cut - 2 :: 3], [radius])
            clips = [
                self.band(
                    path[i], path[i + 2] - path[i - 2], 0.011, 1.55 * radius, scene.CLIP, 0.12
                )
                for i in (cut + 4, cut + 8, cut - 6)
            ]
            bases = 0.05, 0.05
            self.structures[name] = (
                organ(near, material, bases[0], 0.03, radius),
                organ(far, material, bases[1], 0.03, radius),
                clips,
            )

    def _bake_covers(self):
        rng, organ = self.rng, self.organ
        middle = shapes.apply(self.patient, [(0.66, 0.66)])[0]
        calot = shapes.blob(rng, middle, (0.25, 0.17), 0.55, 0.14)
        body = shapes.blob(rng, self.spine[22] + np.array((0.02, 0.03)), (0.24, 0.23), 0.9, 0.16)
        ligament = shapes.blob(rng, self.place((0.78, 0.85)), (0.27, 0.105), -0.12, 0.12)
        self.ligament = organ(ligament, scene.FAT, 0.07, 0.06, 0.08)  # duct and artery end in it
        self.calot_fat = organ(
            calot, scene.FAT, 0.06, 0.05, 0.09, dissolves=0.12, toward=(0.5, 0.3)
        )
        self.adhesion = organ(body, scene.FAT, 0.14, 0.04, 0.09, dissolves=0.14, toward=(-0.3, 1.0))
        self.adhesion_centre = self.spine[22] + np.array((0.02, 0.03))

    # ---- state -----------------------------------------------------------------------------------

    def _gallbladder_pose(self, v: dict[str, float]) -> np.ndarray:
        """World -> world: turned off its bed about the fundus; then free, and into the bag."""
        fundus = self.spine[0]
        turn = 0.16 * v["plate"] + 0.05 * v["duct_cut"] + 0.75 * v["detach"]
        pose = shapes.similarity(turn, 1.0, fundus, (0.0, 0.0))
        if v["gone"] > 0:
            f = min(1.0, 2.0 * v["gone"])
            middle = shapes.apply(pose, self.spine[20])
            free = np.array([0.40, 0.52])
            inside = self.bag_home + np.array((-0.03, 0.01))
            goal = free + (inside - free) * v["fill"]
            size = 1.0 - f * (0.22 + 0.22 * v["fill"])
            pose = shapes.similarity(0.9 * v["fill"], size, middle, f * (goal - middle)) @ pose
        return pose

    def paint(self, canvas: Canvas, to_image: np.ndarray, v: dict[str, float], bag: int) -> None:
        canvas.paint(self.background, to_image)
        canvas.paint(self.bed, to_image, tissue=PLATE)
        moved = to_image @ self._gallbladder_pose(v)
        self._paint_structures(canvas, to_image, moved, v)
        if v["gone"] < 0.3:
            canvas.paint(self.gallbladder, moved, tissue=GALLBLADDER)
        if v["calot"] < 1.0:
            canvas.paint(self.calot_fat.dissolved(v["calot"]), to_image, tissue=OMENTUM)
        if v["adhesion"] < 1.0:
            canvas.paint(self.adhesion.dissolved(v["adhesion"]), to_image, tissue=OMENTUM)
        if v["pool"] > 0.02:
            canvas.paint(self.pool.dissolved(1.0 - v["pool"]), to_image, tissue=BLOOD)
        in_bag = to_image @ self.bag.pose(v, self.bag_home, self.bag_way)
        if v["closed"] > 0.5:
            self.bag.shut(canvas, in_bag, bag)
            return
        if v["bag"] > 0.01:
            self.bag.behind(canvas, in_bag, bag)
        if 0.3 <= v["gone"] < 0.75:
            canvas.paint(self.gallbladder, moved, tissue=GALLBLADDER)
        if v["bag"] > 0.01:
            self.bag.before(canvas, in_bag, bag)

    def _paint_structures(self, canvas, to_image, moved, v):
        for name, ident in (("artery", ARTERY), ("duct", DUCT)):
            near, far, clips = self.structures[name]
            count = round(v[f"{name}_clips"])
            canvas.paint(far, to_image, tissue=ident)
            for clip in clips[: min(count, 2)]:
                canvas.paint(clip, to_image, tissue=ident)
            if v["gone"] < 0.3:
                pose = moved if v[f"{name}_cut"] > 0.5 else to_image
                canvas.paint(near, pose, tissue=ident)
                for clip in clips[2:count]:
                    canvas.paint(clip, pose, tissue=ident)
        canvas.paint(self.ligament, to_image, tissue=OMENTUM)

    def site(self, name: str, v: dict[str, float]) -> np.ndarray:
        pose = self._gallbladder_pose(v)
        bag = self.bag.pose(v, self.bag_home, self.bag_way)
        edge = int(38 - 30 * v["detach"])  # the line where the gallbladder still hangs on its bed
        own = {
            "fundus": lambda: shapes.apply(pose, self.spine[6]),
            "neck": lambda: shapes.apply(pose, self.spine[33]),
            "specimen": lambda: shapes.apply(pose, self.spine[30]),
            "adhesion": lambda: self.adhesion_centre + np.array((0.01, -0.06)),
            "adhesion_low": lambda: self.adhesion_centre + np.array((0.09, 0.01)),
            "duct": lambda: self.duct[18],
            "duct_low": lambda: self.duct[28],
            "artery": lambda: self.artery[18],
            "plate": lambda: shapes.apply(pose, self.spine[28]) + np.array((0.085, -0.01)),
            "bed_edge": lambda: 0.4 * self.spine[edge] + 0.6 * shapes.apply(pose, self.spine[edge]),
            "bed": lambda: self.spine[14],
            "bed_low": lambda: self.spine[28],
            "pool": lambda: self.pool_centre,
            "idle": lambda: np.array([0.86, 0.40]),
            "bag_rim": lambda: shapes.apply(bag, (0.07, -0.11)),
            "bag_string": lambda: shapes.apply(bag, (-0.085, -0.19)),
        }
        return own[name]()
