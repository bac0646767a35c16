"""Asking an OpenAI-compatible server: conversations -> chat/completions -> predictions.jsonl.

Each answer is written the moment it arrives, by the thread that asked, so a run that is killed
loses what was under way and nothing else; the next one asks what the file does not hold.

  an answer                  a line; `error` notes one that was cut off
  no answer for good         a line with `error` and no text: a request that the server calls wrong,
                             a content filter, a refusal, a reply that is none or empty, a frame
                             that cannot be decoded. It counts as wrong.
  no answer for now          no line: time-outs, busy and broken servers, a 403 amid answers. Listed
                             in `<name>.failed.jsonl`, and asked again by the next run.

A server that gives no text at all is misconfigured, not a model that is wrong: until the first text
lines of the second kind wait, and after a few of them the run ends without having written any.

Beside `theirs.jsonl` stand `theirs.settings.json`, which keeps a file from holding answers to
questions that were put in two ways, and `theirs.usage.jsonl` (`cost.Ledger`).
"""

from __future__ import annotations

import collections
import concurrent.futures
import contextlib
import dataclasses
import json
import os
import threading
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import tqdm

from surgzoo.data.media import MediaError
from surgzoo.db.enrich.cache import hold
from surgzoo.db.enrich.endpoint import Endpoint, GaveUpError, RefusedError, Reply, StoppedError
from surgzoo.db.schema import Conversation
from surgzoo.evaluate.predictions import PredictionsError, PredictionWriter, read_predictions
from surgzoo.evaluate.predictors.chat import Chat
from surgzoo.evaluate.predictors.cost import Ledger, Need, need

WRONG = 8  # questions without an answer for good, and none with one, end the run
SILENT = 10  # questions in a row that the server did not come to answer end the run


@dataclasses.dataclass
class Outcome:
    """What a run did.

    Attributes:
      asked: questions that were to be asked. answered: lines with a text. wrong: lines without one.
      failed: id -> why, of questions without a line that were asked.
      stopped: why the run ended early; None when it came to its end.
    """

    asked: int = 0
    answered: int = 0
    wrong: int = 0
    failed: dict[str, str] = dataclasses.field(default_factory=dict)
    stopped: str | None = None

    @property
    def left(self) -> int:
        """Questions without a line."""
        return self.asked - self.answered - self.wrong

    def reasons(self) -> list[tuple[str, int]]:
        """How often each kind of failure occurred."""
        return collections.Counter(why.split(":")[0] for why in self.failed.values()).most_common()


def beside(path: Path, what: str) -> Path:
    """theirs.jsonl -> theirs.<what>, for what belongs to a predictions file."""
    return path.with_name(f"{path.stem}.{what}")


def answered(path: Path) -> set[str]:
    """The ids that a predictions file holds, none if there is no file. Changes nothing."""
    return {item.id for item in read_predictions(path)} if path.exists() else set()


def check_settings(path: Path, settings: Mapping[str, Any]) -> None:
    """Raises PredictionsError when the answers in a file were asked for in another way."""
    file = beside(path, "settings.json")
    if not path.exists() or not path.stat().st_size or not file.exists():
        return
    before = json.loads(file.read_text(encoding="utf-8"))
    now = json.loads(json.dumps(settings))
    other = sorted(k for k in {*before, *now} if before.get(k) != now.get(k))
    if other:
        told = ", ".join(f"{k} {before.get(k)!r} and not {now.get(k)!r}" for k in other)
        raise PredictionsError(
            f"{path} was asked for with {told}: its answers do not compare. Ask in the same way, "
            "or name another --out."
        )


def keep_settings(path: Path, settings: Mapping[str, Any]) -> None:
    """Writes down how the answers of a file are asked for."""
    path.parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps(settings, indent=1, ensure_ascii=False)
    beside(path, "settings.json").write_text(text + "\n", encoding="utf-8")


@contextlib.contextmanager
def _held(path: Path) -> Iterator[None]:
    """Keeps a second run out of a predictions file: it would ask the same questions again."""
    path.parent.mkdir(parents=True, exist_ok=True)
    file = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        if not hold(file):
            raise PredictionsError(
                f"{path} is being written by another run: wait for it, or name another --out"
            )
        yield
    finally:
        os.close(file)


