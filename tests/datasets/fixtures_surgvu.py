"""Writer of a small SurgVU24 tree: parts of sessions with logs, clips with boxes, questions."""

from __future__ import annotations

import json
from pathlib import Path

from fixtures_cholec import HEIGHT, WIDTH, write_text, write_video

TOOL_HEADER = (
    "index,install_case_part,install_case_time,uninstall_case_part,uninstall_case_time,arm,"
    "commercial_toolname,groundtruth_toolname"
)
TASK_HEADER = "index,start_part,start_time,stop_part,stop_time,groundtruth_taskname"
# As in the boxes' file, where names are spelt in a way of their own; ids count from 1.
CATEGORIES = (
    *("needle driver", "monopolar curved scissor", "force bipolar", "clip applier"),
    *("tip up fenestrated grasper", "cadiere forceps", "bipolar forceps", "vessel sealer"),
    *("suction irrigator", "bipolar dissector", "prograsp forceps", "stapler"),
    *("permanent cautery hook spatula", "grasping retractor"),
)


def clock(seconds: float) -> str:
    """HH:MM:SS.ffffff"""
    minutes, rest = divmod(seconds, 60)
    return f"{int(minutes) // 60:02d}:{int(minutes) % 60:02d}:{rest:09.6f}"


def tool(name: str, start: tuple[int, float], end: tuple[int, float], arm: str = "USM1") -> str:
    """One row without index: parts are floats, times clocks."""
    return f"{start[0]:.1f},{clock(start[1])},{end[0]:.1f},{clock(end[1])},{arm},Large One,{name}"


def task(name: str, start: tuple[int, float], end: tuple[int, float]) -> str:
    """One row without index: times are seconds."""
    return f"{start[0]},{start[1]},{end[0]},{end[1]},{name}"


def log(header: str, rows: list[str], newline: str = "\n") -> str:
    """A whole file, with its index."""
    return newline.join([header, *(f"{n},{row}" for n, row in enumerate(rows))]) + newline


TOOLS = [
    tool("needle driver", (1, 0.0), (1, 3.0)),
    tool("cadiere forceps", (1, 2.0), (2, 1.5), "USM2"),
    tool("nan(camera in)", (1, 0.0), (2, 9.0), "USM3"),
]
TASKS = [task("Suturing", (1, 1.0), (1, 3.0)), task("Uterine horn", (1, 3.0), (2, 2.0))]


def write_session(
    folder: Path,
    number: int = 0,
    *,
    parts: tuple[int, ...] = (125, 100),
    tools: list[str] | str = TOOLS,
    tasks: list[str] | str = TASKS,
) -> Path:
    """A session: the frames of each part at 25 fps, and the two logs (rows, or a whole text)."""
    name = f"case_{number:03d}"
    for part, frames in enumerate(parts, start=1):
        write_video(folder / "surgvu24" / name / f"{name}_video_part_{part:03d}.mp4", frames)
    labels = folder / "labels" / name
    tools = tools if isinstance(tools, str) else log(TOOL_HEADER, tools)
    tasks = tasks if isinstance(tasks, str) else log(TASK_HEADER, tasks)
    write_text(labels / "tools.csv", tools)
    write_text(labels / "tasks.csv", tasks)
    return folder


def coco(frames: dict[int, list[tuple[str, tuple[float, ...]]]]) -> dict:
    """Frame -> boxes (name, x, y, width, height in pixels)."""
    out = {
        "categories": [{"id": n, "name": name} for n, name in enumerate(CATEGORIES, start=1)],
        "images": [],
        "annotations": [],
    }
    for frame, found in frames.items():
        out["images"].append(
            {"id": frame, "file_name": f"{frame:010d}.jpg", "width": WIDTH, "height": HEIGHT}
        )
        out["annotations"] += [
            {
                "id": len(out["annotations"]) + n,
                "image_id": frame,
                "category_id": CATEGORIES.index(name) + 1,
                "bbox": list(box),
            }
            for n, (name, box) in enumerate(found)
        ]
    return out


def write_boxes(folder: Path, number: int, frames: dict[int, list], *, seconds: int = 4) -> Path:
    """A clip at 1 fps with its boxes, and the second file of boxes that is not read."""
    top = folder / "cat1_test_set_public"
    write_video(top / f"{number}_fps1.mp4", seconds, fps=1)
    write_text(top / f"{number}_fps1_coco.json", json.dumps(coco(frames), indent=1))
    write_text(top / f"{number}_fps1_gc.json", "{}")
    return folder


def write_question(
    folder: Path, number: int, question: str, answers: list[str], *, frames: int = 100
) -> Path:
    """A clip at 25 fps with its question and the accepted answers."""
    name = f"case{number:03d}"
    write_video(folder / name / f"{name}.mp4", frames)
    write_text(folder / name / f"{name}_question.json", json.dumps(question))
    write_text(folder / name / f"{name}.json", json.dumps(answers, indent=1))
    return folder
