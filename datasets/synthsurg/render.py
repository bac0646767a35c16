"""An operation as pictures: the view at a time t is a pure function of (seed, video, t).

`Operation(seed, number, procedure, side)` draws a patient, a plan and a camera; `frame(t)` composes
and lights the view, with its exact masks and depth. Frames need no order and share no state that
could change them, so stretches of a video can be rendered anywhere. The speed is measured by
`tools/bench/render_synthsurg.py`.
"""

from __future__ import annotations

import dataclasses
import functools

import cv2
import numpy as np

from surgzoo.datasets.synthsurg import shading, shapes
from surgzoo.datasets.synthsurg.cholecystectomy import CholecystectomyScene
from surgzoo.datasets.synthsurg.instruments import Tray
from surgzoo.datasets.synthsurg.layers import Canvas
from surgzoo.datasets.synthsurg.nephrectomy import NephrectomyScene
from surgzoo.datasets.synthsurg.plan import Entry, Timeline
from surgzoo.datasets.synthsurg.procedures import ENERGISED, PROCEDURES
from surgzoo.datasets.synthsurg.scene import Scene

SCENES = {"cholecystectomy": CholecystectomyScene, "nephrectomy": NephrectomyScene}
HANDS = {"bag": 1, "visitor": 2, "assistant": 3, "surgeon": 4}  # ids in the instrument map
BAG_TRACK = 100
SLIVER = 0.004  # share of the image below which an instrument does not count as visible
IDLE = 0.30  # how far back from the tissue an instrument waits, world units
JET = 0.17  # how far from the tissue an irrigator spouts
NEAREST, FARTHEST = 0.75, -0.40  # heights that depth 0 and 65535 stand for


@dataclasses.dataclass
class Pose:
    """One instrument in the view: tip in [0, 1], direction tip -> handle in radians."""

    entry: Entry
    ident: int
    tip: np.ndarray
    angle: float
    opening: float
    pull: np.ndarray | None  # of the tissue, [0, 1] units
    touching: bool


@dataclasses.dataclass
class View:
    """A rendered frame.

    Attributes:
      image: uint8 (side, side, 3), RGB. clean: the same without smoke, or None if there is none.
      instruments: uint8 (side, side), values of HANDS; slivers are removed.
      tissues: uint8 (side, side), ids of the scene's `tissues`.
      depth: uint16 (side, side), 0 nearest .. 65535 farthest.
      poses: of the visible instruments. values: the scene's variables. smoke: 0 .. 1.
    """

    image: np.ndarray
    clean: np.ndarray | None
    instruments: np.ndarray
    tissues: np.ndarray
    depth: np.ndarray
    poses: list[Pose]
    values: dict[str, float]
    smoke: float