def predict(
    conversations: Sequence[Conversation],
    chat: Chat,
    endpoint: Endpoint,
    ledger: Ledger,
    path: str | Path,
    *,
    image_tokens: str = "patch28",
    settings: Mapping[str, Any] | None = None,
    decoding: str | None = None,
    workers: int = 4,
) -> Outcome:
    """Appends one line a conversation to `path`, in the order in which answers arrive.

    Questions that the file already answers are not asked; what happens to those that get no answer
    is said above. Ends early, with `Outcome.stopped`, when the server refuses everything or answers
    nothing any more, and when the ledger's limit is reached.

    Args:
      ledger: counts what is spent, and holds it below its limit.
      image_tokens: the rule of `cost.IMAGES` by which a picture is estimated.
      settings: how the questions are put; a file with other settings is not continued.
      decoding: written with every answer; a file with other ways of decoding is not continued.
      workers: requests under way at a time.

    Raises PredictionsError when the file cannot be continued, OSError when it cannot be written.
    """
    path = Path(path)
    settings = {} if settings is None else settings
    check_settings(path, settings)
    ways = {decoding} if decoding else None
    with _held(path), PredictionWriter(path, endpoint.model, ways) as writer:
        heard = any(item.text is not None for item in read_predictions(path))
        todo = [item for item in conversations if item.id not in writer.done]
        keep_settings(path, settings)
        run = _Run(
            chat, endpoint, ledger, writer, image_tokens, workers, len(todo), heard, decoding
        )
        try:
            run.all(todo)
        finally:
            ledger.close()
            _list(beside(path, "failed.jsonl"), run.outcome.failed)
    return run.outcome


def _list(path: Path, failed: Mapping[str, str]) -> None:
    """The questions of the last run that are without an answer; no file when there are none."""
    if not failed:
        path.unlink(missing_ok=True)
        return
    lines = (json.dumps({"id": id, "error": why}, ensure_ascii=False) for id, why in failed.items())
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


