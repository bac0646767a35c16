"""Writers of small PSI-AVA and GraSP trees: the released layouts, made-up labels.

Frames are `numbered_image`s with their second, 192 x 64; the label files say another size (as a
release with shrunken frames would), so boxes have to be taken as fractions of the file's own size.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from fixtures_cholec import HEIGHT, WIDTH, numbered_image, write_image, write_text

from surgzoo.db import ontology

FILE_WIDTH, FILE_HEIGHT = 1280, 800
PLURAL = {"instrument": "categories", "action": "action_categories", "phase": "phase_categories"}
PLURAL["step"] = "step_categories"


def ids(source: str, kind: str) -> dict[str, int]:
    """Native name -> id, in the table's order; instruments and actions count from 1."""
    names = [native for k, native in ontology.table(source) if k == kind]
    return {
        name: number for number, name in enumerate(names, start=kind in ("instrument", "action"))
    }


def tool(name: str, box: tuple[float, ...], actions: tuple[str, ...]) -> dict:
    """One instrument: its box is x, y, width, height in pixels of 1280 x 800."""
    return {"name": name, "box": box, "actions": actions}


SCISSORS = tool("Monopolar Curved Scissors", (640.0, 200.0, 320.0, 400.0), ("Cut", "Push"))
FORCEPS = tool("Bipolar Forceps", (0.0, 80.0, 128.0, 160.0), ("Hold",))

# second -> (phase, step, instruments); 2 is a key frame in which nothing is annotated
KEYS = {
    1: ("LPIL", "Cut", (SCISSORS, FORCEPS)),
    2: ("", "", ()),
    4: ("RPIL", "Suction", (FORCEPS,)),
}
# phase and step of seconds 0 .. 5
SECONDS = [("Idle", "Idle"), *[("LPIL", "Cut")] * 2, *[("RPIL", "Suction")] * 3]


def coco(frames: dict[str, dict[int, tuple]], **changes) -> dict:
    """The COCO file of {case: {second: (phase, step, instruments)}}."""
    numbers = {kind: ids("psi_ava", kind) for kind in PLURAL}
    out = {
        "info": {"version": "v3_35s"},
        **{
            key: [
                {"id": number, "name": name, "supercategory": kind}
                for name, number in numbers[kind].items()
            ]
            for kind, key in PLURAL.items()
        },
        "images": [],
        "annotations": [],
    }
    for case, keys in frames.items():
        for second, (phase, step, tools) in keys.items():
            image = len(out["images"]) + 1
            name = f"{case}/{second:05d}.jpg"
            size = {"width": FILE_WIDTH, "height": FILE_HEIGHT}
            out["images"].append({"id": image, "file_name": name, **size})
            for item in tools:
                out["annotations"].append(
                    {
                        "id": len(out["annotations"]) + 1,
                        "image_id": image,
                        "image_name": name,
                        "category_id": numbers["instrument"][item["name"]],
                        "iscrowd": 0,
                        "bbox": list(item["box"]),
                        "actions": [numbers["action"][name] for name in item["actions"]],
                        "phase": numbers["phase"][phase],
                        "step": numbers["step"][step],
                    }
                )
    return out | changes


def csv_rows(frames: dict[str, dict[int, tuple]]) -> str:
    """The same as rows. The last columns are step and phase, in this order."""
    numbers = {kind: ids("psi_ava", kind) for kind in PLURAL}
    lines = []
    for case, keys in frames.items():
        for second, (phase, step, tools) in keys.items():
            for item in tools:
                x, y, w, h = item["box"]
                corners = (x / FILE_WIDTH, y / FILE_HEIGHT)
                corners += ((x + w) / FILE_WIDTH, (y + h) / FILE_HEIGHT)
                actions = [numbers["action"][name] for name in item["actions"]]
                actions += [-1] * (3 - len(actions))
                row = (case, second, len(lines) + 1, *corners, *actions)
                row += (numbers["instrument"][item["name"]],)
                lines.append((*row, numbers["step"][step], numbers["phase"][phase]))
    return "".join(",".join(map(str, line)) + "\n" for line in lines)


def extended_rows(case: str, seconds: list[tuple[str, str]]) -> str:
    """One row a second: phase and step, zeros in place of an instrument."""
    phases, steps = ids("psi_ava", "phase"), ids("psi_ava", "step")
    return "".join(
        f"{case},{second},{second + 1},0.0,0.0,0.0,0.0,0,-1,-1,0,{steps[step]},{phases[phase]}\n"
        for second, (phase, step) in enumerate(seconds)
    )


def write_psi_ava(
    folder: Path,
    cases: tuple[str, ...] = ("CASE001",),
    *,
    part: str = "train",
    images: int | None = 6,
    extended: bool = True,
    keys: dict[int, tuple] | None = None,
) -> Path:
    """Cases with the labels of KEYS and SECONDS. `images`: frames a case, None for none."""
    frames = {case: KEYS if keys is None else keys for case in cases}
    for fold in ("fold1", "fold2"):
        # Fold 2 has the files of fold 1 with train and val exchanged.
        name = part if fold == "fold1" else {"train": "val", "val": "train"}[part]
        labels = folder / "psi-ava" / fold
        write_text(
            labels / "coco_anns" / f"{name}_coco_anns_v3_35s.json",
            json.dumps(coco(frames), indent=1),
        )
        write_text(labels / "annotations" / f"{name}.csv", csv_rows(frames))
    write_text(
        folder / "psi-ava" / "fold1" / "frame_lists" / f"{part}.csv",
        "".join(
            f"{case} 1 {n} ./outputs/PSIAVA/keyframes/{case}/{n:05d}.jpg\n"
            for case in cases
            for n in range(6)
        ),
    )
    write_lists(folder / "psi-ava" / "fold1" / "annotations")
    if extended:
        write_text(
            folder / "psi-ava_extended" / "fold1" / "annotations" / f"{part}.csv",
            "".join(extended_rows(case, SECONDS) for case in cases),
        )
    for case in cases:
        for second in range(images or 0):
            write_image(folder / "keyframes" / case / f"{second:05d}.jpg", numbered_image(second))
    return folder


