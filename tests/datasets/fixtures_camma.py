"""Writers of small trees of the cholecystectomy sources beside Cholec80 and CholecT50.

Labels are made up; images are a few pixels of `fixtures_cholec.numbered_image`. Also what the tests
of these sources share: the records of a video by time, the conversations of a store.
"""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
from fixtures_cholec import HEIGHT, WIDTH, numbered_image, write_image, write_text

from surgzoo.db import ontology, records
from surgzoo.db.store import Store
from surgzoo.tasks import tasks
from surgzoo.tasks.base import Context
from surgzoo.tasks.wording import Wording

SIZE = (HEIGHT, WIDTH)


# ---- reading -------------------------------------------------------------------------------------


def frames(store: Store, video: str) -> dict[float, records.FrameRecord]:
    """The records of a video by time."""
    return {record.frame.time: record for record in store.records(store.video(video))}


def conversations(store: Store, task: str) -> list:
    """All conversations of a task over a store."""
    return [
        conversation
        for stored in store.videos
        for conversation in tasks.get(task)().encode_video(
            store.footage(stored), Context("fps1", stored.video, "test", Wording())
        )
    ]


def values(encoded: bytes) -> np.ndarray:
    """A stored map as an array."""
    return cv2.imdecode(np.frombuffer(encoded, np.uint8), cv2.IMREAD_UNCHANGED)


def natives(items) -> list[str]:
    return [item.label.native for item in items]


# ---- Endoscapes ----------------------------------------------------------------------------------

ENDOSCAPES_CATEGORIES = (
    "cystic_plate",
    "calot_triangle",
    "cystic_artery",
    "cystic_duct",
    "gallbladder",
    "tool",
)


def endoscapes_image(video: int, frame: int, number: int, **changes) -> dict:
    """An image record of a COCO file; `number` is its id."""
    return {
        "file_name": f"{video}_{frame}.jpg",
        "height": HEIGHT,
        "width": WIDTH,
        "id": number,
        "video_id": video,
        "is_det_keyframe": True,
        "is_ds_keyframe": True,
        "ds": [0.0, 0.0, 0.0],
        **changes,
    }


def endoscapes_box(image: int, native: str, box, **changes) -> dict:
    """An annotation of a COCO file: x, y, w, h in pixels."""
    category = ENDOSCAPES_CATEGORIES.index(native) + 1
    return {
        "image_id": image,
        "category_id": category,
        "bbox": list(box),
        "area": box[2] * box[3],
        **changes,
    }


def coco_text(images: list[dict], annotations: list[dict] | None = None) -> str:
    """A COCO file; without `annotations` it has images alone. One record a line."""
    data = {
        "images": images,
        "categories": [
            {"id": number, "name": name}
            for number, name in enumerate(ENDOSCAPES_CATEGORIES, start=1)
        ],
    }
    if annotations is not None:
        data["annotations"] = annotations
    return json.dumps(data, indent=0)


def class_mask(**rectangles) -> np.ndarray:
    """uint8 [HEIGHT, WIDTH]: `v5=(x, y, w, h)` fills a rectangle with the value 5."""
    mask = np.zeros(SIZE, np.uint8)
    for name, (x, y, w, h) in rectangles.items():
        mask[y : y + h, x : x + w] = int(name[1:])
    return mask


def write_mask(path: Path, mask: np.ndarray) -> None:
    """A mask as PNG with three equal channels."""
    write_image(path, np.repeat(mask[..., None], 3, axis=2))