class _Run:
    """The threads of one run and what they share."""

    def __init__(
        self,
        chat: Chat,
        endpoint: Endpoint,
        ledger: Ledger,
        writer: PredictionWriter,
        image_tokens: str,
        workers: int,
        total: int,
        heard: bool,
        decoding: str | None,
    ):
        self._chat, self._endpoint, self._ledger = chat, endpoint, ledger
        self._writer, self._image_tokens, self._workers = writer, image_tokens, workers
        self._decoding = decoding
        self.outcome = Outcome(asked=total)
        self._stopped = threading.Event()
        self._lock = threading.Lock()  # of everything below, the writer and the outcome
        self._heard = heard  # there was a text
        # Lines without a text that wait for the first one: id, why, latency.
        self._wrong: list[tuple[str, str, float | None]] = []
        self._silent = 0  # questions given up in a row
        self._failure: BaseException | None = None
        self._bar = tqdm.tqdm(total=total, desc="ask", unit="question", disable=None)

    def all(self, todo: Sequence[Conversation]) -> None:
        """Asks everything. An exception of a thread is raised when all have ended."""
        waiting = iter(todo)
        try:
            with concurrent.futures.ThreadPoolExecutor(self._workers, "ask") as pool:
                try:
                    jobs = [pool.submit(self._work, waiting) for _ in range(self._workers)]
                    concurrent.futures.wait(jobs)
                finally:  # also Ctrl-C: what is under way is paid for, and is waited for
                    self._stopped.set()
        finally:
            self._bar.close()
        self.outcome.failed |= {id: why for id, why, _ in self._wrong}
        if self._failure is not None:
            raise self._failure

    def _work(self, waiting: Iterator[Conversation]) -> None:
        while not self._stopped.is_set():
            with self._lock:
                item = next(waiting, None)
            if item is None:
                return
            try:
                self._one(item)
            except StoppedError:
                return
            except RefusedError as error:
                self._end(str(error))
            except BaseException as error:
                self._failure = error
                self._stopped.set()
            self._bar.update()

    def _end(self, why: str) -> None:
        """No further question is asked."""
        with self._lock:
            self.outcome.stopped = self.outcome.stopped or why
        self._stopped.set()

    def _one(self, item: Conversation) -> None:
        try:
            messages = self._chat(item)
        except MediaError as error:
            self._put(item.id, None, str(error))
            return
        wanted = need(item, self._chat, self._image_tokens)
        reserved = self._ledger.reserve(wanted, self._endpoint.max_tokens, self._stopped)
        if reserved is None:
            self._end(
                f"the limit is reached: {self._ledger.spent:.4g} of {self._ledger.limit:g} are "
                f"spent, and the next question may cost more than what is left"
            )
            return
        try:
            reply = self._endpoint.complete(
                messages, self._stopped, tokens=wanted.prompt_tokens + wanted.completion_tokens
            )
        except GaveUpError as error:
            self._pay(item, wanted, error.wasted)
            self._gave_up(item, error)
        except RefusedError as error:
            if error.status != 403 or not self._heard:
                raise
            # Some gateways say it of one question that their moderation stops, and the key is good.
            self._gave_up(item, GaveUpError("HTTP 403", str(error), transient=True))
        else:
            self._answer(item, reply)
            self._pay(item, wanted, reply.wasted, reply)
        finally:
            self._ledger.release(reserved)

    def _answer(self, item: Conversation, reply: Reply) -> None:
        seconds = round(reply.seconds, 6)
        with self._lock:
            self._silent = 0
        if reply.finish == "content_filter":
            self._wrong_for_good(item, "content filter", seconds)
        elif reply.text:
            cut = "cut off: max_tokens are too few" if reply.finish == "length" else None
            self._put(item.id, reply.text, cut, seconds)
            self._flush()
        elif reply.refusal:
            self._wrong_for_good(item, f"refused: {reply.refusal}", seconds)
        elif reply.finish == "length":
            self._wrong_for_good(item, "cut off before any answer: max_tokens are too few", seconds)
        else:
            self._wrong_for_good(item, "empty reply", seconds)

    def _gave_up(self, item: Conversation, error: GaveUpError) -> None:
        with self._lock:
            self._silent = self._silent + 1 if error.transient else 0
            silent = self._silent
            if error.transient:
                self.outcome.failed[item.id] = str(error)
        if not error.transient:
            self._wrong_for_good(item, str(error))
        elif silent >= max(SILENT, 2 * self._workers):
            raise RefusedError(f"the last {silent} questions got no answer, the last {error}")

    def _wrong_for_good(self, item: Conversation, why: str, latency: float | None = None) -> None:
        with self._lock:
            heard = self._heard
            if not heard:
                self._wrong.append((item.id, why, latency))
            waiting = len(self._wrong)
        if heard:
            self._put(item.id, None, why, latency)
        elif waiting >= WRONG:
            raise RefusedError(
                f"none of the first {waiting} questions got an answer and no line was written, the "
                f"last {why}. Thinking models need a larger --config.max_tokens; a field that the "
                "server does not take is left out with --config.extra.seed=None and the like"
            )

    def _flush(self) -> None:
        """Writes the lines that waited for the first text."""
        with self._lock:
            self._heard = True
            wrong, self._wrong = self._wrong, []
        for id, why, latency in wrong:
            self._put(id, None, why, latency)

    def _put(
        self, id: str, text: str | None, error: str | None, latency: float | None = None
    ) -> None:
        with self._lock:
            self._writer.write(id, text, error=error, latency=latency, decoding=self._decoding)
            self.outcome.answered += text is not None
            self.outcome.wrong += text is None

    def _pay(
        self, item: Conversation, wanted: Need, wasted: int, reply: Reply | None = None
    ) -> None:
        """Enters a question's tokens: as counted by the server, else as estimated. Replies that
        could not be read count as estimated."""
        prompt, written, counted = 0, 0, True
        if reply is not None:
            counted = reply.usage is not None
            prompt, written = reply.usage or (wanted.prompt_tokens, wanted.completion_tokens)
        if wasted:
            prompt += wasted * wanted.prompt_tokens
            written += wasted * wanted.completion_tokens
            counted = False
        if prompt or written:
            self._ledger.add(item.id, prompt, written, counted)
            self._bar.set_postfix_str(f"{self._ledger.spent:.4g} spent", refresh=False)
