"""What a run will cost, said before it starts."""

from __future__ import annotations

import dataclasses

from surgzoo.db.enrich.cache import Cache
from surgzoo.db.enrich.endpoint import Endpoint
from surgzoo.db.enrich.rewrite import Item, prompt

# English prose has four to five characters a token in the usual vocabularies; label names have
# fewer. An estimate that errs upwards.
CHARACTERS = 3.5
GROWTH = 1.3  # a natural sentence is longer than a composed one
OVERHEAD = 12  # tokens of the chat template


@dataclasses.dataclass(frozen=True)
class Prices:
    """Of a million prompt tokens and of a million written ones, in any currency."""

    prompt: float = 0.0
    completion: float = 0.0

    def of(self, prompt_tokens: float, completion_tokens: float) -> float:
        """What so many tokens cost."""
        return (prompt_tokens * self.prompt + completion_tokens * self.completion) / 1e6


@dataclasses.dataclass
class Estimate:
    """Requests still to be made and their tokens; prices are per million tokens."""

    requests: int = 0
    cached: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    _seen: set[str] = dataclasses.field(default_factory=set)

    def add(self, item: Item, endpoint: Endpoint, cache: Cache) -> None:
        messages = prompt(item)
        name = endpoint.key(messages)
        if name in cache or name in self._seen:
            self.cached += 1
            return
        self._seen.add(name)
        self.requests += 1
        self.prompt_tokens += OVERHEAD + tokens("".join(m["content"] for m in messages))
        self.completion_tokens += round(GROWTH * tokens(item.text))

    def price(self, per_million_in: float, per_million_out: float) -> float:
        return Prices(per_million_in, per_million_out).of(
            self.prompt_tokens, self.completion_tokens
        )


def tokens(text: str) -> int:
    """An estimate."""
    return round(len(text) / CHARACTERS)
