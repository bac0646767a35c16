"""What asking a server costs: estimated before, counted while it runs, held below a limit.

The rules of the estimate, all of them rough:
  text      a token for 3.5 characters, 12 for the chat template (`db/enrich/cost.py`)
  pictures  by a rule of `IMAGES`; a side that the source does not state counts as 512 pixels
  answer    1.3 times the true one; at most max_tokens, which thinking models may well need
What a server counted goes before an estimate as soon as it is known.
"""

from __future__ import annotations

import dataclasses
import json
import math
import os
import threading
from collections.abc import Callable
from pathlib import Path

from surgzoo.db.enrich.cost import GROWTH, OVERHEAD, Prices, tokens
from surgzoo.db.enrich.endpoint import StoppedError
from surgzoo.db.schema import Conversation
from surgzoo.evaluate.predictors.chat import Chat

UNKNOWN = 512  # pixels of a side that a source does not state


def _patches(side: int) -> Callable[[int, int], int]:
    return lambda width, height: math.ceil(width / side) * math.ceil(height / side)


def _tiles512(width: int, height: int) -> int:
    shrink = min(1.0, 2048 / max(width, height))
    shrink *= min(1.0, 768 / (shrink * min(width, height)))
    across, down = (math.ceil(round(shrink * side, 6) / 512) for side in (width, height))
    return 85 + 170 * across * down


def _tiles768(width: int, height: int) -> int:
    if max(width, height) <= 384:
        return 258
    return 258 * math.ceil(width / 768) * math.ceil(height / 768)


# Tokens of a picture by its width and height.
#   patch28   28 x 28 pixels a token: Qwen2-VL and Qwen2.5-VL (2409.12191), close to Claude's
#   patch32   32 x 32 pixels a token, 1536 at most: GPT-4.1 (OpenAI, Images and vision)
#   tiles512  85 and 170 for each 512 x 512 tile, after scaling into 2048 x 2048 and to a shorter
#             side of 768: GPT-4o (OpenAI, Images and vision, detail high)
#   tiles768  258 for each 768 x 768 tile, one for a picture of 384 x 384 or less: Gemini 2 (Google,
#             Understand and count tokens)
IMAGES: dict[str, Callable[[int, int], int]] = {
    "patch28": _patches(28),
    "patch32": lambda width, height: min(1536, _patches(32)(width, height)),
    "tiles512": _tiles512,
    "tiles768": _tiles768,
}


@dataclasses.dataclass(frozen=True)
class Need:
    """What one request is expected to take."""

    images: int
    prompt_tokens: int
    completion_tokens: int


def need(conversation: Conversation, chat: Chat, image_tokens: str) -> Need:
    """The estimate for one question, by the rules above."""
    rule = IMAGES[image_tokens]
    sizes = chat.sizes(conversation)
    text = sum(tokens(text) for _, text in chat.texts(conversation))
    pictures = sum(rule(width or UNKNOWN, height or UNKNOWN) for width, height in sizes)
    written = max(1, math.ceil(GROWTH * tokens(conversation.target)))
    return Need(len(sizes), OVERHEAD + text + pictures, written)


@dataclasses.dataclass
class Estimate:
    """What is still to be asked."""

    requests: int = 0
    images: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0

    def add(self, wanted: Need) -> None:
        self.requests += 1
        self.images += wanted.images
        self.prompt_tokens += wanted.prompt_tokens
        self.completion_tokens += wanted.completion_tokens

    def about(self, prices: Prices) -> float:
        return prices.of(self.prompt_tokens, self.completion_tokens)

    def most(self, prices: Prices, max_tokens: int) -> float:
        """With every answer as long as it may be."""
        return prices.of(self.prompt_tokens, self.requests * max_tokens)


class Ledger:
    """What the answers of a predictions file have cost, kept beside it over all runs.

    One JSON line a question, appended as soon as it is known: {"id", "prompt_tokens",
    "completion_tokens", "counted"}, where `counted` says that the server counted and not this
    file's rules.
    """

    def __init__(self, path: Path, prices: Prices, limit: float | None = None):
        self.path, self.prices, self.limit = path, prices, limit
        self.prompt_tokens = self.completion_tokens = self.estimated = 0
        self._reserved = 0.0
        self._lock = threading.Condition()
        self._file = -1
        if path.exists():
            content = path.read_bytes()
            for line in content[: content.rfind(b"\n") + 1].splitlines():  # the last may be torn
                self._count(json.loads(line))
        self.before = self.spent

    @property
    def spent(self) -> float:
        return self.prices.of(self.prompt_tokens, self.completion_tokens)

    def _count(self, entry: dict) -> None:
        self.prompt_tokens += entry["prompt_tokens"]
        self.completion_tokens += entry["completion_tokens"]
        self.estimated += not entry["counted"]

    def reserve(self, wanted: Need, max_tokens: int, stopped: threading.Event) -> float | None:
        """Sets aside what a request may cost at most; None when the limit leaves no room for it.

        Waits while requests under way may turn out cheaper than what is set aside for them. Raises
        StoppedError when the event is set meanwhile.
        """
        most = self.prices.of(wanted.prompt_tokens, max_tokens)
        with self._lock:
            while self.limit is not None and self.spent + self._reserved + most > self.limit:
                if not self._reserved:
                    return None
                if stopped.is_set():
                    raise StoppedError
                self._lock.wait(0.1)
            self._reserved += most
        return most

    def release(self, reserved: float) -> None:
        """Gives back what was set aside for a request that is over, after `add` if it cost any."""
        with self._lock:
            self._reserved = max(0.0, self._reserved - reserved)
            if self._reserved < 1e-12:  # what rounding left of nothing
                self._reserved = 0.0
            self._lock.notify_all()

    def add(self, id: str, prompt_tokens: int, completion_tokens: int, counted: bool) -> None:
        """Enters what a question has cost."""
        entry = {
            "id": id,
            "prompt_tokens": prompt_tokens,
            "completion_tokens": completion_tokens,
            "counted": counted,
        }
        with self._lock:
            self._count(entry)
            if self._file < 0:
                self._file = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
                whole = self.path.read_bytes().rfind(b"\n") + 1
                os.ftruncate(self._file, whole)
            os.write(self._file, json.dumps(entry).encode() + b"\n")

    def close(self) -> None:
        if self._file >= 0:
            os.close(self._file)
            self._file = -1