def write_lists(folder: Path) -> None:
    """The four id lists; phases and steps have other (Spanish) names there."""
    for name, kind in (
        ("TOOLS", "instrument"),
        ("ACTIONS", "action"),
        ("PHASES", "phase"),
        ("STEPS", "step"),
    ):
        found = ids("psi_ava", kind)
        entries = [
            f'label {{\n  name: "{native if kind in ("instrument", "action") else f"Nombre_{n}"}"\n'
            f"  label_id: {n}\n  label_type: {kind.upper()}_NAME\n}}\n"
            for native, n in found.items()
        ]
        write_text(folder / f"surgery_{name}_list.pbtxt", "".join(entries))


# ---- GraSP ---------------------------------------------------------------------------------------


def run_lengths(mask: np.ndarray) -> dict:
    """COCO's uncompressed run lengths of a bool [height, width]: columns one after the other."""
    flat = mask.T.reshape(-1)
    counts, value = [], False
    position = 0
    while position < flat.size:
        length = 0
        while position < flat.size and flat[position] == value:
            length += 1
            position += 1
        counts.append(length)
        value = not value
    return {"size": list(mask.shape), "counts": counts}


def grasp_coco(
    images: dict[str, tuple],
    *,
    short: bool,
    size: tuple[int, int],
    first: int = 1,
) -> dict:
    """A label file of {file name: (phase, step, [(instrument, mask, actions), ...])}.

    Long-term files have phase and step, short-term files instruments; keys are in the plural.
    """
    numbers = {kind: ids("grasp", kind) for kind in PLURAL}
    out = {
        "info": {},
        "categories": [{"id": n, "name": name} for name, n in numbers["instrument"].items()],
        "actions_categories": [{"id": n, "name": name} for name, n in numbers["action"].items()],
        "phases_categories": [{"id": n, "name": name} for name, n in numbers["phase"].items()],
        "steps_categories": [{"id": n, "name": name} for name, n in numbers["step"].items()],
        "images": [],
        "annotations": [],
    }
    for number, (name, (phase, step, tools)) in enumerate(images.items(), start=first):
        case, _, file = name.partition("/")
        out["images"].append(
            {
                "id": number,
                "file_name": name,
                "width": size[1],
                "height": size[0],
                "video_name": case,
                "frame_num": int(file.partition(".")[0]),
            }
        )
        base = {"image_id": number, "image_name": name}
        if not short:
            labels = {"phases": numbers["phase"][phase], "steps": numbers["step"][step]}
            out["annotations"].append({"id": len(out["annotations"]) + 1, **base, **labels})
            continue
        for instrument, mask, actions in tools:
            rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
            x, y = int(columns[0]), int(rows[0])
            out["annotations"].append(
                {
                    "id": len(out["annotations"]) + 1,
                    **base,
                    "category_id": numbers["instrument"][instrument],
                    "bbox": [x, y, int(columns[-1]) + 1 - x, int(rows[-1]) + 1 - y],
                    "actions": [numbers["action"][action] for action in actions],
                    "segmentation": run_lengths(mask),
                }
            )
    return out


def rectangle(x: int, y: int, width: int, height: int) -> np.ndarray:
    """bool [HEIGHT, WIDTH], set in a rectangle."""
    mask = np.zeros((HEIGHT, WIDTH), bool)
    mask[y : y + height, x : x + width] = True
    return mask


HOLDING = ("Prograsp Forceps", rectangle(48, 16, 48, 32), ("Hold", "Pull"))
CUTTING = ("Monopolar Curved Scissors", rectangle(72, 32, 96, 16), ("Cut",))


def write_grasp(
    folder: Path,
    frames: dict[str, tuple],
    *,
    part: str = "train",
    tree: str = "GraSP_1fps",
    keys: tuple[str, ...] = (),
    images: tuple[str, ...] | None = None,
) -> Path:
    """Label files of `frames` (name -> phase, step, tools) and images of them, or of `images`.

    An image shows the number in its name. `keys` are the frames in the short-term file.
    """
    labels = folder / tree / "annotations"
    size = HEIGHT, WIDTH
    write_text(
        labels / f"grasp_long-term_{part}.json",
        json.dumps(grasp_coco(frames, short=False, size=size), indent=1),
    )
    chosen = {name: frames[name] for name in keys}
    write_text(
        labels / f"grasp_short-term_{part}.json",
        json.dumps(grasp_coco(chosen, short=True, size=size), indent=1),
    )
    for name in frames if images is None else images:
        number = int(Path(name).stem)
        write_image(folder / tree / "frames" / name, numbered_image(number))
    return folder
