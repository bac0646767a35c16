"""One question to an OpenAI-compatible server, asked again while that makes sense.

Nothing but the standard library. The key is read from the environment at the moment of asking; it
is in no message, log or cache. Redirects are not followed, so it goes to no other host.
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
from collections.abc import Callable

_LOOPBACK = ("localhost", "127.0.0.1", "::1")
_THOUGHT = re.compile(r"^.*</think(?:ing)?>", re.DOTALL | re.IGNORECASE)
_QUOTED = 200  # characters of a server's complaint that a message quotes


class GaveUpError(Exception):
    """This question will not be answered; `kind` is a short reason to count by."""

    def __init__(self, kind: str, detail: str = ""):
        super().__init__(f"{kind}: {detail}" if detail else kind)
        self.kind = kind


class RefusedError(ValueError):
    """The server will answer no question at all: wrong address, key or model."""


class _Again(Exception):
    """Asking once more may help, after `wait` seconds if the server said so."""

    def __init__(self, kind: str, detail: str = "", wait: float | None = None):
        super().__init__(detail)
        self.kind, self.wait = kind, wait


@dataclasses.dataclass(frozen=True)
class Reply:
    """An answer and the tokens that it cost, as the server counts them (0 if it does not)."""

    text: str
    prompt_tokens: int = 0
    completion_tokens: int = 0


class Pace:
    """At most so many requests a minute over all threads; a pause holds for all of them."""

    def __init__(self, per_minute: float = 0.0):
        self._gap = 60.0 / per_minute if per_minute else 0.0
        self._next = 0.0
        self._lock = threading.Lock()

    def wait(self, sleep: Callable[[float], None]) -> None:
        """Returns when the caller may ask."""
        with self._lock:
            now = time.monotonic()
            start = max(now, self._next)
            self._next = start + self._gap
        if start > now:
            sleep(start - now)

    def pause(self, seconds: float) -> None:
        with self._lock:
            self._next = max(self._next, time.monotonic() + seconds)


@dataclasses.dataclass
class Endpoint:
    """A chat model behind an OpenAI-compatible address.

    Attributes:
      url: up to and with the version, e.g. http://localhost:8000/v1. model: its name there.
      key_env: environment variable with the key; a server without keys needs none.
      timeout: seconds a request may take. attempts: how often one question is asked.
      backoff: seconds before the second attempt, twice as long before each further one, at most
        `longest`; a Retry-After of the server goes before.
      per_minute: requests a minute, 0 = no limit.
    """

    url: str
    model: str
    key_env: str = "OPENAI_API_KEY"
    timeout: float = 60.0
    attempts: int = 5
    backoff: float = 1.0
    longest: float = 60.0
    per_minute: float = 0.0
    temperature: float = 0.7
    max_tokens: int = 1024
    sleep: Callable[[float], None] = time.sleep

    def __post_init__(self):
        parts = urllib.parse.urlsplit(self.url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError(f"'{self.url}' is no address like http://localhost:8000/v1")
        loopback = parts.hostname in _LOOPBACK
        if parts.scheme == "http" and not loopback and os.environ.get(self.key_env):
            raise ValueError(
                f"{self.url} is not encrypted and ${self.key_env} would travel in the clear: "
                f"use https, or --key_env=NONE for a server without keys"
            )
        handlers: list = [_NoRedirects()]
        if loopback:
            handlers.append(urllib.request.ProxyHandler({}))
        self._opener = urllib.request.build_opener(*handlers)
        self._pace = Pace(self.per_minute)

    def ask(self, messages: list[dict[str, str]]) -> Reply:
        """The model's reply. Raises GaveUpError for this question, RefusedError for all."""
        for attempt in range(1, self.attempts + 1):
            self._pace.wait(self.sleep)
            try:
                return self._once(messages)
            except _Again as error:
                if attempt == self.attempts:
                    raise GaveUpError(error.kind, self._hidden(str(error))) from None
                wait = min(self.backoff * 2 ** (attempt - 1), self.longest)
                if error.wait is None:
                    self.sleep(wait * random.uniform(0.5, 1.0))  # so that threads fall out of step
                else:
                    self._pace.pause(error.wait)
        raise AssertionError("attempts must be 1 or more")

    def _once(self, messages: list[dict[str, str]]) -> Reply:
        body = {
            "model": self.model,
            "messages": messages,
            "temperature": self.temperature,
            "max_tokens": self.max_tokens,
        }
        headers = {"Content-Type": "application/json"}
        if key := os.environ.get(self.key_env):
            headers["Authorization"] = f"Bearer {key}"
        request = urllib.request.Request(
            f"{self.url.rstrip('/')}/chat/completions", json.dumps(body).encode(), headers
        )
        try:
            with self._opener.open(request, timeout=self.timeout) as response:
                said = response.read()
        except urllib.error.HTTPError as error:
            raise self._refusal(error) from None
        except TimeoutError:
            raise _Again("time-out") from None
        except (urllib.error.URLError, http.client.HTTPException, OSError) as error:
            reason = getattr(error, "reason", error)
            kind = "time-out" if isinstance(reason, TimeoutError) else "no connection"
            raise _Again(kind, str(reason)) from None
        return _reply(said)

    def _refusal(self, error: urllib.error.HTTPError) -> Exception:
        try:
            said = error.read().decode("utf-8", "replace")[:_QUOTED]
        except (OSError, http.client.HTTPException):
            said = ""
        said = self._hidden(" ".join(said.split()))
        if error.code == 429 or error.code >= 500 or error.code == 408:
            return _Again(f"HTTP {error.code}", said, _seconds(error.headers.get("Retry-After")))
        if error.code in (401, 403):
            return RefusedError(f"{self.url} says {error.code}: is ${self.key_env} right? {said}")
        if error.code == 404 or 300 <= error.code < 400:
            return RefusedError(
                f"{self.url} says {error.code} for model '{self.model}': is the address (with /v1) "
                f"and the model's name right? {said}"
            )
        return GaveUpError(f"HTTP {error.code}", said)

    def _hidden(self, text: str) -> str:
        """The text without the key, should a server repeat it."""
        key = os.environ.get(self.key_env)
        return text.replace(key, "***") if key else text


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *args, **kwargs):
        return None  # becomes an HTTPError


def _reply(said: bytes) -> Reply:
    """Reads a completion. A broken one is worth asking again."""
    try:
        parsed = json.loads(said)
        choice = parsed["choices"][0]
        text = choice["message"]["content"]
        usage = parsed.get("usage") or {}
    except (ValueError, KeyError, IndexError, TypeError, AttributeError):
        raise _Again("unreadable reply", said[:_QUOTED].decode("utf-8", "replace")) from None
    if not isinstance(text, str) or not (text := _THOUGHT.sub("", text).strip()):
        raise _Again("empty reply")
    if choice.get("finish_reason") == "length":
        raise GaveUpError("cut off", "raise max_tokens")
    return Reply(
        text, int(usage.get("prompt_tokens") or 0), int(usage.get("completion_tokens") or 0)
    )


def _seconds(header: str | None) -> float | None:
    """Retry-After: seconds or a date."""
    if not header:
        return None
    try:
        return max(0.0, float(header))
    except ValueError:
        pass
    try:
        return max(0.0, email.utils.parsedate_to_datetime(header).timestamp() - time.time())
    except (TypeError, ValueError):
        return None