class Operation:
    """One patient's operation.

    Attributes:
      procedure, timeline, scene: what happens, when, and where. duration: seconds.
    """

    def __init__(self, seed: int, number: int, procedure: str, side: int, pace: float = 1.0):
        self.seed, self.number, self.side = seed, number, side
        self.procedure = PROCEDURES[procedure]
        self.timeline = Timeline(self.procedure, self._stream(0), pace)
        rng = self._stream(1)
        self.ports = {
            "surgeon": np.array([1.22, rng.uniform(0.45, 0.95)]),
            "assistant": np.array([-0.22, rng.uniform(0.05, 0.55)]),
            "visitor": np.array([rng.uniform(0.55, 0.85), 1.24]),
        }
        self.instrument_scale = rng.uniform(0.95, 1.12)
        self.drift = rng.uniform(0, 2 * np.pi, 6)
        self.flip = bool(rng.random() < 0.5) and procedure == "nephrectomy"  # left or right kidney

    def _stream(self, purpose: int) -> np.random.Generator:
        """Independent random numbers: one part of an operation does not shift another."""
        return np.random.default_rng((self.seed, self.number, purpose))

    def draw(self, t: float) -> np.random.Generator:
        """Random numbers of a moment for its annotations; no picture depends on them."""
        return np.random.default_rng((self.seed, self.number, 5, round(t * 1000)))

    # The plan costs next to nothing; what only pictures need is baked with the first of them.

    @functools.cached_property
    def scene(self) -> Scene:
        return SCENES[self.procedure.name](self._stream(2), self.side)

    @functools.cached_property
    def lens(self) -> shading.Optics:
        return shading.optics(self._stream(3), self.side)

    @functools.cached_property
    def tray(self) -> Tray:
        return Tray((self.seed, self.number, 4), self.side)

    @property
    def duration(self) -> float:
        return self.timeline.duration

    def frame(self, t: float) -> View:
        """The view at t seconds."""
        side = self.side
        values = self.timeline.values(t)
        to_view = self._camera(t)
        to_image = np.diag([side, side, 1.0]) @ to_view
        poses = self._poses(t, values, to_view)

        canvas = Canvas(side)
        self.scene.paint(canvas, to_image, values, HANDS["bag"])
        self._traces(canvas, t, values, to_image)
        for pose in poses:
            if pose.pull is not None:
                radius = 0.085 * side
                canvas.tent((pose.tip - pose.pull) * side, pose.pull * side, radius)
        for pose in poses:
            self._paint_instrument(canvas, pose)

        picture = shading.shade(canvas, self.lens)
        self._overlays(picture, t, poses, values, to_view)
        stamp = round(t * 1000) // 40
        smoke = self.timeline.smoke(t, ENERGISED)
        image = shading.develop(picture, self.lens, stamp)
        clean = None
        if smoke:
            clean = image
            source = self._smoke_source(t, values, to_view) * side
            image = shading.develop(
                shading.smoke(picture, self.lens, smoke, source, t), self.lens, stamp
            )
        if self.flip:
            canvas.tissue, canvas.instrument, canvas.relief, image, clean = (
                None if a is None else np.ascontiguousarray(a[:, ::-1])
                for a in (canvas.tissue, canvas.instrument, canvas.relief, image, clean)
            )
            for pose in poses:
                pose.tip = np.array([1.0 - pose.tip[0], pose.tip[1]])
        return self._finish(canvas, image, clean, poses, values, smoke)

    def _finish(self, canvas, image, clean, poses, values, smoke) -> View:
        outside = (self.lens.falloff if not self.flip else self.lens.falloff[:, ::-1]) <= 0
        canvas.tissue[outside] = 0
        canvas.instrument[outside] = 0
        seen = np.bincount(canvas.instrument.ravel(), minlength=256)
        for ident in np.nonzero(seen)[0]:
            if ident and seen[ident] < SLIVER * seen.sum():
                canvas.instrument[canvas.instrument == ident] = 0
        depth = (NEAREST - canvas.relief[..., 2]) * np.float32(65535 / (NEAREST - FARTHEST))
        depth[outside] = 65535
        depth = np.clip(depth, 0, 65535).astype(np.uint16)
        depth &= 0xFF80  # 512 levels keep the PNG small
        return View(
            image=image,
            clean=clean,
            instruments=canvas.instrument,
            tissues=canvas.tissue,
            depth=depth,
            poses=[p for p in poses if seen[p.ident] >= SLIVER * seen.sum()],
            values=values,
            smoke=smoke,
        )

    # ---- where things are ------------------------------------------------------------------------

    def _camera(self, t: float) -> np.ndarray:
        """3 x 3, world -> [0, 1]: the phase's view with a slow drift, as of a hand-held camera."""
        x, y, zoom = self.timeline.view(t)
        d = self.drift
        x += 0.012 * np.sin(0.37 * t + d[0]) + 0.006 * np.sin(1.1 * t + d[1])
        y += 0.012 * np.sin(0.31 * t + d[2]) + 0.006 * np.sin(0.9 * t + d[3])
        zoom *= 1.0 + 0.03 * np.sin(0.23 * t + d[4])
        roll = 0.03 * np.sin(0.19 * t + d[5])
        return shapes.similarity(roll, zoom, (x, y), (0.5 - x, 0.5 - y))

    def _poses(self, t: float, values, to_view) -> list[Pose]:
        """Poses of all hands at t, in painting order."""
        out = []
        for hand, entry in self.timeline.hands(t).items():
            if entry is not None:
                out.append(self._pose(hand, entry, t, values, to_view))
        return sorted(out, key=lambda pose: pose.ident)

    def _pose(self, hand: str, entry: Entry, t: float, values, to_view) -> Pose:
        port = self.ports[hand]
        target = shapes.apply(to_view, self.scene.site(entry.act.site, values))
        toward = (port - target) / np.linalg.norm(port - target)
        touching = entry.touching(t) and entry.act.verb != "null_verb"
        loose = 0.8 + 0.4 * entry.wander[2]
        hover = target + IDLE * loose * toward
        pull = None
        if entry.act.verb == "null_verb":
            rest = hover
        elif entry.act.verb == "irrigate":
            rest = target + JET * loose * toward
        else:
            rest = target
            if entry.act.verb == "retract":
                pull = toward * 0.075 * _ease((t - entry.touch) / 0.5)
                rest = target + pull
        before = self._before(hand, entry)
        if entry.first or before is None:
            tip = _between(port, hover, (t - entry.start) / 0.45)
        else:
            old = shapes.apply(to_view, self.scene.site(before.act.site, values))
            tip = _between(old, hover, (t - entry.start) / 0.25)
        tip = _between(tip, rest, (t - entry.touch + 0.12) / 0.16)
        if entry.last:
            tip = _between(tip, port, (t - entry.end + 0.38) / 0.38)
        busy = 0.010 if entry.act.verb in ("dissect", "cut", "suture", "aspirate") else 0.004
        a, b, _ = entry.wander
        tip = tip + busy * np.array([np.sin(5.1 * t + 6 * a), np.sin(4.3 * t + 6 * b)])
        back = port - tip
        return Pose(
            entry,
            HANDS[hand],
            tip,
            float(np.arctan2(back[1], back[0])),
            _opening(entry, t, touching),
            pull if touching else None,
            touching,
        )

    def _before(self, hand: str, entry: Entry) -> Entry | None:
        entries = getattr(self.timeline, hand)
        place = entries.index(entry)
        return entries[place - 1] if place else None

    # ---- what is painted besides the scene -------------------------------------------------------

    def _paint_instrument(self, canvas: Canvas, pose: Pose) -> None:
        scale = self.instrument_scale
        place = shapes.similarity(pose.angle, scale, (0, 0), pose.tip)
        to_image = np.diag([self.side, self.side, 1.0]) @ place
        layer = self.tray.layer(pose.entry.act.instrument, pose.opening)
        canvas.paint(layer, to_image, instrument=pose.ident)

    def _traces(self, canvas: Canvas, t: float, values, to_image) -> None:
        """Whitened spots of coagulation stay; a hook chars what it touches while it touches."""
        for entry in self.timeline.surgeon:
            if entry.touch > t:
                break
            verb, now = entry.act.verb, entry.touching(t)
            at = None
            if verb == "coagulate" or (verb == "dissect" and now):
                at = shapes.apply(to_image, self.scene.site(entry.act.site, values))
            if verb == "coagulate":
                grown = self.side * min(1.0, 0.4 + 0.5 * (t - entry.touch))
                for k, turn in enumerate(6.3 * entry.wander[0] + np.array([0.0, 1.9, 4.4, 5.3])):
                    off = (0.012 + 0.009 * k) * grown * np.array([np.cos(turn), np.sin(turn)])
                    canvas.stain(at + off, (0.046 - 0.005 * k) * grown, (0.84, 0.74, 0.62), 0.6)
                canvas.stain(at, 0.016 * grown, (0.30, 0.18, 0.12), 0.45)
            elif at is not None:
                canvas.stain(at, 0.045 * self.side, (0.42, 0.10, 0.06), 0.6)
                canvas.stain(at, 0.022 * self.side, (0.10, 0.05, 0.04), 0.85)

    def _overlays(self, picture, t: float, poses: list[Pose], values, to_view) -> None:
        """Water and thread: in front of everything, in no mask."""
        for pose in poses:
            if pose.touching and pose.entry.act.verb == "irrigate":
                self._jet(picture, t, pose)
            if pose.entry.act.verb == "pull" and pose.touching:
                wound = shapes.apply(to_view, self.scene.site("crater", values))
                self._thread(picture, pose, wound)

    def _jet(self, picture: np.ndarray, t: float, pose: Pose) -> None:
        side = self.side
        away = np.array([-np.cos(pose.angle), -np.sin(pose.angle)])
        across = np.array([-away[1], away[0]])
        end = pose.tip + 0.19 * away
        cone = [pose.tip + 0.012 * across, end + 0.06 * across, end - 0.06 * across]
        cone.append(pose.tip - 0.012 * across)
        water = np.zeros((side, side), np.float32)
        points = np.round(np.array(cone) * side * 16).astype(np.int32)
        cv2.fillPoly(water, [points.reshape(-1, 1, 2)], 0.55, cv2.LINE_AA, shift=4)
        rng = np.random.default_rng(int(t * 1000))
        for _ in range(26):
            along, off = rng.uniform(0.05, 1.15), rng.uniform(-1, 1)
            drop = pose.tip + 0.19 * along * away + 0.06 * along * off * across
            radius = max(1, round(rng.uniform(0.003, 0.008) * side))
            cv2.circle(water, tuple(int(v) for v in drop * side), radius, 0.95, -1, cv2.LINE_AA)
        water = cv2.GaussianBlur(water, (0, 0), 0.004 * side)[..., None]
        picture += (np.float32((0.80, 0.88, 0.95)) - picture) * water

    def _thread(self, picture: np.ndarray, pose: Pose, wound: np.ndarray) -> None:
        """The thread from the wound to the needle driver; a loop of it while a knot is tied."""
        side = self.side
        if pose.entry.act.action == "knot_tying":
            turn = np.linspace(0, 4 * np.pi, 40)[:, None]
            ring = np.hstack([np.cos(turn), np.sin(turn)]) * (0.030 + 0.004 * turn)
            path = pose.tip + ring
        else:
            path = np.stack([pose.tip, wound])
        points = np.round(path * side * 16).astype(np.int32).reshape(-1, 1, 2)
        ink = np.zeros((side, side), np.float32)
        cv2.polylines(ink, [points], False, 0.9, max(2, round(0.014 * side)), cv2.LINE_AA, 4)
        picture += (np.float32((0.22, 0.10, 0.50)) - picture) * ink[..., None]

    def _smoke_source(self, t: float, values, to_view) -> np.ndarray:
        entries = [
            e for e in self.timeline.surgeon if e.touch <= t and e.act.instrument in ENERGISED
        ]
        return shapes.apply(to_view, self.scene.site(entries[-1].act.site, values))


def _opening(entry: Entry, t: float, touching: bool) -> float:
    name = entry.act.instrument
    if name == "scissors":
        return 1.0 if int(2.2 * t) % 3 else 0.5
    if name == "clipper":
        half = 0.5 * (entry.touch + entry.leave)
        return 1.0 if not touching or t < half else 0.0
    if not touching:
        return 1.0
    return {"grasper": 0.0, "bipolar": 0.5, "vessel_sealer": 0.5}.get(name, 0.0)


def _ease(u: float) -> float:
    u = min(1.0, max(0.0, float(u)))
    return u * u * (3.0 - 2.0 * u)


def _between(a, b, u: float) -> np.ndarray:
    return np.asarray(a) + (np.asarray(b) - np.asarray(a)) * _ease(u)