def write_endoscapes_image(folder: Path, split: str, video: int, frame: int, image=None) -> None:
    write_image(
        folder / split / f"{video}_{frame}.jpg",
        numbered_image(frame // 25) if image is None else image,
    )


def write_endoscapes(folder: Path) -> Path:
    """Two videos: 1 (train) with every kind of label, 165 (test) with scores alone.

    Of video 1: frame 0 has all labels, 25 is no key frame, 50 is empty, 75 has a mask alone, 100
    is black, 125 has no image.
    """
    for frame in (0, 25, 50, 75):
        write_endoscapes_image(folder, "train", 1, frame)
    write_endoscapes_image(folder, "train", 1, 100, np.zeros((*SIZE, 3), np.uint8))
    write_endoscapes_image(folder, "test", 165, 5900)
    third = 1 / 3
    zero = endoscapes_image(1, 0, 10000, ds=[1.0, 2 * third, third])
    carried = endoscapes_image(
        1, 25, 10025, ds=[1.0, 1.0, 1.0], is_ds_keyframe=False, is_det_keyframe=False
    )
    empty = endoscapes_image(1, 50, 10050)
    gone = endoscapes_image(1, 125, 10125)
    things = [
        endoscapes_box(10000, "gallbladder", (48, 16, 96, 32)),
        endoscapes_box(10000, "cystic_duct", (0, 0, 24, 16)),
        endoscapes_box(10000, "tool", (144, 32, 48, 32)),
        endoscapes_box(10000, "tool", (96, 0, 48, 16)),
        # A box that was carried over to a frame that nobody annotated.
        endoscapes_box(10025, "tool", (0, 0, 10, 10)),
    ]
    write_text(folder / "train/annotation_ds_coco.json", coco_text([zero, carried, empty, gone]))
    write_text(folder / "train/annotation_coco.json", coco_text([zero, carried, empty], things))
    # Repeats images of train/.
    write_endoscapes_image(folder, "train_seg", 1, 0, numbered_image(7))
    mask = class_mask(v5=(48, 16, 96, 32), v4=(0, 0, 24, 16), v6=(144, 32, 48, 32))
    mask[0:16, 96:144] = 6
    mask[60:, :4] = 255
    write_mask(folder / "semseg/1_0.png", mask)
    write_mask(folder / "semseg/1_75.png", class_mask(v1=(0, 32, 96, 16), v6=(96, 0, 96, 16)))
    test = endoscapes_image(165, 5900, 16505900, ds=[0.0, 0.33, 0.67])
    write_text(folder / "test/annotation_ds_coco.json", coco_text([test], []))
    write_text(folder / "test/annotation_coco_vid.json", coco_text([], []))
    write_text(folder / "train_vids.txt", "1.000000000000000000e+00\n1.2e+02\n")
    return folder


# ---- CholecT45 -----------------------------------------------------------------------------------

T45_KINDS = ("triplet", "instrument", "verb", "target")


def t45_names(kind: str) -> list[str]:
    """The classes of a kind in the order of their ids."""
    return [native for k, native in ontology.table("cholect45") if k == kind]


def t45_rows(kind: str, present: dict[int, list[str]]) -> str:
    """A label file: a row a frame with 1 for the names that are present."""
    names = t45_names(kind)
    lines = [
        ",".join(map(str, (frame, *(int(name in found) for name in names))))
        for frame, found in present.items()
    ]
    return "\n".join(lines) + "\n"


def write_cholect45(
    folder: Path, number: int, triplets: dict[int, list[str]], images: dict | None = None, **more
) -> Path:
    """One video: triplets a frame; the other files hold their parts and what `more` adds to them.

    `more` is names a frame by kind, e.g. instrument={3: ["hook"]}.
    """
    name = f"VID{number:02d}"
    for place, kind in enumerate(T45_KINDS):
        present = {
            frame: (found if kind == "triplet" else [t.split(",")[place - 1] for t in found])
            + more.get(kind, {}).get(frame, [])
            for frame, found in triplets.items()
        }
        write_text(folder / kind / f"{name}.txt", t45_rows(kind, present))
        lines = [f"{number}:{native}" for number, native in enumerate(t45_names(kind))]
        write_text(folder / "dict" / f"{kind}.txt", "\n".join(lines) + "\n")
    if images is None:
        images = {frame: numbered_image(frame) for frame in triplets}
    for frame, image in images.items():
        write_image(folder / "data" / name / f"{frame:06d}.png", image)
    return folder


# ---- CholecTrack20 -------------------------------------------------------------------------------

TRACK_TOOLS = ("grasper", "bipolar", "hook", "scissors", "clipper", "irrigator", "specimen-bag")
TRACK_FLAGS = (
    "visible",
    "crowded",
    "occluded",
    "bleeding",
    "smoke",
    "blurred",
    "undercoverage",
    "reflection",
    "stainedlens",
)


def track_record(instrument: int, box, phase: int = 0, **changes) -> dict:
    """A record of one instrument; flags are 0 and everything else is -1."""
    return {
        "instrument": instrument,
        "verb": -1,
        "target": -1,
        "triplet": -1,
        "phase": phase,
        "tool_bbox": list(box),
        "operator": -1,
        "intraoperative_track": -1,
        "intracorporeal_track": -1,
        "visibility_track": -1,
        "score": 1.0,
        "iscrowd": 0,
        **dict.fromkeys(TRACK_FLAGS, 0),
        **changes,
    }


def track_json(number: int, annotations: dict[int, list[dict]], **changes) -> dict:
    """A whole label file as a dict."""
    return {
        "info": {"dataset": "CholecTrack20"},
        "annotations": {str(frame): records for frame, records in annotations.items()},
        "categories": {
            "tools": [{"id": i, "name": name} for i, name in enumerate(TRACK_TOOLS)],
            "operators": [
                {"id": i, "name": name} for i, name in enumerate(("null", "MSLH", "ASRH", "MSRH"))
            ],
        },
        "video": {"name": f"VID{number:02d}", "num_frames": len(annotations)},
        **changes,
    }


def write_cholectrack20(
    folder: Path,
    split: str,
    number: int,
    annotations: dict[int, list[dict]],
    images: dict[int, np.ndarray] | None = None,
    **changes,
) -> Path:
    """One video: its label file and its frames, of which image n shows its own number."""
    place = folder / split / f"VID{number:02d}"
    text = json.dumps(track_json(number, annotations, **changes), indent=0)
    write_text(place / f"vid{number:02d}.json", text)
    if images is None:
        images = {frame: numbered_image(frame) for frame in annotations}
    for frame, image in images.items():
        write_image(place / "Frames" / f"{frame:06d}.png", image)
    return folder


# ---- CholecSeg8k ---------------------------------------------------------------------------------


def seg8k_path(folder: Path, number: int, frame: int, part: str = "", clip: int = 0) -> Path:
    """Path of an image, or of its mask `part`; `clip` is the clip's first frame."""
    video = f"video{number:02d}"
    return folder / video / f"{video}_{clip:05d}" / f"frame_{frame}_endo{part}.png"


def write_seg8k(
    folder: Path, number: int, frame: int, watershed: np.ndarray | None = None, clip: int = 0
) -> Path:
    """A frame, and its watershed mask."""
    write_image(seg8k_path(folder, number, frame, "", clip), numbered_image(frame))
    if watershed is not None:
        write_mask(seg8k_path(folder, number, frame, "_watershed_mask", clip), watershed)
    return folder


# ---- CholecInstanceSeg ---------------------------------------------------------------------------


def contour(label: str, group: int | None, *rectangle: int) -> dict:
    """A shape of a LabelMe file: the outline of x, y, w, h in pixels."""
    x, y, w, h = rectangle
    points = [[x, y], [x + w - 1, y], [x + w - 1, y + h - 1], [x, y + h - 1]]
    return {"label": label, "points": points, "group_id": group, "shape_type": "polygon"}


def write_instances(
    folder: Path, split: str, sequence: str, name: str, shapes: list[dict] | None, **changes
) -> Path:
    """An image that shows the number of its name, and its label file unless `shapes` is None."""
    place = folder / split / sequence
    write_image(place / "img_dir" / f"{name}.png", numbered_image(int(name[-6:]) % 4096))
    if shapes is not None:
        data = {"shapes": shapes, "imageHeight": HEIGHT, "imageWidth": WIDTH, **changes}
        text = json.dumps({k: v for k, v in data.items() if v is not None}, indent=0)
        write_text(place / "ann_dir" / f"{name}.json", text)
    return folder


# ---- m2cai16-tool-locations ----------------------------------------------------------------------


def voc_xml(name: str, objects: list[tuple], size: tuple[int, int] = SIZE, newline="\n") -> str:
    """A Pascal VOC file; `objects` are (class, xmin, ymin, xmax, ymax)."""
    lines = [
        "<annotation>",
        f"<filename>{name}.jpg</filename>",
        f"<size><width>{size[1]}</width><height>{size[0]}</height><depth>3</depth></size>",
    ]
    for native, *corners in objects:
        pairs = zip(("xmin", "ymin", "xmax", "ymax"), corners, strict=True)
        box = "".join(f"<{tag}>{value}</{tag}>" for tag, value in pairs)
        lines += ["<object>", f"<name>{native}</name>", f"<bndbox>{box}</bndbox>", "</object>"]
    return newline.join([*lines, "</annotation>", ""])


def write_voc(folder: Path, name: str, objects: list[tuple] | None, image=None) -> Path:
    """A frame and its label file, unless `objects` is None."""
    number = int(name.split("_")[1])
    write_image(
        folder / "JPEGImages" / f"{name}.jpg",
        numbered_image(number // 25) if image is None else image,
    )
    if objects is not None:
        write_text(folder / "Annotations" / f"{name}.xml", voc_xml(name, objects))
    return folder
