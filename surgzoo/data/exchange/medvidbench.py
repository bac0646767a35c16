"""Conversations as records of MedVidBench (github.com/YuhaoSu/MedGRPO).

One JSON array of {"conversations": [{"from", "value"}], "video": [frame, ...], "metadata": {"fps",
"video_id", "start_frame", "end_frame"}, "qa_type", "data_source"}. The frames of all media stand in
one list; frame numbers are those of the stored sequence, the last one included. A reasoning trace
has no place there; it is kept under "surgzoo", with what else `chat.read` needs to make the
conversation again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from surgzoo.data.exchange.chat import OWN, rest
from surgzoo.data.exchange.pictures import Pictures, check_answerable, write_json
from surgzoo.db.schema import Conversation
from surgzoo.db.store import Store

# Our task -> the name of the same task there; others keep their own.
QA_TYPES = {
    "next_action": "next_action",
    "safety_assessment": "cvs_assessment",
    "video_captioning": "video_summary",
}

Stores = Callable[[str, str], Store]


def record(conversation: Conversation, pictures: Pictures, stores: Stores) -> dict[str, Any]:
    """One record; writes the pictures. Raises ValueError when the answer is pixels or there is no
    video to name."""
    check_answerable(conversation)
    if not conversation.media:
        raise ValueError(f"{conversation.id} shows no video, which MedVidBench records need")
    names = {"user": "human", "assistant": "gpt"}
    said = [{"from": names[turn.role], "value": turn.text} for turn in conversation.turns]
    said[0]["value"] = f"<video>\n{said[0]['value']}"
    first, last = conversation.media[0], conversation.media[-1]
    stored = stores(first.source, first.config).video(first.video)
    return {
        "id": conversation.id,
        "conversations": said,
        "video": [name for media in conversation.media for name in pictures(media)],
        "metadata": {
            "fps": stored.video.fps,
            "video_id": first.video,
            "start_frame": first.first,
            "end_frame": last.first + last.count - 1,
        },
        "qa_type": QA_TYPES.get(conversation.task, conversation.task),
        "data_source": first.source,
        OWN: rest(conversation, "thinking"),
    }


def write(
    conversations: Iterable[Conversation], pictures: Pictures, stores: Stores, name: str
) -> tuple[Path, int]:
    """Writes `<name>.json` into the pictures' folder; returns it and the number of records."""
    path = pictures.folder / f"{name}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    return path, write_json(path, (record(item, pictures, stores) for item in conversations))
