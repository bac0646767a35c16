"""Let a language model rewrite composed traces or captions; what fails the check stays as it was.

  surgzoo enrich --conversations=in.jsonl --out=out.jsonl --endpoint=http://localhost:8000/v1 \\
      --model=qwen3 --data_dir=data                  # prints what it would cost, asks nothing
  surgzoo enrich ... --price_in=0.15 --price_out=0.6 --yes

Any OpenAI-compatible server will do. Replies are cached: a run that ends early can go on.
"""

from __future__ import annotations

import collections
import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from absl import flags

_CONVERSATIONS = flags.DEFINE_string("conversations", None, "conversations, JSON lines")
_OUT = flags.DEFINE_string("out", None, "where the enriched conversations go")
_ENDPOINT = flags.DEFINE_string("endpoint", None, "address of the server, with /v1")
_MODEL = flags.DEFINE_string("model", None, "name of the model there")
_WHAT = flags.DEFINE_enum("what", "trace", ["trace", "caption"], "what is rewritten")
_DATA_DIR = flags.DEFINE_string("data_dir", "data", "where the sources were prepared")
_CACHE = flags.DEFINE_string("cache", None, "replies so far; default OUT.cache.jsonl")
_KEY_ENV = flags.DEFINE_string("key_env", "OPENAI_API_KEY", "environment variable with the key")
_WORKERS = flags.DEFINE_integer("workers", 4, "requests at a time", lower_bound=1)
_PER_MINUTE = flags.DEFINE_float("per_minute", 60.0, "requests a minute, 0 = no limit")
_ATTEMPTS = flags.DEFINE_integer("attempts", 5, "how often one question is asked", lower_bound=1)
_TIMEOUT = flags.DEFINE_float("timeout", 60.0, "seconds a request may take")
_PRICE_IN = flags.DEFINE_float("price_in", 0.0, "price of a million prompt tokens")
_PRICE_OUT = flags.DEFINE_float("price_out", 0.0, "price of a million written tokens")
_YES = flags.DEFINE_bool("yes", False, "start; without it only the estimate is printed")


@contextlib.contextmanager
def _naming(path: Path) -> Iterator[None]:
    """Names the file in an error of writing, such as that of a full disk, and the way on."""
    try:
        yield
    except OSError as error:
        if error.errno is None or error.filename is not None:
            raise  # says it already
        raise OSError(
            f"{path} could not be written ({error.strerror}): make room and run again, the replies "
            f"are kept in the cache"
        ) from None


def main(argv: list[str]) -> None:
    for flag in (_CONVERSATIONS, _OUT, _ENDPOINT, _MODEL):
        if not flag.value:
            raise ValueError(f"say which with --{flag.name}=...; see surgzoo enrich --help")
    from surgzoo.db.enrich import Cache, Endpoint, conversations, rewrite
    from surgzoo.db.enrich.cost import Estimate
    from surgzoo.db.store import Store

    path, out = Path(_CONVERSATIONS.value), Path(_OUT.value)
    if out.exists() and out.samefile(path):
        raise ValueError("--out is the file that is read; name another")
    endpoint = Endpoint(
        _ENDPOINT.value,
        _MODEL.value,
        key_env=_KEY_ENV.value,
        timeout=_TIMEOUT.value,
        attempts=_ATTEMPTS.value,
        per_minute=_PER_MINUTE.value,
    )
    footage = conversations.footages(lambda *name: Store.open(_DATA_DIR.value, *name))

    def read():
        return conversations.read(path, _WHAT.value, footage)

    with Cache(_CACHE.value or f"{out}.cache.jsonl") as cache:
        estimate = Estimate()
        for _, item in read():
            if item is not None:
                estimate.add(item, endpoint, cache)
        price = estimate.price(_PRICE_IN.value, _PRICE_OUT.value)
        print(
            f"{estimate.requests} requests ({estimate.cached} more are answered already), about "
            f"{estimate.prompt_tokens} prompt and {estimate.completion_tokens} written tokens: "
            f"about {price:.2f} at {_PRICE_IN.value:g} and {_PRICE_OUT.value:g} a million"
        )
        if not _YES.value:
            print("nothing was asked; add --yes to start")
            return
        counts: collections.Counter[str] = collections.Counter()
        examples: dict[str, str] = {}
        partial = out.with_name(out.name + ".partial")
        partial.parent.mkdir(parents=True, exist_ok=True)
        with _naming(partial), open(partial, "w", encoding="utf-8") as file:
            for conversation, outcome in rewrite(read(), endpoint, cache, workers=_WORKERS.value):
                if outcome is not None:
                    counts["kept" if outcome.kept else outcome.reason] += 1
                    examples.setdefault(outcome.reason, outcome.detail)
                    conversation = conversations.enriched(
                        conversation, _WHAT.value, outcome, endpoint.model
                    )
                file.write(conversations.line(conversation))
        os.replace(partial, out)
    total = sum(counts.values())
    print(f"{total} texts, {counts.pop('kept', 0)} rewritten; the others stay as composed")
    for reason, count in counts.most_common():
        example = f" (the first: {examples[reason]})" if examples[reason] else ""
        print(f"  {count:>6}  {reason}{example}")
    print(f"conversations: {out}")
