"""Traces and captions rewritten by a language model, and kept only where the check passes.

SurgΣ-DB has its captions and traces written by large models from structured labels (its annotation
guideline, and arXiv 2603.12430 for the traces). Here the composed text is the ground: what a model
makes of it is read again, and a text that says anything the labels do not is dropped for it.
"""

from __future__ import annotations

import collections
import dataclasses
import re
import threading
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Literal, TypeVar

from surgzoo.db.enrich.cache import Cache, CacheError
from surgzoo.db.enrich.endpoint import Endpoint, GaveUpError, RefusedError, StoppedError
from surgzoo.db.reasoning import Labels, facts, verify

What = Literal["trace", "caption"]
T = TypeVar("T")

SHARE = 0.6  # of the stated facts that a rewriting has to keep
LONGEST = 4  # times the length of the composed text

_RULES = (
    "State every fact of the text and no other: no instrument, tissue, place, number, action, "
    "phase, step or criterion that it does not name, no colours, no judgement, nothing about what "
    "will happen. Keep the names of instruments, tissues, actions, phases, steps and criteria and "
    "the places (such as 'top left') word for word. Answer with the rewritten text alone."
)
_SYSTEM = {
    "trace": (
        "You rewrite a surgeon's reasoning about an image so that it reads naturally and fluently. "
        "Keep the sentence 'This is a Level N task.' and the headings 'Level 1 Perceptual "
        "grounding:', 'Level 2 Relational understanding:' and 'Level 3 Contextual reasoning:' "
        f"where they stand. {_RULES}"
    ),
    "caption": (
        "You rewrite the description of a surgical image or video so that it reads naturally and "
        f"fluently, as one paragraph. {_RULES}"
    ),
}
_TAG = re.compile(r"</?\s*(?:think|answer)", re.IGNORECASE)  # they frame what is said, not here
_HEADING = re.compile(r"This is a Level \d task\.|Level \d [A-Z][a-z]+ [a-z]+:")


@dataclasses.dataclass(frozen=True)
class Item:
    """A composed text and the labels that it speaks from."""

    text: str
    labels: Labels
    what: What = "trace"


@dataclasses.dataclass(frozen=True)
class Outcome:
    """The text to use: the rewriting if it was `kept`, else the composed one and `reason` why."""

    text: str
    kept: bool
    reason: str = ""
    detail: str = ""


def prompt(item: Item) -> list[dict[str, str]]:
    """The messages that ask for a rewriting."""
    return [
        {"role": "system", "content": _SYSTEM[item.what]},
        {"role": "user", "content": item.text},
    ]


def judge(item: Item, text: str) -> Outcome:
    """Keeps a rewriting that says only what is annotated and true, and most of what it should."""
    text = _bare(text)

    def dropped(reason: str, detail: str = "") -> Outcome:
        return Outcome(item.text, False, reason, detail)

    if not text:
        return dropped("empty")
    if len(text) > LONGEST * len(item.text):
        return dropped("too long", f"{len(text)} characters for {len(item.text)}")
    if item.what == "trace" and _HEADING.findall(text) != _HEADING.findall(item.text):
        return dropped("headings changed")
    if _TAG.search(text):
        return dropped("tags")
    problems = verify(text, item.labels, item.labels.video)
    if problems:
        return dropped(f"wrong {problems[0].fact.kind}", problems[0].reason)
    source = item.labels.video.source
    said, wanted = _stated(text, source), _stated(item.text, source)
    left = len(said & wanted)
    if left < SHARE * len(wanted):
        return dropped("facts lost", f"{left} of {len(wanted)} left")
    return Outcome(text, True)


def _stated(text: str, source: str) -> set[tuple]:
    """What a text states, each fact once however often it is said."""
    found = facts(text, source)
    return {(f.kind, f.value, f.negated, f.when, f.order) for f in found}


def _bare(text: str) -> str:
    """Without code fences and quotation marks around the whole."""
    text = re.sub(r"^```\w*\n(.*?)\n?```$", r"\1", text.strip(), flags=re.DOTALL).strip()
    inner = text[1:-1]
    if len(text) > 1 and text[0] + text[-1] in ('""', "“”", "''") and text[0] not in inner:
        return inner.strip()
    return text


def rewrite(
    items: Iterable[tuple[T, Item | None]], endpoint: Endpoint, cache: Cache, *, workers: int = 4
) -> Iterator[tuple[T, Outcome | None]]:
    """The outcome of every item, in order and with what came beside it; None for None.

    At most `workers` requests are under way and a few times as many items in memory. A question
    that the server fails is given up alone; the composed text stays. Raises RefusedError when the
    server refuses everything, CacheError when a reply cannot be kept; no further question is asked
    then, and what was answered until then is in the cache.
    """
    waiting: collections.deque[tuple[T, Item | None, Future | Outcome | str | None]]
    waiting = collections.deque()
    asked: dict[str, Future] = {}  # two items with one question ask once

    stopped = threading.Event()
    failures: list[Exception] = []

    def ask(name: str, messages: list[dict[str, str]]) -> str:
        if stopped.is_set():
            raise StoppedError
        try:
            text = endpoint.ask(messages, stopped)
            cache.put(name, text)
        except (RefusedError, CacheError) as error:
            failures.append(error)
            stopped.set()  # the other threads would ask in vain, or for replies that are lost
            raise
        return text

    def start(item: Item | None) -> Future | Outcome | str | None:
        if item is None:
            return None
        if (flaw := _flaw(item)) is not None:
            return flaw
        messages = prompt(item)
        name = endpoint.key(messages)
        if (text := cache.get(name)) is not None:
            return text
        if name not in asked:
            asked[name] = pool.submit(ask, name, messages)
        return asked[name]

    def end(beside: T, item: Item | None, reply) -> tuple[T, Outcome | None]:
        if item is None or isinstance(reply, Outcome):
            return beside, reply
        try:
            text = reply.result() if isinstance(reply, Future) else reply
        except GaveUpError as error:
            return beside, Outcome(item.text, False, error.kind, str(error))
        except StoppedError:
            raise failures[0] from None
        return beside, judge(item, text)

    pool = ThreadPoolExecutor(workers, thread_name_prefix="enrich")
    try:
        for beside, item in items:
            waiting.append((beside, item, start(item)))
            if len(waiting) >= 4 * workers:
                yield end(*waiting.popleft())
                # The cache answers for what is done; what failed is not asked again in this run.
                asked = {k: f for k, f in asked.items() if not f.done() or f.exception()}
        while waiting:
            yield end(*waiting.popleft())
    finally:
        stopped.set()  # who waits for a server wakes up; who is asking ends, and its reply is kept
        pool.shutdown(wait=True, cancel_futures=True)


def _flaw(item: Item) -> Outcome | None:
    """A composed text that fails the check itself is not worth asking about."""
    problems = verify(item.text, item.labels, item.labels.video)
    if not problems:
        return None
    return Outcome(item.text, False, "composed text does not hold", problems[0].reason)
