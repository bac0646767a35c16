"""The database card: what a collection of prepared sources holds, as one page and as JSON."""

from surgzoo.data.card.collect import Collection, collect
from surgzoo.data.card.page import write

__all__ = ["Collection", "collect", "write"]
