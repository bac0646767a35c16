"""The source registry: name -> TFDS builder class (imported only when a source is prepared).

Every folder of `datasets/` that holds a card.toml is a source of the folder's name.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path

from surgzoo.core.registry import Registry
from surgzoo.db.source_cards import CARD_FILE, read_card

PACKAGE = "surgzoo.datasets"

sources: Registry = Registry("source")


def _register_folders() -> None:
    spec = importlib.util.find_spec(PACKAGE)
    places = spec.submodule_search_locations if spec else ()
    for path in sorted(path for place in places for path in Path(place).glob(f"*/{CARD_FILE}")):
        name = path.parent.name
        card = read_card(path)
        sources.register(name, f"{PACKAGE}.{name}.{card.builder}", card.entry())


_register_folders()
