"""One question to an OpenAI-compatible server, asked again while that makes sense.

Nothing but the standard library. The key is read from the environment at the moment of asking; it
is in no message, log or cache, not even where a server repeats it. Redirects are not followed, so
it goes to no other host.
"""

from __future__ import annotations

import dataclasses
import email.utils
import http.client
import json
import os
import random
import re
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Mapping
from typing import Any

from surgzoo.db.enrich import cache as caches

_LOOPBACK = ("localhost", "127.0.0.1", "::1")
_THOUGHT = re.compile(r"^.*</think(?:ing)?>", re.DOTALL | re.IGNORECASE)
_QUOTED = 200  # characters of a server's complaint that a message quotes
_SECRET = 8  # characters from which a key is one; "x" or "EMPTY" is for servers that have none
_BIGGEST = 1 << 24  # bytes of a reply
_NO_MONEY = "insufficient_quota"  # OpenAI says 429 for this too, and waiting does not help


@dataclasses.dataclass(frozen=True)
class Reply:
    """What a model answered.

    Attributes:
      text: its words after the thinking; "" if there are none.
      finish: why it ended, as the server says it: stop, length, content_filter ...
      refusal: what it said in place of an answer, where the server tells the two apart.
      usage: (prompt, written) tokens as the server counted them; None if it did not.
      seconds: from the question to the end of the reply, of the attempt that was answered.
      wasted: replies to the same question before this one that could not be read. A server may
        have charged for them.
    """

    text: str
    finish: str | None = None
    refusal: str | None = None
    usage: tuple[int, int] | None = None
    seconds: float = 0.0
    wasted: int = 0


class GaveUpError(Exception):
    """This question will not be answered; `kind` is a short reason to count by.

    Attributes:
      transient: the server did not come to answer, and may do so another time.
      wasted: as of a Reply.
    """

    def __init__(self, kind: str, detail: str = "", *, transient: bool = False, wasted: int = 0):
        super().__init__(f"{kind}: {detail}" if detail else kind)
        self.kind, self.transient, self.wasted = kind, transient, wasted


class RefusedError(ValueError):
    """The server will answer no question: wrong address, key or model, no money, or not now.

    `status` is that of its answer, if it gave one.
    """

    def __init__(self, message: str, status: int | None = None):
        super().__init__(message)
        self.status = status


class StoppedError(Exception):
    """The run that asks has ended."""


class _Again(Exception):
    """Asking once more may help, after `wait` seconds if the server said so."""

    def __init__(self, kind: str, detail: str = "", wait: float | None = None):
        super().__init__(detail)
        self.kind, self.wait = kind, wait


class _BadReply(_Again):
    """The server answered, and what it said is none."""


class Pace:
    """At most so many requests and tokens a minute over all threads; a pause holds for all of them.

    A request takes its turn for 1/per_minute of a minute, or for its share of the tokens of one if
    that is longer.
    """

    def __init__(self, per_minute: float = 0.0, tokens_per_minute: float = 0.0):
        self._gap = 60.0 / per_minute if per_minute else 0.0
        self._per_token = 60.0 / tokens_per_minute if tokens_per_minute else 0.0
        self._next = 0.0
        self._lock = threading.Lock()

    def wait(self, stopped: threading.Event, tokens: int = 0) -> None:
        """Returns when the caller may ask. Raises StoppedError when the event is set before."""
        while True:
            with self._lock:
                now = time.monotonic()
                left = self._next - now
                if left <= 0:
                    self._next = now + max(self._gap, self._per_token * tokens)
                    return
            _rest(left, stopped)  # and look again: a pause may have come meanwhile

    def more(self, tokens: int) -> None:
        """A request took so many tokens more than it had said."""
        if tokens > 0 and self._per_token:
            with self._lock:
                self._next = max(self._next, time.monotonic()) + self._per_token * tokens

    def pause(self, seconds: float) -> None:
        with self._lock:
            self._next = max(self._next, time.monotonic() + seconds)


def _rest(seconds: float, stopped: threading.Event) -> None:
    if stopped.wait(seconds):
        raise StoppedError


