"""The database card: what the database, or prepared sources, hold, as one page and as JSON."""

from surgzoo.data.card.collect import Collection, collect, collect_built
from surgzoo.data.card.page import write

__all__ = ["Collection", "collect", "collect_built", "write"]
