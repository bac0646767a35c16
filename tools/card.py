"""The database card: what sources or the database hold, as one page with charts, and as JSON.

  surgzoo card --sources=surg_sigma_db --data_dir=data --out=card    # as it was built
  surgzoo card --sources=synthsurg,cholect50                         # as it would be built
  surgzoo card --sources=synthsurg.small --tasks=phase_recognition

Counts the conversations of all tasks (or of --tasks) over all splits; writes card.html and
card.json. The card of the database tells what its quality gates held back too.
"""

from __future__ import annotations

import tqdm
from absl import flags

_SOURCES = flags.DEFINE_list("sources", None, "prepared sources, or surg_sigma_db")
_TASKS = flags.DEFINE_list("tasks", None, "default all that are registered")
_SCHEME = flags.DEFINE_string("scheme", "default", "split scheme of the sources")
_DATA_DIR = flags.DEFINE_string("data_dir", "data", "where the sources were prepared")
_TITLE = flags.DEFINE_string("title", "", "head of the page")
_OUT = flags.DEFINE_string("out", "card", "folder to write to")


def main(argv: list[str]) -> None:
    if not _SOURCES.value:
        raise ValueError("say of what with --sources=synthsurg,cholect50")
    from surgzoo.data import card
    from surgzoo.data.media import Stores
    from surgzoo.db import conversation_store
    from surgzoo.tasks.wording import Wording

    stores = Stores(_DATA_DIR.value)
    if conversation_store.DATABASE in _SOURCES.value:
        if len(_SOURCES.value) > 1 or flags.FLAGS["scheme"].present:
            raise ValueError(
                f"--sources={conversation_store.DATABASE} stands alone and has no --scheme: "
                "sources and splits were chosen when the database was built"
            )
        built = conversation_store.every(_DATA_DIR.value, _TASKS.value)
        bar = tqdm.tqdm(total=sum(len(b.videos) for b in built), unit="video", disable=None)
        found = card.collect_built(built, stores, progress=lambda _: bar.update())
        bar.close()
        _write(found, stores)
        return
    opened = [stores(source) for source in _SOURCES.value]
    bar = tqdm.tqdm(total=sum(len(s.videos) for s in opened), unit="video", disable=None)
    found = card.collect(
        opened,
        _TASKS.value,
        scheme=_SCHEME.value,
        wording=Wording(protocol="mixed", thinking=True),
        progress=lambda _: bar.update(),
    )
    bar.close()
    _write(found, stores)


def _write(found, stores) -> None:
    from surgzoo.data import card

    path = card.write(found, stores, _OUT.value, _TITLE.value)
    print(f"{found.total():,} conversations of {len(found.tasks)} tasks: {path}")
