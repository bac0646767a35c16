"""Writers of small trees of the robotic sets: SAR-RARP50, EndoVis 2017, 2018 and their questions.

All labels are made up. What a test asks of every source is here too.
"""

from __future__ import annotations

import zipfile
from pathlib import Path

import cv2
import numpy as np
from fixtures_cholec import HEIGHT, WIDTH, numbered_image, write_image, write_text, write_video

from surgzoo.db import records
from surgzoo.db.store import Store

# ---- what the tests share ------------------------------------------------------------------------


def frames_of(store: Store, video: str) -> list[records.FrameRecord]:
    return list(store.records(store.video(video)))


def dense_map(record: records.FrameRecord, name: str) -> np.ndarray:
    """A dense map of a record as values."""
    return cv2.imdecode(np.frombuffer(record.dense[name], np.uint8), cv2.IMREAD_UNCHANGED)


def natives(items) -> tuple[str, ...] | None:
    """Native labels of instruments, tissues or labels; None stays None."""
    return None if items is None else tuple(getattr(i, "label", i).native for i in items)


def pack(folder: Path, archive: Path, below: str = "") -> None:
    """Moves the files of a folder into a zip, under the folder name `below`."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    with zipfile.ZipFile(archive, "w") as out:
        for path in files:
            out.write(path, str(Path(below) / path.relative_to(folder)))
            path.unlink()


# ---- SAR-RARP50 ----------------------------------------------------------------------------------

# (first frame, last frame, action) of 150 frames: two and a half seconds at 60 fps.
SAR_SPANS = [(0, 49, 0), (50, 100, 1), (101, 149, 4)]


def discrete_text(spans=SAR_SPANS) -> str:
    """Every sixth frame with the action of the fifth frame after it, as in the release."""
    last = spans[-1][1]
    actions = {f: action for first, end, action in spans for f in range(first, end + 1)}
    return "".join(f"{f:09d},{actions[min(f + 5, last)]}\n" for f in range(0, last + 1, 6))


def continuous_text(spans=SAR_SPANS) -> str:
    return "".join(f"{first:05d},{last:05d},{action}\n" for first, last, action in spans)


def sar_mask(*values: int) -> np.ndarray:
    """uint8 [HEIGHT, WIDTH]: a column of 16 pixels for each value, background to their right."""
    mask = np.zeros((HEIGHT, WIDTH), np.uint8)
    for place, value in enumerate(values):
        mask[:, 16 * place : 16 * (place + 1)] = value
    return mask


def write_sar_video(
    folder: Path,
    *,
    frames: int = 150,
    fps: int = 60,
    discrete: str | None = None,
    continuous: str | None = None,
    masks: dict[int, np.ndarray] | None = None,
    media: str = "avi",
) -> Path:
    """One folder video_NN. Text "" leaves a file out; media is avi, rgb or none."""
    if media == "avi":
        write_video(folder / "video_left.avi", frames, fps, gop=30)
    elif media == "rgb":
        for number in range(0, frames, 6):
            write_image(folder / "rgb" / f"{number:09d}.png", numbered_image(number))
    discrete = discrete_text() if discrete is None else discrete
    continuous = continuous_text() if continuous is None else continuous
    if discrete:
        write_text(folder / "action_discrete.txt", discrete)
    if continuous:
        write_text(folder / "action_continuous.txt", continuous)
    if masks is None:
        masks = {0: sar_mask(1, 2, 3), 60: sar_mask(7, 4), 120: sar_mask()}
    for number, mask in masks.items():
        write_gray(folder / "segmentation" / f"{number:09d}.png", mask)
    return folder


def write_gray(path: Path, mask: np.ndarray) -> None:
    """A one-channel PNG."""
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), mask)


# ---- EndoVis 2017 --------------------------------------------------------------------------------

EV17_SIZE = (1080, 1920)
EV17_CORNER = 28, 320  # row and column of the picture in its black frame


def ev17_image(number: int) -> np.ndarray:
    """uint8 [1080, 1920, 3]: `numbered_image` as the picture of 1280x1024, black around it."""
    image = np.zeros((*EV17_SIZE, 3), np.uint8)
    picture = cv2.resize(numbered_image(number), (1280, 1024), interpolation=cv2.INTER_NEAREST)
    row, column = EV17_CORNER
    image[row : row + 1024, column : column + 1280] = picture
    return image


def ev17_mask(*rectangles: tuple[int, int, int, int, int], channels: int = 0) -> np.ndarray:
    """uint8 [1080, 1920]: each (x, y, width, height, value), in pixels of the picture."""
    mask = np.zeros(EV17_SIZE, np.uint8)
    row, column = EV17_CORNER
    for x, y, width, height, value in rectangles:
        mask[row + y : row + y + height, column + x : column + x + width] = value
    return np.dstack([mask * (c == 0) for c in range(channels)]) if channels else mask


def write_ev17_sequence(
    folder: Path,
    images: dict[int, np.ndarray],
    masks: dict[str, dict[int, np.ndarray]],
) -> Path:
    """instrument_dataset_N; `masks` by folder, e.g. ground_truth/Other_labels."""
    for number, image in images.items():
        write_image(folder / "left_frames" / f"frame{number:03d}.png", image)
        write_image(folder / "right_frames" / f"frame{number:03d}.png", image)
    for below, frames in masks.items():
        for number, mask in frames.items():
            write_gray(folder / below / f"frame{number:03d}.png", mask)
    return folder


# ---- EndoVis 2018 --------------------------------------------------------------------------------

EV18_LABELS = [
    {"name": "background-tissue", "color": [0, 0, 0], "classid": 0},
    {"name": "instrument-shaft", "color": [0, 255, 0], "classid": 1},
    {"name": "instrument-clasper", "color": [0, 255, 255], "classid": 2},
    {"name": "kidney-parenchyma", "color": [255, 55, 0], "classid": 4},
    {"name": "thread", "color": [187, 155, 25], "classid": 6},
    {"name": "intestine", "color": [124, 155, 5], "classid": 10},
]
EV18_COLORS = {item["name"]: item["color"] for item in EV18_LABELS}


def ev18_mask(*names: str, alpha: bool = False) -> np.ndarray:
    """uint8 [HEIGHT, WIDTH, 3 or 4] RGB: a column of 48 pixels for each class, then background."""
    mask = np.zeros((HEIGHT, WIDTH, 4), np.uint8)
    mask[..., 3] = 255
    for place, name in enumerate(names):
        mask[:, 48 * place : 48 * (place + 1), :3] = EV18_COLORS[name]
    return mask if alpha else mask[..., :3]


def write_ev18_sequence(folder: Path, masks: dict[int, np.ndarray | None]) -> Path:
    """seq_N with a numbered image a frame, and its label image unless it is None."""
    for number, mask in masks.items():
        for side in ("left_frames", "right_frames"):
            write_image(folder / side / f"frame{number:03d}.png", numbered_image(number))
        if mask is not None:
            write_color(folder / "labels" / f"frame{number:03d}.png", mask)
    write_text(folder / "camera_calibration.txt", "1 2 3\n")
    return folder


def write_color(path: Path, mask: np.ndarray) -> None:
    """An RGB or RGBA PNG."""
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), mask[..., [2, 1, 0, 3][: mask.shape[2]]])


# ---- questions about stills ----------------------------------------------------------------------

CLASSIFICATION = """What organ is being operated?|kidney
What is the state of bipolar_forceps?|Tissue_Manipulation

Where is bipolar_forceps located?|left-top
"""
SENTENCE = """What organ is being operated?|organ being operated is kidney
What is the state of bipolar_forceps?|action done by bipolar forceps is tissue manipulation
Where is bipolar_forceps located?|bipolar forceps is located at left-top
Which colour is it?|it is red
"""
LOCALIZED = """What organ is being operated?|kidney|1,1,1281,1025
What is the state of suction?|Suction|321,257,641,513
Where is suction located?|left-top|321, 257, 641, 513
"""


def still_image(number: int) -> np.ndarray:
    """`numbered_image` in the shape of the challenges' pictures, 5 to 4."""
    return cv2.resize(numbered_image(number), (160, 128), interpolation=cv2.INTER_NEAREST)


def write_questions(folder: Path, texts: dict[int, str], below: str = "vqla/label") -> Path:
    """Question files of one seq_N."""
    for number, text in texts.items():
        write_text(folder / below / f"frame{number:03d}_QA.txt", text)
    return folder


def write_stills(folder: Path, numbers, name: str = "left_frames") -> Path:
    """Images of one seq_N."""
    for number in numbers:
        write_image(folder / name / f"frame{number:03d}.png", still_image(number))
    return folder
