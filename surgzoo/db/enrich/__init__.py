"""Optional enrichment: composed traces and captions rewritten by a language model, then checked."""

from surgzoo.db.enrich.cache import Cache, CacheError
from surgzoo.db.enrich.endpoint import Endpoint, GaveUpError, RefusedError
from surgzoo.db.enrich.rewrite import Item, Outcome, judge, rewrite

__all__ = [
    "Cache",
    "CacheError",
    "Endpoint",
    "GaveUpError",
    "Item",
    "Outcome",
    "RefusedError",
    "judge",
    "rewrite",
]
