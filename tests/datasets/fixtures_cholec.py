"""Writers of small Cholec80 and CholecT50 trees: real h264 and headers, made-up rows.

Every frame carries its own number as a row of black and white bars (a binary number), so that a
test can read from the pixels which frame of the file it got.
"""

from __future__ import annotations

import json
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np

from surgzoo.db import ontology

BITS = 12
HEIGHT, WIDTH = 64, 16 * BITS

TOOLS = ("Grasper", "Bipolar", "Hook", "Scissors", "Clipper", "Irrigator", "SpecimenBag")
TOOL_HEADER = "\t".join(("Frame", *TOOLS))


def numbered_image(number: int) -> np.ndarray:
    """uint8 [HEIGHT, WIDTH, 3], `number` in binary from left to right."""
    bits = [(number >> (BITS - 1 - place)) & 1 for place in range(BITS)]
    row = np.repeat(np.where(bits, 200, 40).astype(np.uint8), WIDTH // BITS)
    return np.repeat(np.broadcast_to(row, (HEIGHT, WIDTH))[..., None], 3, axis=2)


def read_number(image: np.ndarray) -> int:
    """The inverse of `numbered_image`, for any size and after any lossy codec."""
    centers = ((np.arange(BITS) + 0.5) / BITS * image.shape[1]).astype(int)
    return int("".join("1" if v > 120 else "0" for v in image[:, centers].mean(axis=(0, 2))), 2)


def write_video(
    path: Path, frames: int, fps: Fraction | int = 25, gop: int = 250, stamps=None
) -> Path:
    """An h264 file with B frames. `stamps` (in frames) replaces the constant rate's 0, 1, 2, ..."""
    path.parent.mkdir(parents=True, exist_ok=True)
    options = {"preset": "ultrafast", "crf": "30", "bf": "2"}
    # The index in front, so that a file that is cut short can still be opened.
    movflags = {"movflags": "+faststart"} if path.suffix == ".mp4" else {}
    with av.open(str(path), "w", options=movflags) as container:
        stream = container.add_stream("libx264", rate=fps, options=options)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        stream.codec_context.gop_size = gop
        for number in range(frames):
            frame = av.VideoFrame.from_ndarray(numbered_image(number), format="rgb24")
            frame.pts = number if stamps is None else stamps[number]
            frame.time_base = 1 / Fraction(fps)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


# ---- Cholec80 ------------------------------------------------------------------------------------


def phase_text(runs: list[tuple[str, int]], newline: str = "\n") -> str:
    """The phase file of runs of (name, number of 25-fps frames)."""
    names = [name for name, count in runs for _ in range(count)]
    rows = ["Frame\tPhase", *(f"{frame}\t{name}" for frame, name in enumerate(names))]
    return newline.join(rows) + newline


def tool_text(rows: list[tuple[int, ...]], header: str = TOOL_HEADER, newline: str = "\n") -> str:
    """The tool file: one row of seven 0/1 values a second."""
    lines = ["\t".join(map(str, (25 * second, *row))) for second, row in enumerate(rows)]
    return newline.join([header, *lines]) + newline


def write_cholec80(
    folder: Path,
    number: int = 1,
    *,
    seconds: int = 6,
    phases: str | None = None,
    tools: str | None = None,
    packing: str = "mp4",
    gop: int = 250,
) -> Path:
    """One video: 25 * seconds + 1 frames (so that the last second has its frame), and its labels.

    By default the first two seconds are Preparation and the rest CalotTriangleDissection; the tools
    of second s are those of the bits of s + 1.
    """
    name = f"video{number:02d}"
    count = 25 * seconds + 1
    if packing == "mp4":
        write_video(folder / "videos" / f"{name}.mp4", count, gop=gop)
    else:
        for second in range(seconds + 1):
            write_image(
                folder / "frames" / name / f"{name}_{second + 1:06d}.png",
                numbered_image(25 * second),
            )
    if phases is None:
        phases = phase_text([("Preparation", 50), ("CalotTriangleDissection", count - 50)])
    if tools is None:
        tools = tool_text([tools_of(second) for second in range(seconds + 1)])
    write_text(folder / "phase_annotations" / f"{name}-phase.txt", phases)
    write_text(folder / "tool_annotations" / f"{name}-tool.txt", tools)
    return folder


def tools_of(second: int) -> tuple[int, ...]:
    """The made-up tools of a second, as seven 0/1 values."""
    return tuple((second + 1) >> place & 1 for place in range(7))


# ---- CholecT50 -----------------------------------------------------------------------------------

PHASES = (
    "preparation",
    "carlot-triangle-dissection",
    "clipping-and-cutting",
    "gallbladder-dissection",
    "gallbladder-packaging",
    "cleaning-and-coagulation",
    "gallbladder-extraction",
)
NO_BOX = (-1, -1, -1, -1)


def categories() -> dict[str, dict[str, str]]:
    """The categories block of a label file."""
    lists = {
        kind: [native for k, native in ontology.table("cholect50") if k == kind]
        for kind in ("instrument", "verb", "target", "triplet")
    }
    lists["phase"] = list(PHASES)
    return {kind: {str(i): name for i, name in enumerate(names)} for kind, names in lists.items()}


def vector(triplet: int, phase: int, box=NO_BOX, **changes) -> list[float]:
    """The 15 numbers of one triplet instance; `changes` set instrument, verb or target."""
    names = categories()
    parts = {"instrument": -1, "verb": -1, "target": -1}
    if triplet >= 0:
        for kind, name in zip(parts, names["triplet"][str(triplet)].split(","), strict=True):
            parts[kind] = list(names[kind].values()).index(name)
    parts.update(changes)
    score = 1.0 if parts["instrument"] >= 0 else -1
    return [
        triplet,
        parts["instrument"],
        score,
        *box,
        parts["verb"],
        parts["target"],
        -1,
        *NO_BOX,
        phase,
    ]


def label_json(number: int, annotations: dict[int, list], **changes) -> dict:
    """A whole label file as a dict."""
    return {
        "info": {"dataset": "cholect50", "version": 2.0},
        "licenses": {"id": 1},
        "categories": categories(),
        "video": number,
        "fps": 1,
        "num_frames": len(annotations),
        "annotations": {str(frame): vectors for frame, vectors in annotations.items()},
        **changes,
    }


def write_cholect50(
    folder: Path,
    number: int,
    annotations: dict[int, list],
    images: dict[int, np.ndarray | bytes] | None = None,
    **changes,
) -> Path:
    """One video: its label file and its PNG frames (all annotated frames when not given)."""
    name = f"VID{number:02d}"
    if images is None:
        images = {frame: numbered_image(frame) for frame in annotations}
    write_text(
        folder / "labels" / f"{name}.json", json.dumps(label_json(number, annotations, **changes))
    )
    for frame, image in images.items():
        write_image(folder / "videos" / name / f"{frame:06d}.png", image)
    return folder


# ---- files ---------------------------------------------------------------------------------------


def write_text(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text.encode())  # bytes: newlines stay as given


def write_image(path: Path, image: np.ndarray | bytes) -> None:
    """An RGB array as PNG; bytes as they are (a torn file)."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if isinstance(image, bytes):
        path.write_bytes(image)
    else:
        cv2.imwrite(str(path), image[..., ::-1])
