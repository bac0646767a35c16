"""Writer of a small JIGSAWS tree: 30-fps videos of both cameras, made-up gestures and ratings."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
from fixtures_cholec import HEIGHT, WIDTH, numbered_image, write_text

# first and last frame, counted from 1, and gesture; 2.4 s in all of 3 s
ROWS = ((10, 30, "G1"), (31, 60, "G2"), (61, 72, "G3"))
ITEMS = (2, 3, 1, 4, 5, 3)


def transcription(rows=ROWS, newline: str = "\n") -> str:
    """The file of a trial; a blank stands at the end of each line, as in the release."""
    return "".join(f"{start} {end} {gesture} {newline}" for start, end, gesture in rows)


def meta_line(trial: str, level: str = "N", items=ITEMS, total: int | None = None) -> str:
    """One trial of a meta file: two tabs behind the name and behind the sum."""
    total = sum(items) if total is None else total
    return f"{trial}\t\t{level}\t{total}\t\t" + "\t".join(map(str, items))


def write_camera(path: Path, frames: int) -> None:
    """An AVI at 30 fps without B frames, as that container needs; frame n shows n."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as container:
        options = {"preset": "ultrafast", "crf": "30", "bf": "0"}
        stream = container.add_stream("libx264", rate=30, options=options)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        for number in range(frames):
            frame = av.VideoFrame.from_ndarray(numbered_image(number), format="rgb24")
            frame.pts, frame.time_base = number, Fraction(1, 30)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())


def write_trial(
    folder: Path,
    trial: str = "Suturing_B001",
    *,
    frames: int = 91,
    text: str | None = None,
    cameras: tuple[int, ...] = (1, 2),
) -> Path:
    """The videos and the transcription of a trial (`text` replaces the one of ROWS)."""
    task = trial[:-5]
    for camera in cameras:
        write_camera(folder / task / "video" / f"{trial}_capture{camera}.avi", frames)
    text = transcription() if text is None else text
    write_text(folder / task / "transcriptions" / f"{trial}.txt", text)
    return folder


def write_meta(folder: Path, task: str, lines: list[str], newline: str = "\r\n") -> Path:
    """The meta file of a task, with its blank last line."""
    text = newline.join([*lines, "", ""])
    write_text(folder / task / f"meta_file_{task}.txt", text)
    return folder
