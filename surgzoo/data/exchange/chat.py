"""Conversations as chat records of other trainers, and back.

  llava     one JSON array of {"id", "image" or "images" or "video", "conversations": [{"from",
            "value"}]}, from human or gpt; github.com/haotian-liu/LLaVA, docs/Finetune_Custom_Data
  sharegpt  one JSON array of {"messages": [{"role", "content"}], "images" or "videos"}, and a
            dataset_info.json beside it; github.com/hiyouga/LLaMA-Factory, data/README
  swift     JSON lines of {"messages", "images" or "videos"}; ms-swift, Customization/Custom-dataset

A picture stands in the text as `<image>`, a clip as `<video>`; a clip is a list of its frames in
the list of clips, which LLaMA-Factory and ms-swift read as a video (LLaVA itself wants a file). The
reasoning trace goes before the answer in <think> and <answer>. Each record keeps, under "surgzoo",
what the format has no field for (task, answer, options, split), and `read` makes the conversation
again. It is text that holds JSON: the trainers read files with the `datasets` library, which up to
4.0 (the last one for LLaMA-Factory 0.9.5) wants one type a column, and an answer like
[["hook", [0.1, 0.2, 0.3, 0.4]]] has none.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Literal

from surgzoo.data.exchange.pictures import Pictures, check_answerable, media_of, write_json
from surgzoo.db import schema
from surgzoo.db.schema import Conversation, Turn

Format = Literal["llava", "sharegpt", "swift"]

OWN = "surgzoo"
_MARK = {False: "<image>", True: "<video>"}
_THOUGHT = re.compile(r"<think>(?P<thinking>.*)</think><answer>(?P<text>.*)</answer>", re.DOTALL)


def record(conversation: Conversation, pictures: Pictures, form: Format) -> dict[str, Any]:
    """One record; writes the conversation's pictures. Raises ValueError when the answer is pixels
    or when clips and single images are mixed."""
    check_answerable(conversation)
    kinds = {media.kind == "clip" for media in conversation.media}
    if len(kinds) > 1:
        raise ValueError(f"{conversation.id} mixes clips and images, which {form} cannot hold")
    clips = kinds == {True}
    files = [pictures(media) for media in conversation.media]
    said = _said(conversation, len(files) if clips else sum(map(len, files)), clips)
    out: dict[str, Any] = {"id": conversation.id}
    if form == "llava":
        names = {"user": "human", "assistant": "gpt"}
        out["conversations"] = [{"from": names[role], "value": text} for role, text in said]
        if files and not clips and len(files) == 1:
            out["image"] = files[0][0]
        elif files:
            out["video" if clips else "images"] = (
                files if clips else [name for part in files for name in part]
            )
    else:
        out["messages"] = [{"role": role, "content": text} for role, text in said]
        if files:
            out["videos" if clips else "images"] = (
                files if clips else [name for part in files for name in part]
            )
    out[OWN] = rest(conversation)
    return out


def write(
    conversations: Iterable[Conversation], pictures: Pictures, form: Format, name: str
) -> tuple[Path, int]:
    """Writes `<name>.json` (swift: `<name>.jsonl`) into the pictures' folder.

    Returns the file and the number of records.
    """
    folder = pictures.folder
    folder.mkdir(parents=True, exist_ok=True)
    seen: set[str] = set()

    def made() -> Iterator[dict[str, Any]]:
        for conversation in conversations:
            item = record(conversation, pictures, form)
            seen.update(item)
            yield item

    records = made()
    if form == "swift":
        path, count = folder / f"{name}.jsonl", 0
        part = path.with_name(path.name + ".part")
        with open(part, "w", encoding="utf-8") as file:
            for item in records:
                file.write(json.dumps(item, ensure_ascii=False) + "\n")
                count += 1
        part.replace(path)
        return path, count
    path = folder / f"{name}.json"
    count = write_json(path, records)
    if form == "sharegpt":
        _describe(folder, name, path, seen)
    return path, count


def _describe(folder: Path, name: str, path: Path, seen: set[str]) -> None:
    """Adds the file to dataset_info.json, which LLaMA-Factory finds data sets by.

    `seen`: the keys of its records. A column of pictures that only some of them have counts.
    """
    info = folder / "dataset_info.json"
    known = json.loads(info.read_text(encoding="utf-8")) if info.exists() else {}
    columns = {"messages": "messages"}
    columns |= {key: key for key in ("images", "videos") if key in seen}
    known[name] = {
        "file_name": path.name,
        "formatting": "sharegpt",
        "columns": columns,
        "tags": {
            "role_tag": "role",
            "content_tag": "content",
            "user_tag": "user",
            "assistant_tag": "assistant",
        },
    }
    part = info.with_suffix(".part")
    part.write_text(json.dumps(known, indent=2) + "\n", encoding="utf-8")
    part.replace(info)


def read(path: str | Path) -> Iterator[Conversation]:
    """The conversations of a file that `write` made, of any of the three formats or MedVidBench.

    Raises ValueError that names file and record for one without what was kept under "surgzoo".
    """
    path = Path(path)
    with open(path, encoding="utf-8") as file:
        if path.suffix == ".jsonl":
            records = [json.loads(line) for line in file if line.strip()]
        else:
            records = json.load(file)
    for number, item in enumerate(records):
        if OWN not in item:
            raise ValueError(
                f"{path}, record {number}: has no '{OWN}' entry, so its task and answer cannot be "
                f"told; it has {', '.join(item)}"
            )
        yield _conversation(item)


def _said(conversation: Conversation, pictures: int, clips: bool) -> list[tuple[str, str]]:
    """(role, text) of all turns, marks of pictures (or clips) and reasoning included."""
    said = [(turn.role, turn.text) for turn in conversation.turns]
    for number, (_, text) in enumerate(said):
        if mark := next((mark for mark in _MARK.values() if mark in text), None):
            raise ValueError(
                f"{conversation.id}: turn {number} says {mark}, which readers take for a picture; "
                "take it out where the source is read, or leave this task out"
            )
    said[0] = (said[0][0], _marks(pictures, clips) + said[0][1])
    if conversation.thinking:
        role, text = said[-1]
        said[-1] = (role, f"<think>{conversation.thinking}</think><answer>{text}</answer>")
    return said


def _marks(pictures: int, clips: bool) -> str:
    """What stands before the first turn."""
    return f"{_MARK[clips] * pictures}\n" if pictures else ""


def rest(conversation: Conversation, *more: str) -> str:
    """What the formats have no field for, and the fields `more`, as JSON."""
    whole = schema.to_jsonable(conversation)
    lost = ("task", "answer", "options", "choices", "video", "split", "derived", *more)
    counts = [media.count for media in conversation.media if media.kind == "clip"]
    kept = {key: whole[key] for key in lost if key in whole}
    return json.dumps(kept | ({"clips": counts} if counts else {}), ensure_ascii=False)


def _conversation(item: dict[str, Any]) -> Conversation:
    own = json.loads(item[OWN])
    counts = own.pop("clips", [])
    if "messages" in item:
        said = [(m["role"], m["content"]) for m in item["messages"]]
    else:
        roles = {"human": "user", "gpt": "assistant"}
        said = [(roles[m["from"]], m["value"]) for m in item["conversations"]]
    names = item.get("images") or item.get("video") or item.get("videos") or []
    names = [item["image"]] if "image" in item else names
    names = [n for part in names for n in (part if isinstance(part, list) else [part])]
    # All frames of a MedVidBench record are one video.
    one = "qa_type" in item
    marks = _marks(1 if one else len(counts) or len(names), one or bool(counts))
    media = ()
    if counts:
        for count in counts:
            media += media_of(names[:count], clip=True)
            names = names[count:]
    else:
        media = media_of(names, clip=False)
    role, text = said[0]
    said[0] = (role, text.removeprefix(marks))
    thinking = None
    role, text = said[-1]
    if match := _THOUGHT.fullmatch(text):
        thinking, said[-1] = match["thinking"], (role, match["text"])
    return schema.from_jsonable(
        Conversation,
        {
            "id": item["id"],
            "media": [schema.to_jsonable(m) for m in media],
            "turns": [schema.to_jsonable(Turn(role, text)) for role, text in said],
            **({"thinking": thinking} if thinking else {}),
            **own,
        },
    )
