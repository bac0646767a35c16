"""The questions of a set: which frames are asked about, and in whose words."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from surgzoo.data.conversations import address
from surgzoo.data.media import MediaError
from surgzoo.db import ontology, schema
from surgzoo.db.schema import Conversation, Turn
from surgzoo.evaluate.benchmarks.definition import BenchmarkSet, Prompt, Protocol
from surgzoo.evaluate.truth import Truth, load_truth, place
from surgzoo.tasks import wording
from surgzoo.tasks.base import Task
from surgzoo.tasks.triplet_recognition import BETWEEN, KINDS
from surgzoo.tasks.wording import Wording


def load(
    sets: Sequence[BenchmarkSet],
    data_dir: str | Path,
    protocol: Protocol,
    *,
    limit: int | None = None,
) -> dict[str, Truth]:
    """Name of a set -> its questions with their true answers.

    Sets of one split of one source are read in one pass over it. `limit` draws at most so many
    questions of a set, as `BenchmarkSet.most` does. Raises NotPreparedError and ValueError where
    `BenchmarkSet.lacking` says why.
    """
    groups: dict[tuple, dict[str, BenchmarkSet]] = {}
    for item in sets:
        put_by = protocol if item.prompt is None else "open"
        key = (item.source, item.split, item.scheme, put_by)
        name = item.build().name
        while name in groups.get(key, {}):  # two sets of one task: each has its own pass
            key = (*key, item.name)
        groups.setdefault(key, {})[name] = item
    found = {}
    for (source, split, scheme, put_by, *_), members in groups.items():
        whole = load_truth(
            data_dir,
            [source],
            [item.build() for item in members.values()],
            split=split,
            scheme=scheme,
            wording=Wording(protocol=put_by),
        )
        for name, item in members.items():
            found[item.name] = _chosen(whole.of_task(name), item, protocol, limit)
    return {item.name: found[item.name] for item in sets}


def _chosen(truth: Truth, asked: BenchmarkSet, protocol: Protocol, limit: int | None) -> Truth:
    """The questions of the sample, in the set's words."""
    (task,) = truth.tasks.values()
    most = min(n for n in (asked.most, limit, len(truth.conversations)) if n is not None)
    ids = drawn(thinned(truth, asked.every), most, asked.seed)
    found = {id: truth.conversations[id] for id in ids}
    if asked.prompt is not None:
        found = {id: put(c, task, asked, asked.prompt, protocol) for id, c in found.items()}
    return dataclasses.replace(truth, conversations=found)


def thinned(truth: Truth, every: float | None) -> list[str]:
    """Ids of the questions about the first asked frame of each `every` seconds of a video."""
    if every is None:
        return list(truth.conversations)
    first: dict[tuple[str, int], float] = {}
    stretches = {
        id: (place(id), int((truth.times[id] + 1e-6) // every)) for id in truth.conversations
    }
    for id, stretch in stretches.items():
        first[stretch] = min(first.get(stretch, truth.times[id]), truth.times[id])
    return [id for id, stretch in stretches.items() if truth.times[id] == first[stretch]]


def drawn(ids: Sequence[str], most: int, seed: int) -> list[str]:
    """At most so many ids by a hash of each, in their order: one more or less moves no other."""
    if len(ids) <= most:
        return list(ids)
    ranked = sorted(ids, key=lambda id: (wording.draw(id, seed, 1 << 62, "benchmark"), id))
    kept = set(ranked[:most])
    return [id for id in ids if id in kept]


def put(
    conversation: Conversation, task: Task, asked: BenchmarkSet, prompt: Prompt, protocol: Protocol
) -> Conversation:
    """The same question in the benchmark's words."""
    template = prompt.text(protocol)
    listed = [task.shown(option) for option in conversation.options]
    source = asked.source.partition(".")[0]
    if asked.answers:
        listed = [native for kind, native in ontology.table(source) if kind in asked.answers]
    letters = "{lettered}" in template
    question = template.format(
        question=conversation.prompt,
        name=listed[0] if listed else "",
        options=", ".join(listed),
        lettered=wording.listed(listed) if letters else "",
        criteria=", ".join(f"{n} {name}" for n, name in enumerate(listed, 1)),
        **_parts(conversation.options),
    )
    target = conversation.target
    if letters:
        target = ", ".join(wording.lettered(name, listed) for name in _right(conversation, task))
    return dataclasses.replace(
        conversation,
        turns=(Turn("user", question), Turn("assistant", target)),
        choices=tuple(listed) if letters else (),
    )


def _right(conversation: Conversation, task: Task) -> list[str]:
    """The right ones of the listed answers."""
    if task.answer_form == "vqa":
        return [conversation.answer["text"]]
    return task.units(conversation.answer) or []


def _parts(options: Sequence[str]) -> dict[str, str]:
    """The names of options that are triplets: {instruments}, {verbs}, {targets}."""
    rows = [option.split(BETWEEN) for option in options]
    if not rows or any(len(row) != len(KINDS) for row in rows):
        return {}
    columns = zip(*rows, strict=True)
    return {
        f"{kind}s": ", ".join(dict.fromkeys(column))
        for kind, column in zip(KINDS, columns, strict=True)
    }


# ---- for a model that is asked outside -----------------------------------------------------------


def line(asked: BenchmarkSet, truth: Truth, conversation: Conversation) -> dict[str, Any]:
    """A question as a line of the questions file; the true answer is not in it."""
    return {
        "id": conversation.id,
        "set": asked.name,
        "prompt": conversation.prompt,
        "choices": list(conversation.choices),
        "media": [schema.to_jsonable(item) for item in conversation.media],
        "time": truth.times[conversation.id],
    }


def with_images(lines: Iterator[dict[str, Any]], truth: Truth, folder: Path) -> Iterator[dict]:
    """Adds "images": paths of the frames, written as they are stored (JPEG) below `folder`.

    A frame that several questions show is written once. Raises MediaError where media is a map.
    """
    for item in lines:
        paths = []
        for pointer in item["media"]:
            media = schema.from_jsonable(schema.Media, pointer)
            if media.kind not in ("image", "clip"):
                raise MediaError(f"{item['id']}: a map ({media.kind}) is not written as an image")
            store = truth.stores[f"{media.source}.{media.config}"]
            for index in range(media.first, media.first + media.count):
                name = f"{media.source}.{media.config}/{media.video}/{index:06d}.jpg"
                path = folder / name
                if not path.exists():
                    path.parent.mkdir(parents=True, exist_ok=True)
                    path.write_bytes(store.frame(media.video, index).image)
                paths.append(str(path))
        yield {**item, "images": paths}


def of_source(id: str) -> tuple[str, str, str]:
    """(source, config, task) that an id names."""
    source, config, _, _, task, _ = address(id)
    return source, config, task
