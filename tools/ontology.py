"""Write the page of the ontology: every concept, and every native label that means it.

  surgzoo ontology --out=ontology.html

One searchable HTML page with the evidence of each mapping; it says which ones are our choice.
Tables of plug-ins are in it too.
"""

from __future__ import annotations

from absl import flags

from surgzoo.core.registry import load_plugins
from surgzoo.db import ontology
from surgzoo.db.ontology import page

_OUT = flags.DEFINE_string("out", "ontology.html", "the page to write")


def main(argv: list[str]) -> None:
    load_plugins()
    path = page.write(_OUT.value)
    print(f"{len(ontology.concepts())} concepts, {len(ontology.sources())} tables: {path}")
