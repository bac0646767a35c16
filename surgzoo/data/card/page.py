"""The card as one HTML page that needs nothing beside itself, and the same numbers as JSON."""

from __future__ import annotations

import base64
import collections
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from surgzoo.core import pages
from surgzoo.data.card.collect import LENGTHS, Boxes, Collection, SourceFacts, boxes_of, shown
from surgzoo.data.media import decode_jpeg
from surgzoo.db.schema import Conversation
from surgzoo.db.store import Store
from surgzoo.tasks import tasks as registry

WIDTH = 360  # pixels of a sample's picture
MOST_LABELS = 40  # bars of one histogram
SPLIT_NAMES = {"": "no split"}

_HERE = Path(__file__).parent


def write(
    collection: Collection, stores: Callable[[str, str], Store], out: str | Path, title: str = ""
) -> Path:
    """Writes `card.html` and `card.json` into the folder `out`; returns the page's path."""
    out = Path(out)
    out.mkdir(parents=True, exist_ok=True)
    numbers = as_json(collection)
    text = json.dumps(numbers, indent=1, ensure_ascii=False, allow_nan=False)
    (out / "card.json").write_text(text + "\n", encoding="utf-8")
    environment = pages.environment(_HERE)
    environment.filters |= {"words": _words, "big": lambda n: f"{n:,}", "hours": _hours}
    page = environment.get_template("card.html").render(
        title=title or "SurgΣ-DB",
        card=collection,
        numbers=numbers,
        split_names=SPLIT_NAMES,
        summaries={name: registry.entry(name).card.summary for name in collection.tasks},
        levels={name: registry.get(name)().level for name in collection.tasks},
        histograms={name: _bars(collection.labels[name]) for name in collection.labels},
        heat={name: heat_map(boxes) for name, boxes in collection.boxes.items()},
        bins=_bins(),
        samples={
            name: [_sample(item, stores) for item in items]
            for name, items in collection.samples.items()
        },
        most=MOST_LABELS,
    )
    path = out / "card.html"
    path.write_text(page, encoding="utf-8")
    return path


def as_json(collection: Collection) -> dict[str, Any]:
    """The numbers of the card as plain JSON values."""
    return {
        "scheme": collection.scheme,
        "conversations": collection.total(),
        "operations": collection.operations,
        "cells": [
            {**cell._asdict(), "conversations": count}
            for cell, count in sorted(collection.cells.items())
        ],
        "sources": [_facts(facts) for facts in collection.sources],
        "labels": {name: dict(c.most_common()) for name, c in sorted(collection.labels.items())},
        "boxes": {
            name: {
                "count": boxes.count,
                "sizes": boxes.sizes.tolist(),
                "cover": np.round(boxes.cover / max(boxes.count, 1), 4).tolist(),
            }
            for name, boxes in sorted(collection.boxes.items())
        },
        "derived": {name: dict(c) for name, c in sorted(collection.derived.items())},
        "put": {name: dict(c) for name, c in sorted(collection.put.items())},
        "words": {
            f"{name}/{what}": counts.tolist()
            for (name, what), counts in sorted(collection.words.items())
        },
        "held": {name: dict(c) for name, c in sorted(collection.held.items()) if c},
        "samples": {
            name: [item.id for item in items] for name, items in sorted(collection.samples.items())
        },
    }


def _facts(facts: SourceFacts) -> dict[str, Any]:
    # Not `asdict`, which would rebuild a Counter from pairs and count those.
    return {
        key: dict(value.most_common()) if isinstance(value, collections.Counter) else value
        for key, value in vars(facts).items()
    }


def heat_map(boxes: Boxes) -> str:
    """A data URI of the cells' cover, dark where most boxes are."""
    share = boxes.cover / max(boxes.cover.max(), 1e-9)
    light, dark = np.array([240, 241, 235]), np.array([112, 74, 8])  # BGR
    cells = light + (dark - light) * share[..., None]
    picture = cv2.resize(cells.astype(np.uint8), (240, 240), interpolation=cv2.INTER_NEAREST)
    return _uri(cv2.imencode(".png", picture)[1].tobytes(), "png")


def _bars(counter) -> list[tuple[str, int, float]]:
    """(label, count, share of the largest) of the most frequent labels."""
    top = counter.most_common(MOST_LABELS)
    return [(label, count, count / top[0][1]) for label, count in top]


def _bins() -> list[str]:
    """Names of the bins of LENGTHS."""
    names = [f"{low + 1}–{high}" for low, high in zip((0, *LENGTHS), LENGTHS, strict=False)]
    return [*names, f"> {LENGTHS[-1]}"]


def _sample(conversation: Conversation, stores: Callable[[str, str], Store]) -> dict[str, Any]:
    picture, height, task = None, 0, registry.get(conversation.task)()
    if conversation.media:
        media = conversation.media[0]
        frame = stores(media.source, media.config).frame(media.video, media.first)
        image = decode_jpeg(frame.image, f"{media.source}/{media.video}/{media.first}")
        height = round(image.shape[0] * WIDTH / image.shape[1])
        small = cv2.resize(image[..., ::-1], (WIDTH, height), interpolation=cv2.INTER_AREA)
        data = cv2.imencode(".jpg", small, (cv2.IMWRITE_JPEG_QUALITY, 80))[1].tobytes()
        picture = _uri(data, "jpeg")
    return {
        "conversation": conversation,
        "picture": picture,
        "height": height,
        "frames": sum(media.count for media in conversation.media),
        "boxes": [
            (name, x1 * WIDTH, y1 * height, (x2 - x1) * WIDTH, (y2 - y1) * height)
            for name, (x1, y1, x2, y2) in boxes_of(task, conversation.answer)
        ],
    }


def _uri(data: bytes, kind: str) -> str:
    return f"data:image/{kind};base64,{base64.b64encode(data).decode()}"


def _words(name: str) -> str:
    """ "phase_recognition" -> "Phase recognition"; a specialty by its shown name."""
    text = shown("specialty", name).replace("_", " ")
    return text[:1].upper() + text[1:]


def _hours(seconds: float) -> str:
    return f"{seconds / 3600:,.1f}"
