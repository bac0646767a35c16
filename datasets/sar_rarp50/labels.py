"""SAR-RARP50's label files: actions frame by frame and as segments, and instrument masks.

Formats (github.com/surgical-vision/SAR_RARP50-evaluation; spans as found in released label files):
  action_discrete.txt     `000000006,0`: frame, action; no header; every 6th frame of 60 a second.
                          What the challenge scores.
  action_continuous.txt   `00650,00761,1`: first frame, last frame (both included), action. Also
                          spread as action_continues.txt.
  segmentation/<frame>.png  one value a pixel, every 60th frame.
A row of the discrete file holds the action of the last of the six frames that it stands for: frame
f has there what the segments say of frame f + 5. Both are kept as they are.
"""

from __future__ import annotations

import bisect
import dataclasses

from surgzoo.datasets.annotation_files import AnnotationFileError, Row, rows
from surgzoo.datasets.layout import File
from surgzoo.db import ontology, schema

SOURCE = "sar_rarp50"
FRAME_RATE = 60  # frames a second, in which all files count
STRIDE = 6  # frames between two rows of the discrete file

# Ids of the files: github.com/surgical-vision/SAR_RARP50-evaluation, README and metrics. The
# README's table of actions prints 1 to 8, the files have 0 to 7.
ACTIONS = (
    "Other",
    "Picking-up the needle",
    "Positioning the needle tip",
    "Pushing the needle through the tissue",
    "Pulling the needle out of the tissue",
    "Tying a knot",
    "Cutting the suture",
    "Returning/dropping the needle",
)
MASK_VALUES = {
    1: "Tool clasper",
    2: "Tool wrist",
    3: "Tool shaft",
    4: "Suturing needle",
    5: "Thread",
    6: "Suction tool",
    7: "Needle Holder",
    8: "Clamps",
    9: "Catheter",
}


@dataclasses.dataclass(frozen=True)
class Rows:
    """The discrete file: the action of frames 0, 6, 12, ..."""

    actions: dict[int, schema.Label]

    def at(self, frame: int) -> schema.Label | None:
        """The action of the row that stands for a frame; None where there is none."""
        return self.actions.get(frame - frame % STRIDE)

    @property
    def last(self) -> int:
        """The last frame that a row stands for."""
        return max(self.actions) + STRIDE - 1

    def spans(self) -> Spans:
        """Runs of equal action, for a release without the continuous file."""
        runs: list[tuple[int, int, schema.Label]] = []
        for frame, label in self.actions.items():
            if runs and runs[-1][2] == label and runs[-1][1] + 1 == frame:
                runs[-1] = (runs[-1][0], frame + STRIDE - 1, label)
            else:
                runs.append((frame, frame + STRIDE - 1, label))
        return Spans(tuple(runs))


@dataclasses.dataclass(frozen=True)
class Spans:
    """The continuous file: (first frame, last frame, action), in order and without overlap."""

    runs: tuple[tuple[int, int, schema.Label], ...]

    def at(self, frame: int) -> schema.Label | None:
        """The action of a frame; None where there is none."""
        place = bisect.bisect_right(self.runs, frame, key=lambda run: run[0]) - 1
        if place < 0 or frame > self.runs[place][1]:
            return None
        return self.runs[place][2]

    @property
    def last(self) -> int:
        return self.runs[-1][1]

    @property
    def unlabelled(self) -> int:
        """Frames between the spans, those before the first one too."""
        ends = (-1, *(last for _, last, _ in self.runs))
        return sum(run[0] - end - 1 for run, end in zip(self.runs, ends, strict=False))

    def segments(self, rate: float = FRAME_RATE) -> tuple[schema.Segment, ...]:
        """In seconds; `rate` is that of the video file. The last frame is shown to its end."""
        return tuple(
            schema.Segment("action", label, first / rate, (last + 1) / rate)
            for first, last, label in self.runs
        )


def read_discrete(file: File) -> Rows:
    """Raises AnnotationFileError."""
    actions: dict[int, schema.Label] = {}
    last = -STRIDE
    for row in rows(file, ("frame", "action"), header=False):
        frame = _whole(row, "frame")
        if frame % STRIDE:
            raise row.error(f"frame {frame} is not a multiple of {STRIDE}")
        if frame <= last:
            raise row.error(f"frame {frame} follows frame {last}")
        actions[frame] = _action(row)
        last = frame
    if not actions:
        raise AnnotationFileError(f"{file}: is empty")
    return Rows(actions)


def read_continuous(file: File) -> Spans:
    """Raises AnnotationFileError."""
    runs: list[tuple[int, int, schema.Label]] = []
    for row in rows(file, ("first", "last", "action"), header=False):
        first, last = _whole(row, "first"), _whole(row, "last")
        if last < first:
            raise row.error(f"ends at frame {last}, before it begins at {first}")
        if runs and first <= runs[-1][1]:
            raise row.error(f"begins at frame {first}; the row before ends at {runs[-1][1]}")
        runs.append((first, last, _action(row)))
    if not runs:
        raise AnnotationFileError(f"{file}: is empty")
    return Spans(tuple(runs))


def disagreements(discrete: Rows, continuous: Spans) -> int:
    """Rows of the one file whose action the other has in none of the row's six frames."""
    return sum(
        label not in {continuous.at(frame + k) for k in range(STRIDE)}
        for frame, label in discrete.actions.items()
    )


def instrument_labels() -> dict[int, schema.Label]:
    """The label of each mask value; 0 is background."""
    return {
        value: ontology.label(SOURCE, "instrument", name) for value, name in MASK_VALUES.items()
    }


def _action(row: Row) -> schema.Label:
    number = _whole(row, "action")
    if number >= len(ACTIONS):
        raise row.error(f"action {number}; the files have 0 ({ACTIONS[0]}) to {len(ACTIONS) - 1}")
    return ontology.label(SOURCE, "action", ACTIONS[number])


def _whole(row: Row, column: str) -> int:
    """Digits only: a sign, a point or an exponent is damage here, not another way to write it."""
    if not (row[column].isascii() and row[column].isdecimal()):
        raise row.error(f"{column} is {row[column]!r}, not a number")
    return int(row[column])
