"""Writers of small trees of m2cai16, HeiChole, Cholec80-CVS, Cholec80-VQA and SSG-VQA.

All labels are made up; frames carry their number (see fixtures_cholec).
"""

from __future__ import annotations

from pathlib import Path

from fixtures_cholec import phase_text, tool_text, tools_of, write_text, write_video

# ---- m2cai16 -------------------------------------------------------------------------------------


def write_workflow(folder: Path, name: str, *, seconds: int = 4, phases: str | None = None) -> None:
    """25 * seconds + 1 frames: a second of TrocarPlacement, the rest Preparation."""
    place = folder / ("test_dataset" if name.startswith("test") else "train_dataset")
    count = 25 * seconds + 1
    write_video(place / f"{name}.mp4", count)
    if phases is None:
        phases = phase_text([("TrocarPlacement", 25), ("Preparation", count - 25)])
    write_text(place / f"{name}.txt", phases)


def write_tool(folder: Path, number: int, *, seconds: int = 4, tools: str | None = None) -> None:
    """25 * seconds + 1 frames with the tools of `tools_of`."""
    place = folder / ("train_dataset" if number <= 10 else "test_dataset")
    name = f"tool_video_{number:02d}"
    write_video(place / f"{name}.mp4", 25 * seconds + 1)
    if tools is None:
        tools = tool_text([tools_of(second) for second in range(seconds + 1)])
    write_text(place / f"{name}.txt", tools)
