"""Writer of a small AutoLaparo tree: its three tasks, made-up labels."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from fixtures_cholec import HEIGHT, WIDTH, numbered_image, write_image, write_text, write_video

TASK1 = "Task 1 Surgical workflow recognition"
TASK2 = "Task 2 Laparoscope motion prediction"
TASK3 = "Task 3 Instrument and key anatomy segmentation"
MASKED = (1, 25, 50, 75, 100, 125)  # frames of a clip, counted from 1


def phase_text(phases: list[int], newline: str = "\n") -> str:
    """A row a second, counted from 1."""
    rows = ["Frame\tPhase", *(f"{n}\t{phase}" for n, phase in enumerate(phases, start=1))]
    return newline.join(rows) + newline


def motion_text(rows: list[tuple[int, int, int]], newline: str = "\n") -> str:
    """Rows of clip, motion and phase."""
    lines = ["Clip\tLabel\tPhase", *(f"{clip:03d}\t{m}\t{p}" for clip, m, p in rows)]
    return newline.join(lines) + newline


def write_task1(folder: Path, number: int, phases: list[int], *, frames: int | None = None) -> Path:
    """A video at 25 fps of as many seconds as `phases` (or of `frames` frames), and its labels."""
    frames = 25 * len(phases) if frames is None else frames
    write_video(folder / TASK1 / "videos" / f"{number:02d}.mp4", frames)
    write_text(folder / TASK1 / "labels" / f"label_{number:02d}.txt", phase_text(phases))
    return folder


def write_task2(folder: Path, rows: list[tuple[int, int, int]], *, frames: int = 250) -> Path:
    """Clips of 10 seconds and their file of labels."""
    for clip, _, _ in rows:
        write_video(folder / TASK2 / "clips" / f"{clip:03d}.mp4", frames)
    write_text(folder / TASK2 / "laparoscope_motion_label.txt", motion_text(rows))
    return folder


def mask(values: dict[int, tuple[int, int, int, int]]) -> np.ndarray:
    """Grey RGB image of value -> rectangle (x, y, width, height)."""
    out = np.zeros((HEIGHT, WIDTH), np.uint8)
    for value, (x, y, width, height) in values.items():
        out[y : y + height, x : x + width] = value
    return np.repeat(out[..., None], 3, axis=2)


def write_task3(
    folder: Path, clip: int, masks: dict[int, np.ndarray | None], *, images: bool = True
) -> Path:
    """Images of a clip that show their frame number, with masks (None: an image without one)."""
    for frame, values in masks.items():
        name = f"{clip:03d}{frame:03d}"
        if images:
            write_image(folder / TASK3 / "imgs" / f"{name}.jpg", numbered_image(frame))
        if values is not None:
            write_image(folder / TASK3 / "masks" / f"{name}.png", values)
    return folder