@dataclasses.dataclass
class Endpoint:
    """A chat model behind an OpenAI-compatible address.

    Attributes:
      url: up to and with the version, e.g. http://localhost:8000/v1. model: its name there.
      key_env: environment variable with the key; a server without keys needs none.
      timeout: seconds until a reply begins, and until it is complete.
      attempts: how often one question is asked.
      backoff: seconds before the second attempt, twice as long before each further one, at most
        `longest`; a Retry-After of the server goes before.
      patience: the longest Retry-After that is waited for; a longer one ends the run.
      per_minute: requests a minute, attempts counted one by one, 0 = no limit.
      tokens_per_minute: tokens a minute, as estimated before a request and corrected by what the
        server counted; 0 = no limit.
      seed: for servers that draw by one. tokens_field: the name of max_tokens in the request.
      extra: further fields of the request; one that is None is
        left out of it, also where it is one of those above.
    """

    url: str
    model: str
    key_env: str = "OPENAI_API_KEY"
    timeout: float = 60.0
    attempts: int = 5
    backoff: float = 1.0
    longest: float = 60.0
    patience: float = 600.0
    per_minute: float = 0.0
    tokens_per_minute: float = 0.0
    temperature: float = 0.7
    max_tokens: int = 1024
    seed: int | None = None
    tokens_field: str = "max_tokens"
    extra: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    def __post_init__(self):
        parts = urllib.parse.urlsplit(self.url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError(f"'{self.url}' is no address like http://localhost:8000/v1")
        if parts.username or parts.query or parts.fragment:
            raise ValueError(
                f"the address of {parts.hostname} holds more than host and path: a key comes from "
                f"${self.key_env}, and a query is not supported"
            )
        if self.attempts < 1:
            raise ValueError(f"attempts must be 1 or more, not {self.attempts}")
        loopback = parts.hostname in _LOOPBACK
        if parts.scheme == "http" and not loopback and self._key():
            raise ValueError(
                f"{self.url} is not encrypted and ${self.key_env} would travel in the clear: "
                f"use https, or --key_env=NONE for a server without keys"
            )
        handlers: list = [_NoRedirects()]
        if loopback:
            handlers.append(urllib.request.ProxyHandler({}))
        self._opener = urllib.request.build_opener(*handlers)
        self._pace = Pace(self.per_minute, self.tokens_per_minute)

    def key(self, messages: list[dict[str, str]]) -> str:
        """What the reply to a question is filed under in the cache."""
        return caches.key(self.model, messages, self.temperature)

    def ask(self, messages: list[dict[str, str]], stopped: threading.Event | None = None) -> str:
        """The model's words, all of them: a reply that is cut off or empty is none.

        Raises as `complete` does.
        """
        return self._persist(messages, _words, stopped or threading.Event(), 0).text

    def complete(
        self,
        messages: list[dict[str, Any]],
        stopped: threading.Event | None = None,
        *,
        tokens: int = 0,
    ) -> Reply:
        """The model's reply, whatever it says. `tokens` is what the request may take of the pace.

        Raises GaveUpError for this question, RefusedError for all; StoppedError when the event is
        set while it waits.
        """
        return self._persist(messages, lambda reply: reply, stopped or threading.Event(), tokens)

    def _persist(
        self,
        messages: list[dict[str, Any]],
        accept: Callable[[Reply], Reply],
        stopped: threading.Event,
        tokens: int,
    ) -> Reply:
        attempt = wasted = 0
        while True:
            self._pace.wait(stopped, tokens)
            attempt += 1
            try:
                reply = self._once(messages)
                if reply.usage:
                    self._pace.more(sum(reply.usage) - tokens)
                return dataclasses.replace(accept(reply), wasted=wasted)
            except _Again as error:
                wasted += isinstance(error, _BadReply)
                if error.wait:  # 0 says nothing
                    self._pace.pause(error.wait)
                if attempt >= self.attempts:
                    transient = not isinstance(error, _BadReply)
                    raise GaveUpError(
                        error.kind, str(error), transient=transient, wasted=wasted
                    ) from None
                if not error.wait:
                    wait = min(self.backoff * 2 ** (attempt - 1), self.longest)
                    # not all of it, so that threads fall out of step
                    _rest(wait * random.uniform(0.5, 1.0), stopped)

    def _once(self, messages: list[dict[str, Any]]) -> Reply:
        body = {
            "model": self.model,
            "messages": messages,
            "temperature": self.temperature,
            self.tokens_field: self.max_tokens,
            "seed": self.seed,
            **self.extra,
        }
        body = {name: value for name, value in body.items() if value is not None}
        headers = {"Content-Type": "application/json"}
        if key := self._key():
            headers["Authorization"] = f"Bearer {key}"
        request = urllib.request.Request(
            f"{self.url.rstrip('/')}/chat/completions", json.dumps(body).encode(), headers
        )
        begin = time.monotonic()
        try:
            with self._opener.open(request, timeout=self.timeout) as response:
                said = self._read(response)
        except urllib.error.HTTPError as error:
            raise self._refusal(error) from None
        except TimeoutError:
            raise _Again("time-out") from None
        except (urllib.error.URLError, http.client.HTTPException, OSError) as error:
            reason = getattr(error, "reason", error)
            kind = "time-out" if isinstance(reason, TimeoutError) else "no connection"
            raise _Again(kind, self._hidden(str(reason))) from None
        return self._reply(said, time.monotonic() - begin)

    def _read(self, response: http.client.HTTPResponse) -> bytes:
        """The body; the time-out of the socket alone would let a trickle go on for ever."""
        end = time.monotonic() + self.timeout
        said = b""
        while more := response.read1(1 << 16):
            said += more
            if time.monotonic() > end:
                raise _Again("time-out", "the reply did not end")
            if len(said) > _BIGGEST:
                raise _BadReply("unreadable reply", f"more than {_BIGGEST} bytes")
        if response.length:
            raise http.client.IncompleteRead(said, response.length)
        return said

    def _reply(self, said: bytes, seconds: float) -> Reply:
        """A completion. A broken one is worth asking again."""
        try:
            answer = json.loads(said)
            if status := _told(answer):
                raise _Again(f"HTTP {status}", self._quoted(said))
            choice = answer["choices"][0]
            finish = choice.get("finish_reason")
            # a filter may take the message too, and thinking that is cut off leaves no content
            message = choice["message"] if finish != "content_filter" else {}
            text, refusal = _joined(message.get("content")), message.get("refusal")
        except (ValueError, KeyError, IndexError, TypeError, AttributeError, RecursionError):
            raise _BadReply("unreadable reply", self._quoted(said)) from None
        return Reply(
            text=self._hidden(_THOUGHT.sub("", text).strip()),
            finish=finish if isinstance(finish, str) else None,
            refusal=self._hidden(refusal) if isinstance(refusal, str) else None,
            usage=_usage(answer.get("usage")),
            seconds=seconds,
        )

    def _refusal(self, error: urllib.error.HTTPError) -> Exception:
        try:
            body = error.read(_BIGGEST)
        except (OSError, http.client.HTTPException):
            body = b""
        said = self._quoted(body)
        if error.code == 402 or (error.code == 429 and _NO_MONEY.encode() in body):
            return RefusedError(f"{self.url} says {error.code}: the account is empty. {said}")
        if _busy(error.code):
            wait = _seconds(error.headers.get("Retry-After"))
            if wait is not None and wait > self.patience:
                return RefusedError(
                    f"{self.url} says {error.code} and asks to wait {wait:.0f} seconds: run again "
                    f"then. {said}"
                )
            return _Again(f"HTTP {error.code}", said, wait)
        if error.code in (401, 403):
            return RefusedError(
                f"{self.url} says {error.code}: is ${self.key_env} right? {said}", error.code
            )
        if error.code == 404 or 300 <= error.code < 400:
            return RefusedError(
                f"{self.url} says {error.code} for model '{self.model}': is the address (with /v1) "
                f"and the model's name right? {said}"
            )
        return GaveUpError(f"HTTP {error.code}", said)

    def _key(self) -> str | None:
        key = os.environ.get(self.key_env, "").strip()
        if not key.isascii() or not key.replace(" ", "_").isprintable():
            # http.client would say so with the key in its message
            raise RefusedError(f"${self.key_env} holds what no header can: is it the key alone?")
        return key or None

    def _hidden(self, text: str) -> str:
        """The text without the key, should a server repeat it."""
        key = self._key()
        return text.replace(key, "***") if key and len(key) >= _SECRET else text

    def _quoted(self, said: bytes) -> str:
        """The beginning of what a server says; the key goes out before it could be cut in two."""
        return self._hidden(" ".join(said.decode("utf-8", "replace").split()))[:_QUOTED]


def _words(reply: Reply) -> Reply:
    """The reply if it is whole."""
    if reply.finish == "length":
        raise GaveUpError("cut off", "raise max_tokens")
    if not reply.text:
        raise _BadReply("empty reply")
    return reply


def _joined(content: Any) -> str:
    """The text of a message: a string, nothing, or a list of parts as some servers give it."""
    if content is None:
        return ""
    if isinstance(content, list):
        return "".join(part["text"] for part in content if part.get("type") == "text")
    if not isinstance(content, str):
        raise TypeError
    return content


def _usage(usage: Any) -> tuple[int, int] | None:
    """(prompt, written) tokens, if a server counts them as it should."""
    if not isinstance(usage, dict):
        return None
    counts = usage.get("prompt_tokens"), usage.get("completion_tokens")
    if any(not isinstance(n, int) or isinstance(n, bool) or n < 0 for n in counts):
        return None
    return counts


def _busy(status: int) -> bool:
    """Whether a server that answers so may answer otherwise later."""
    return status in (408, 409, 429) or 500 <= status < 600


def _told(answer: Any) -> int | None:
    """The status in the words of a gateway that passes on a busy server's error with a 200."""
    error = answer.get("error") if isinstance(answer, dict) and "choices" not in answer else None
    status = error.get("code") if isinstance(error, dict) else None
    return status if isinstance(status, int) and _busy(status) else None


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *args, **kwargs):
        return None  # becomes an HTTPError


def _seconds(header: str | None) -> float | None:
    """Retry-After: seconds or a date."""
    if not header:
        return None
    if re.fullmatch(r"\s*\d+(?:\.\d+)?\s*", header):
        return float(header)
    try:
        return max(0.0, email.utils.parsedate_to_datetime(header).timestamp() - time.time())
    except (TypeError, ValueError, OverflowError):
        return None
