"""Conversations as chat records of other trainers, and back.

  llava     one JSON array of {"id", "image" or "images" or "video", "conversations": [{"from",
            "value"}]}, from human or gpt; github.com/haotian-liu/LLaVA, docs/Finetune_Custom_Data
  sharegpt  one JSON array of {"messages": [{"role", "content"}], "images" or "videos"}, and a
            dataset_info.json beside it; github.com/hiyouga/LLaMA-Factory, data/README
  swift     JSON lines of {"messages", "images" or "videos"}; ms-swift, Customization/Custom-dataset

A picture stands in the text as `<image>`, a clip as `<video>`; a clip is a list of frames where the
format has lists, which these trainers read as a video. The reasoning trace goes before the answer
in <think> and <answer>. Each record keeps, under "surgzoo", what the format has no field for (task,
answer, options, split); trainers leave unknown keys alone, and `read` makes the conversation again.
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
_MARKS = re.compile(r"^(?:<(?:image|video)>\n?)+")
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
    said = _said(conversation, clips)
    out: dict[str, Any] = {"id": conversation.id}
    if form == "llava":
        names = {"user": "human", "assistant": "gpt"}
        out["conversations"] = [{"from": names[role], "value": text} for role, text in said]
        if files and not clips and len(files) == 1:
            out["image"] = files[0][0]
        elif files:
            out["video" if clips else "images"] = [name for part in files for name in part]
    else:
        out["messages"] = [{"role": role, "content": text} for role, text in said]
        if files:
            out["videos" if clips else "images"] = (
                files if clips else [name for part in files for name in part]
            )
    out[OWN] = _rest(conversation)
    return out


def write(
    conversations: Iterable[Conversation], pictures: Pictures, form: Format, name: str
) -> tuple[Path, int]:
    """Writes `<name>.json` (swift: `<name>.jsonl`) into the pictures' folder.

    Returns the file and the number of records.
    """
    folder = pictures.folder
    folder.mkdir(parents=True, exist_ok=True)
    records = (record(conversation, pictures, form) for conversation in conversations)
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
        _describe(folder, name, path)
    return path, count


def _describe(folder: Path, name: str, path: Path) -> None:
    """Adds the file to dataset_info.json, which LLaMA-Factory finds data sets by."""
    info = folder / "dataset_info.json"
    known = json.loads(info.read_text(encoding="utf-8")) if info.exists() else {}
    with open(path, encoding="utf-8") as file:
        file.readline()
        first = json.loads(file.readline().rstrip(",\n") or "null") or {}
    columns = {"messages": "messages"}
    columns |= {key: key for key in ("images", "videos") if key in first}
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
    info.write_text(json.dumps(known, indent=2) + "\n", encoding="utf-8")


def read(path: str | Path) -> Iterator[Conversation]:
    """The conversations of a file that `write` made, of any of the three formats.

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


def _said(conversation: Conversation, clips: bool) -> list[tuple[str, str]]:
    """(role, text) of all turns, media marks and reasoning included."""
    said = [(turn.role, turn.text) for turn in conversation.turns]
    if conversation.media:
        marks = _MARK[clips] * len(conversation.media)
        said[0] = (said[0][0], f"{marks}\n{said[0][1]}")
    if conversation.thinking:
        role, text = said[-1]
        said[-1] = (role, f"<think>{conversation.thinking}</think><answer>{text}</answer>")
    return said


def _rest(conversation: Conversation) -> dict[str, Any]:
    """What the formats have no field for."""
    whole = schema.to_jsonable(conversation)
    lost = ("task", "answer", "options", "choices", "video", "split", "derived")
    counts = [media.count for media in conversation.media if media.kind == "clip"]
    return {key: whole[key] for key in lost if key in whole} | ({"clips": counts} if counts else {})


def _conversation(item: dict[str, Any]) -> Conversation:
    own = dict(item[OWN])
    counts = own.pop("clips", [])
    if "messages" in item:
        said = [(m["role"], m["content"]) for m in item["messages"]]
    else:
        roles = {"human": "user", "gpt": "assistant"}
        said = [(roles[m["from"]], m["value"]) for m in item["conversations"]]
    names = item.get("images") or item.get("video") or item.get("videos") or []
    names = [item["image"]] if "image" in item else names
    names = [n for part in names for n in (part if isinstance(part, list) else [part])]
    media = ()
    if counts:
        for count in counts:
            media += media_of(names[:count], clip=True)
            names = names[count:]
    else:
        media = media_of(names, clip=False)
    role, text = said[0]
    said[0] = (role, _MARKS.sub("", text, count=1))
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
