"""Frames a second of the SynthSurg renderer on one core: with ground truth, then with encoding.

The first figure includes baking the patient. Counted in seconds of CPU time, so that other work on
the machine matters little.

    python tools/bench/render_synthsurg.py --side=256 --frames=120
"""

from __future__ import annotations

import time

import cv2
from absl import app, flags

from surgzoo.datasets.synthsurg import synthsurg, truth
from surgzoo.datasets.synthsurg.procedures import PROCEDURES
from surgzoo.datasets.synthsurg.render import Operation

_SIDE = flags.DEFINE_integer("side", 256, "Pixels of the square image.")
_FRAMES = flags.DEFINE_integer("frames", 120, "Frames of each procedure.")
_SEED = flags.DEFINE_integer("seed", 0, "Seed of the patients.")


def main(argv):
    del argv
    cv2.setNumThreads(1)
    for procedure in PROCEDURES:
        operation = Operation(_SEED.value, 1, procedure, _SIDE.value)
        times = [operation.duration * k / _FRAMES.value for k in range(_FRAMES.value)]

        started = time.process_time()
        for t in times:
            truth.frame_annotations(operation, operation.frame(t), t)
        rendered = time.process_time() - started

        started = time.process_time()
        for index, t in enumerate(times):
            synthsurg.render_frame(operation, "bench", index, t)
        encoded = time.process_time() - started
        print(
            f"{procedure}, {_SIDE.value} px: {len(times) / rendered:.1f} frames/s with truth, "
            f"{len(times) / encoded:.1f} frames/s encoded"
        )


if __name__ == "__main__":
    app.run(main)
