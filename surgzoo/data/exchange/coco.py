"""Boxes of prepared frames as COCO instances, and back (cocodataset.org/#format-data).

Boxes are absolute x, y, width, height in pixels of the stored frame, floats. Category ids count
from 1 in the source's order of names. With a mask map beside the frame an annotation also gets its
segmentation as uncompressed run lengths, in COCO's column order.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import numpy as np
import simplejpeg

from surgzoo.data.exchange.pictures import Pictures
from surgzoo.data.media import decode_map
from surgzoo.db import boxes, ontology, schema
from surgzoo.db.records import FrameRecord
from surgzoo.db.store import Store

Kind = Literal["instrument", "tissue"]


def write(
    store: Store,
    pictures: Pictures,
    name: str,
    *,
    kind: Kind = "instrument",
    split: str = "train",
    scheme: str = "default",
    masks: bool = True,
) -> tuple[Path, int]:
    """Writes `<name>.json` into the pictures' folder; returns it and the number of boxes.

    Frames whose instruments (tissues) are not annotated are left out; annotated ones without any
    are in, as COCO's images without objects. A label with a mask and no box gets the mask's extent.
    A frame with a label that has neither is left out: a detector would learn that there is nothing.

    Raises ValueError when no frame is left.
    """
    names = ontology.names(store.source, kind)
    categories = [
        {"id": number, "name": label, "supercategory": kind}
        for number, label in enumerate(names, start=1)
    ]
    ids = {category["name"]: category["id"] for category in categories}
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for stored in store.select(split, scheme):
        for record in store.records(stored):
            found = getattr(record.annotations, f"{kind}s")
            if found is None:
                continue
            frame = record.frame
            size = _size(record)
            mask = _mask(store, record, f"{kind}_mask") if masks else None
            entries = [_annotation(item, mask, size) for item in found]
            if None in entries:
                continue
            media = schema.Media(store.source, store.config, frame.video, frame.index)
            height, width = size
            images.append(
                {
                    "id": len(images) + 1,
                    "file_name": pictures(media)[0],
                    "width": width,
                    "height": height,
                    "video": frame.video,
                    "frame": frame.index,
                }
            )
            for item, entry in zip(found, entries, strict=True):
                entry["id"] = len(annotations) + 1
                entry["image_id"] = images[-1]["id"]
                entry["category_id"] = ids[ontology.name(kind, item.label.concept)]
                annotations.append(entry)
    if not images:
        raise ValueError(
            f"{store.source}.{store.config}, {split} ({scheme}): no frame has all its {kind}s boxed"
        )
    path = pictures.folder / f"{name}.json"
    whole = {
        "info": {"description": f"{store.source}.{store.config}, {split} ({scheme})"},
        "images": images,
        "annotations": annotations,
        "categories": categories,
    }
    part = path.with_name(path.name + ".part")
    part.parent.mkdir(parents=True, exist_ok=True)
    part.write_text(json.dumps(whole), encoding="utf-8")
    part.replace(path)
    return path, len(annotations)


def read(path: str | Path) -> Iterator[tuple[str, list[tuple[str, schema.Box]]]]:
    """(file name, [(category name, box)]) of every image of a COCO file.

    Raises ValueError that names the file and the annotation for a box that is empty or outside.
    """
    whole = json.loads(Path(path).read_text(encoding="utf-8"))
    missing = [key for key in ("images", "annotations", "categories") if key not in whole]
    if missing:
        raise ValueError(f"{path} has no {', '.join(missing)}; it has {', '.join(whole)}")
    names = {item["id"]: item["name"] for item in whole["categories"]}
    found: dict[int, list] = {image["id"]: [] for image in whole["images"]}
    sizes = {image["id"]: (image["height"], image["width"]) for image in whole["images"]}
    for item in whole["annotations"]:
        try:
            box = boxes.from_xywh(item["bbox"], sizes[item["image_id"]], clip=True)
        except (ValueError, KeyError) as error:
            raise ValueError(f"{path}, annotation {item.get('id')}: {error}") from None
        found[item["image_id"]].append((names[item["category_id"]], box))
    for image in whole["images"]:
        yield image["file_name"], found[image["id"]]


def _annotation(item: Any, mask: np.ndarray | None, size: tuple[int, int]) -> dict | None:
    where = None if mask is None or not item.mask else mask == item.mask
    if where is not None and not where.any():
        where = None
    if item.box is not None:
        x, y, w, h = boxes.to_xywh(item.box, size)
    elif where is not None:
        columns, rows = np.flatnonzero(where.any(0)), np.flatnonzero(where.any(1))
        x, y = float(columns[0]), float(rows[0])
        w, h = float(columns[-1] + 1 - x), float(rows[-1] + 1 - y)
    else:
        return None
    out: dict[str, Any] = {"bbox": [x, y, w, h], "area": w * h, "iscrowd": 0}
    if where is not None:
        out["area"] = int(where.sum())
        out["segmentation"] = {"size": list(size), "counts": run_lengths(where)}
    return out


def run_lengths(mask: np.ndarray) -> list[int]:
    """Lengths of the runs of a boolean mask (h, w), column by column, the first run of zeros."""
    flat = np.concatenate([[False], mask.ravel(order="F"), [False]])
    edges = np.flatnonzero(flat[1:] != flat[:-1])
    bounds = np.concatenate([[0], edges, [mask.size]])
    lengths = np.diff(bounds)
    return [int(n) for n in lengths[: len(lengths) - (lengths[-1] == 0)]]


def _mask(store: Store, record: FrameRecord, name: str) -> np.ndarray | None:
    """The frame's own map of instances; none is derived."""
    data = record.dense.get(name)
    if not data:
        return None
    where = f"{store.source}.{store.config}/{record.frame.video}/{record.frame.index}"
    return decode_map(data, where)


def _size(record: FrameRecord) -> tuple[int, int]:
    """(height, width) in pixels, from the picture's header."""
    try:
        height, width, *_ = simplejpeg.decode_jpeg_header(record.image)
    except ValueError as error:
        raise ValueError(f"{record.frame.video}, frame {record.frame.index}: {error}") from None
    return height, width
