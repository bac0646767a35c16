"""Rows of a frame and a map, or frame, of the same size: for models that map frames to pixels.

The question's media is the frame; its answer points at the truth. All questions about one frame
make one row, so that the masks of its classes come together.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float, Int, Shaped, UInt8

from surgzoo.data.config import DataConfig
from surgzoo.data.media import MediaReader, Stores
from surgzoo.data.rows.base import Rows, Spec
from surgzoo.db.derive.depth import FARTHEST
from surgzoo.db.schema import Conversation
from surgzoo.tasks import tasks as registry
from surgzoo.tasks.pixels import media_of

# What the rows of a task hold beside `images`, see `FrameAndMap`; a model says what it `makes`.
TARGETS = {
    "instrument_segmentation": "labels",
    "tissue_segmentation": "labels",
    "depth_estimation": "depth",
    "desmoking": "targets",
    "next_frame": "targets",
}
IGNORED = 255  # a label that says nothing
LIGHT = 1.25  # most that augmentation multiplies or divides a colour by


class FrameRows(Rows):
    """`FrameAndMap`: squares of the side that the model's processor gives a square frame.

    A frame that the processor keeps oblong is cut to the square in its middle, with `augment` to
    one that is drawn. `augment` also flips left and right, and where the truth is no picture it
    changes the light.

    labels: of a model with one class, 1 where any instrument is; with more classes the number of
      `labels` + 1, 0 where there is none of them. IGNORED where the questions leave open what is
      there: an instrument, or all that is no instrument, in a frame in which one has no mask.
    depth: nearness, 1 nearest to 0 farthest. The nearest is also what files without a measurement
      hold, so it is not `valid`, as in `metrics/dense.py`.
    """

    by = "media"

    def __init__(self, config: DataConfig, architecture: Any, processor: Any):
        self.makes = architecture.makes
        self.tasks = tuple(task for task, target in TARGETS.items() if target == self.makes)
        if config.mixture and not self.tasks:
            raise ValueError(
                f"this model makes {self.makes}, which no task has the truth of; tasks have "
                f"{', '.join(dict.fromkeys(TARGETS.values()))}"
            )
        super().__init__(config, architecture, processor)
        self.task = self.only_task()
        self.side = processor.size(1, 1)

    def spec(self) -> Spec:
        spec: Spec = {"images": ((*self.side, 3), np.float32)}
        if self.makes == "labels":
            return spec | {"labels": (self.side, np.int32)}
        if self.makes == "depth":
            return spec | {"depth": (self.side, np.float32), "valid": (self.side, np.bool_)}
        return spec | {"targets": ((*self.side, 3), np.float32)}

    def open(self, stores: Stores, conversations: Iterable[Conversation]) -> None:
        """Looks at labels only where the model has classes; see `Rows.open`."""
        super().open(stores, conversations)
        self.read = MediaReader(stores).read
        if self.makes != "labels":
            return
        if self.architecture.classes == 1:
            if self.labels:
                raise ValueError(
                    f"data.labels names {', '.join(self.labels)}, and the model has one mask for "
                    f"all: set model.overrides classes={len(self.labels) + 1}, or name none"
                )
            return
        # Questions about everything list all classes in the source's order; those about one do not.
        options = dict.fromkeys(item.options for item in conversations)
        options = sorted(options, key=len, reverse=True)
        known = tuple(dict.fromkeys(name for names in options for name in names))
        if strange := [name for name in self.labels if name not in known]:
            raise ValueError(
                f"data.labels: no question is about {', '.join(strange)}; there are "
                f"{', '.join(known)}"
            )
        self.labels = self.labels or known
        self.check_classes("classes", background=1)

    def meta(self) -> dict[str, Any]:
        return {**super().meta(), "task": self.task}

    def row(self, unit: Sequence[Conversation], rng: np.random.Generator) -> dict[str, np.ndarray]:
        asked = unit[0]
        frame = self._frame(self.read(asked.media[0]), "question")
        stored = self.read(media_of(asked.answer))
        if stored.shape[:2] != frame.shape[:2]:
            raise ValueError(
                f"the frame has {frame.shape[0]} x {frame.shape[1]} pixels, and its truth "
                f"{stored.shape[0]} x {stored.shape[1]}: derive or prepare the source again"
            )
        if self.config.augment and self.makes != "targets":
            frame = _other_light(frame, rng)
        row = {"images": self.processor.encode(frame)}
        if self.makes == "labels":
            row["labels"] = self.processor.encode_map(self._labels(unit, stored))
        elif self.makes == "depth":
            if stored.ndim != 2 or stored.dtype != np.uint16:
                raise ValueError(
                    f"the depth map holds {stored.dtype} of shape {stored.shape}, not 16 bit grey"
                )
            stored = self.processor.encode_map(stored)
            row["depth"] = (FARTHEST - stored.astype(np.float32)) / np.float32(FARTHEST)
            row["valid"] = stored > 0
        else:
            row["targets"] = self._rgb(self._frame(stored, "answer"))
        return self._moved(row, rng)

    def _frame(self, pixels: np.ndarray, what: str) -> UInt8[np.ndarray, "h w 3"]:
        if pixels.ndim != 3 or pixels.shape[-1] != 3 or pixels.dtype != np.uint8:
            raise ValueError(
                f"the {what} shows {pixels.dtype} of shape {pixels.shape}, which is not one frame"
            )
        return pixels

    def _rgb(self, frame: UInt8[np.ndarray, "h w 3"]) -> Float[np.ndarray, "H W 3"]:
        """A frame in the model's size, 0 black to 1 white."""
        given = self.architecture.input
        pixels = self.processor.encode(frame) * np.float32(given.std) + np.float32(given.mean)
        return np.clip(pixels, 0.0, 1.0)

    def _labels(
        self, unit: Sequence[Conversation], stored: Int[np.ndarray, "h w"]
    ) -> Int[np.ndarray, "h w"]:
        """Numbers of classes from a frame's questions: each answer names values of the map."""
        if stored.ndim != 2 or stored.dtype.kind != "u":
            raise ValueError(f"the map holds {stored.dtype} of shape {stored.shape}, no labels")
        whole = [item for item in unit if registry.get(item.task)().about_all(item)]
        nothing = 0 if whole else IGNORED
        number_of = np.full(int(np.iinfo(stored.dtype).max) + 1, IGNORED, np.int32)
        if self.architecture.classes == 1:
            number_of[:] = nothing
            for item in whole or unit:
                number_of[item.answer["values"]] = 1
            return number_of[stored]
        number_of[0] = nothing
        for item in unit:
            if len(item.options) == 1:
                (name,) = item.options
                number = self.labels.index(name) + 1 if name in self.labels else 0
                number_of[item.answer["values"]] = number
        return number_of[stored]

    def _moved(self, row: dict[str, np.ndarray], rng: np.random.Generator) -> dict[str, np.ndarray]:
        """All of a row cut to the square, and with `augment` half of the rows turned around."""
        rest = [have - want for have, want in zip(row["images"].shape, self.side, strict=False)]
        top, left = (each // 2 for each in rest)
        mirrored = False
        if self.config.augment:
            top, left = (int(rng.integers(each + 1)) for each in rest)
            mirrored = bool(rng.random() < 0.5)

        def move(x: Shaped[np.ndarray, "H W *C"]) -> Shaped[np.ndarray, "S S *C"]:
            x = x[top : top + self.side[0], left : left + self.side[1]]
            return np.ascontiguousarray(x[:, ::-1] if mirrored else x)

        return {name: move(value) for name, value in row.items()}


def _other_light(
    frame: UInt8[np.ndarray, "h w 3"], rng: np.random.Generator
) -> UInt8[np.ndarray, "h w 3"]:
    """Brighter or darker, and of another white."""
    strength, *tint = LIGHT ** rng.uniform(-1, 1, size=4)
    gain = strength * np.sqrt(tint)
    return np.clip(frame * np.float32(gain), 0, 255).round().astype(np.uint8)
