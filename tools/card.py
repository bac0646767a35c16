"""The database card: what the prepared sources hold, as one page with charts, and as JSON.

  surgzoo card --sources=synthsurg,cholect50 --data_dir=data --out=card
  surgzoo card --sources=synthsurg.small --tasks=phase_recognition

Counts the conversations of all tasks (or of --tasks) over all splits; writes card.html and
card.json.
"""

from __future__ import annotations

import tqdm
from absl import flags

_SOURCES = flags.DEFINE_list("sources", None, "prepared sources, e.g. synthsurg or synthsurg.small")
_TASKS = flags.DEFINE_list("tasks", None, "default all that are registered")
_SCHEME = flags.DEFINE_string("scheme", "default", "split scheme of the sources")
_DATA_DIR = flags.DEFINE_string("data_dir", "data", "where the sources were prepared")
_TITLE = flags.DEFINE_string("title", "", "head of the page")
_OUT = flags.DEFINE_string("out", "card", "folder to write to")


def main(argv: list[str]) -> None:
    if len(argv) > 1:
        raise ValueError(f"unexpected argument {argv[1]}; see surgzoo card --help")
    if not _SOURCES.value:
        raise ValueError("say of what with --sources=synthsurg,cholect50")
    from surgzoo.data import card
    from surgzoo.data.pipeline import Stores
    from surgzoo.tasks.wording import Wording

    stores = Stores(_DATA_DIR.value)
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
    path = card.write(found, stores, _OUT.value, _TITLE.value)
    print(f"{found.total():,} conversations of {len(found.tasks)} tasks: {path}")
