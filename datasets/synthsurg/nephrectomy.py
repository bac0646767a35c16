"""The operating field of a partial nephrectomy: kidney, tumour, renal vessels, fat and colon."""

from __future__ import annotations

import dataclasses

import numpy as np

from surgzoo.datasets.synthsurg import scene, shapes
from surgzoo.datasets.synthsurg.layers import Canvas, flatten

ABDOMINAL_WALL, SPLEEN, FAT, GUT, KIDNEY, VEIN, ARTERY, TUMOUR, BLOOD = range(1, 10)


class NephrectomyScene(scene.Scene):
    tissues = {
        ABDOMINAL_WALL: "abdominal_wall",
        SPLEEN: "spleen",
        FAT: "perirenal_fat",
        GUT: "gut",
        KIDNEY: "kidney",
        VEIN: "renal_vein",
        ARTERY: "renal_artery",
        TUMOUR: "tumor",
        BLOOD: "blood",
    }

    def __init__(self, rng: np.random.Generator, side: int):
        super().__init__(rng, side)
        self.kidney_centre = self.place((0.64, 0.42))
        self.vein = shapes.curve(self.place([(0.50, 0.50), (0.34, 0.58), (0.10, 0.60)]), 40)
        self.artery = shapes.curve(self.place([(0.48, 0.40), (0.30, 0.44), (0.08, 0.40)]), 40)
        self._bake_background()
        self._bake_kidney()
        self._bake_covers()
        self.bag = scene.Bag(self)
        self.bag_home = np.array([0.40, 0.72])

    def _bake_background(self):
        rng, organ = self.rng, self.organ
        box = np.array([(-0.4, -0.4), (1.4, -0.4), (1.4, 1.4), (-0.4, 1.4)])
        muscle = dataclasses.replace(
            scene.WALL, colour=(0.50, 0.20, 0.16), second=(0.36, 0.12, 0.10)
        )
        spleen = shapes.blob(rng, self.place((0.90, -0.16)), (0.45, 0.28), 0.2, 0.06)
        purple = dataclasses.replace(
            scene.LIVER, colour=(0.38, 0.10, 0.15), second=(0.28, 0.06, 0.11)
        )
        behind = shapes.blob(rng, self.place((0.46, 0.62)), (0.62, 0.46), 0.1, 0.10)
        pool = shapes.blob(rng, self.place((0.62, 0.72)), (0.27, 0.13), -0.1, 0.22)
        pieces = [
            (organ(box, muscle, -0.30, 0.0, 0.3), ABDOMINAL_WALL),
            (organ(behind, scene.FAT, -0.16, 0.10, 0.22), FAT),
            (organ(spleen, purple, -0.10, 0.14, 0.2), SPLEEN),
        ]
        self.background = flatten(pieces, self.side, -0.35, 1.35)
        self.pool = organ(pool, scene.BLOOD, 0.02, 0.012, 0.03, dissolves=0.2, inward=True)
        self.pool_centre = pool.mean(0)
        path = self.place([(-0.25, 0.70), (0.15, 0.66), (0.50, 0.52), (0.85, 0.46), (1.3, 0.28)])
        girth = rng.uniform(0.9, 1.1) * 0.19
        haustra = girth * (1.0 + 0.10 * np.cos(np.arange(24) * 1.6))
        self.colon_path = shapes.curve(path, 40)
        self.colon = organ(shapes.tube(path, haustra, 80), scene.BOWEL, 0.06, 0.15, 0.17)
        taenia = dataclasses.replace(
            scene.BOWEL, colour=(0.90, 0.62, 0.52), second=(0.86, 0.56, 0.46)
        )
        self.taenia = organ(
            shapes.tube(self.colon_path[::4] + np.array((0.01, 0.03)), [0.022]),
            taenia,
            0.20,
            0.01,
            0.02,
            feather=0.012,
        )

    def _bake_kidney(self):
        rng, organ, centre = self.rng, self.organ, self.kidney_centre
        bean = shapes.blob(rng, (0.0, 0.0), (0.27, 0.205), 0.0, 0.04)
        bean[:, 0] += 0.09 * np.exp(-(((bean[:, 1]) / 0.09) ** 2)) * (bean[:, 0] < 0)  # the hilum
        bean = shapes.apply(shapes.similarity(-0.25 + rng.uniform(-0.15, 0.15), 1.0), bean) + centre
        state = rng.bit_generator.state
        self.kidney = organ(bean, scene.KIDNEY, 0.0, 0.15, 0.20)
        rng.bit_generator.state = state  # the same relief and vessels, in another colour
        self.pale = organ(bean, scene.PALE_KIDNEY, 0.0, 0.15, 0.20)
        self.spot = centre + rng.uniform(-0.02, 0.02, 2) + np.array((0.07, -0.05))
        lump = shapes.blob(rng, self.spot, (0.105, 0.095), 0.2, 0.08)
        hollow = shapes.blob(rng, self.spot, (0.115, 0.085), 0.5, 0.10)
        closed = shapes.blob(rng, self.spot, (0.115, 0.030), 0.5, 0.10)
        self.tumour = organ(lump, scene.TUMOUR, 0.11, 0.08, 0.09)
        self.crater = organ(hollow, scene.CRATER, 0.14, -0.05, 0.05, feather=0.008)
        self.seam = organ(closed, scene.CRATER, 0.14, -0.02, 0.02, feather=0.008)
        self.axis = np.array([np.cos(0.5), np.sin(0.5)])
        self.stitches = [
            self.band(self.spot + s * self.axis, self.axis, 0.009, 0.060, scene.THREAD, 0.17)
            for s in (-0.075, -0.025, 0.025, 0.075)
        ]

    def _bake_covers(self):
        rng, organ = self.rng, self.organ
        vein = shapes.tube(self.vein[::4], [0.042])
        artery = shapes.tube(self.artery[::4], [0.026])
        self.vessels = [
            (organ(vein, scene.VEIN, 0.01, 0.05, 0.042), VEIN),
            (organ(artery, scene.ARTERY, 0.02, 0.04, 0.026), ARTERY),
        ]
        self.clamps = [
            self.band(path[i], path[i + 2] - path[i - 2], 0.019, length, scene.CLAMP, 0.10)
            for path, i, length in ((self.artery, 13, 0.045), (self.vein, 20, 0.062))
        ]
        hilum = shapes.blob(rng, self.place((0.30, 0.50)), (0.27, 0.19), 0.0, 0.12)
        middle = self.kidney_centre + np.array((0.03, -0.01))
        gerota = shapes.blob(rng, middle, (0.30, 0.23), -0.25, 0.08)
        self.hilar_fat = organ(
            hilum, scene.FAT, 0.06, 0.05, 0.09, dissolves=0.12, toward=(0.3, 0.1)
        )
        self.gerota = organ(gerota, scene.FAT, 0.06, 0.15, 0.22, dissolves=0.14)
        # A window in the fat lets the kidney be seen from the beginning.
        self.window = self.gerota.dissolved(0.22)

    # ---- state -----------------------------------------------------------------------------------

    def _colon_pose(self, v: dict[str, float]) -> np.ndarray:
        return shapes.similarity(0.12 * v["colon"], 1.0, (0, 0.7), (0.0, 0.46 * v["colon"]))

    def _tumour_pose(self, v: dict[str, float]) -> np.ndarray:
        shift = v["excise"] * np.array([-0.035, -0.055])
        pose = shapes.similarity(0.5 * v["excise"], 1.0, self.spot, shift)
        if v["tumour_gone"]:
            free = np.array([0.30, 0.50])
            goal = free + (self.bag_home + np.array((-0.03, 0.0)) - free) * v["fill"]
            pose = shapes.similarity(0.9 + v["fill"], 1.0, self.spot, goal - self.spot)
        return pose

    def paint(self, canvas: Canvas, to_image: np.ndarray, v: dict[str, float], bag: int) -> None:
        canvas.paint(self.background, to_image)
        for layer, ident in self.vessels:
            canvas.paint(layer, to_image, tissue=ident)
        for clamp in self.clamps[: round(v["clamps"])]:
            canvas.paint(clamp, to_image, tissue=ARTERY if clamp is self.clamps[0] else VEIN)
        canvas.paint(self.pale if v["pale"] > 0.5 else self.kidney, to_image, tissue=KIDNEY)
        self._paint_tumour(canvas, to_image, v)
        if v["fat"] < 1.0:
            canvas.paint(self.window, to_image, tissue=FAT)
        if v["hilum"] < 1.0:
            canvas.paint(self.hilar_fat.dissolved(v["hilum"]), to_image, tissue=FAT)
        if v["pool"] > 0.02:
            canvas.paint(self.pool.dissolved(1.0 - v["pool"]), to_image, tissue=BLOOD)
        moved = to_image @ self._colon_pose(v)
        canvas.paint(self.colon, moved, tissue=GUT)
        canvas.paint(self.taenia, moved, tissue=GUT)
        if v["bag"] > 0.01:
            in_bag = to_image @ self.bag.pose(v, self.bag_home, (0, 0))
            self.bag.behind(canvas, in_bag, bag)
            canvas.paint(self.tumour, to_image @ self._tumour_pose(v), tissue=TUMOUR)
            self.bag.before(canvas, in_bag, bag)

    def _paint_tumour(self, canvas, to_image, v):
        sewn = v["stitches"] >= 3.0
        if v["excise"] > 0.05:
            canvas.paint(self.seam if sewn else self.crater, to_image, tissue=KIDNEY)
        if not v["tumour_gone"]:
            canvas.paint(self.tumour, to_image @ self._tumour_pose(v), tissue=TUMOUR)
        for stitch in self.stitches[: int(v["stitches"])]:
            canvas.paint(stitch, to_image, tissue=KIDNEY)

    def site(self, name: str, v: dict[str, float]) -> np.ndarray:
        colon = self._colon_pose(v)
        tumour = self._tumour_pose(v)
        bag = self.bag.pose(v, self.bag_home, (0, 0))
        own = {
            "colon": lambda: shapes.apply(colon, self.colon_path[16]),
            "colon_line": lambda: shapes.apply(colon, self.colon_path[24] + np.array((0.0, -0.15))),
            "colon_line_far": lambda: shapes.apply(
                colon, self.colon_path[19] + np.array((0.0, -0.15))
            ),
            "vein": lambda: self.vein[20],
            "renal_artery": lambda: self.artery[13],
            "kidney_edge": lambda: self.kidney_centre + np.array((-0.06, -0.16)),
            "kidney_low": lambda: self.kidney_centre + np.array((-0.04, 0.09)),
            "tumour": lambda: shapes.apply(tumour, self.spot + np.array((-0.05, -0.04))),
            "tumour_edge": lambda: self.spot + np.array((0.075, 0.045)),
            "specimen": lambda: shapes.apply(tumour, self.spot),
            "crater": lambda: self.spot + 0.03 * self.axis,
            "crater_low": lambda: self.spot - 0.03 * self.axis,
            "needle_pick": lambda: self.spot + np.array((0.13, 0.27)),
            "thread_end": lambda: self.spot + np.array((0.09, 0.14)),
            "knot": lambda: self.spot + np.array((0.02, 0.05)),
            "pool": lambda: self.pool_centre,
            "idle": lambda: np.array([0.86, 0.62]),
            "bag_rim": lambda: shapes.apply(bag, (0.07, -0.11)),
        }
        return own[name]()
