"""Turn a source dataset that you hold into prepared records (array_record) in one schema.

  surgzoo prepare --source=synthsurg
  surgzoo prepare --source=cholect50 --manual_dir=~/CholecT50 --data_dir=data

Frames are decoded once, at the rate of the builder config (fps1 = one a second), and stored as JPEG
with every annotation. What cannot be used is written to quarantine.jsonl beside the records, and so
are videos whose labels are there and whose media are not: a part of a release is enough.
"""

from __future__ import annotations

from absl import flags

from surgzoo.db.sources import sources
from surgzoo.db.store import Store

_SOURCE = flags.DEFINE_string("source", None, "registered source (surgzoo list sources)")
_NAME = flags.DEFINE_string("name", None, "name of your collection (sources folder, web_video)")
_MANUAL_DIR = flags.DEFINE_string("manual_dir", None, "folder of the dataset as downloaded")
_DATA_DIR = flags.DEFINE_string("data_dir", "data", "where prepared sources live")
_CONFIG = flags.DEFINE_string("builder_config", None, "builder config; the source's first if unset")
_WORKERS = flags.DEFINE_integer("workers", 0, "processes; 0 = one a core")
_OVERWRITE = flags.DEFINE_bool("overwrite", False, "prepare again what is already prepared")


def main(argv: list[str]) -> None:
    if not _SOURCE.value:
        raise ValueError(f"say what with --source=NAME; known: {', '.join(sources.names())}")
    from surgzoo.datasets.inspection import summary
    from surgzoo.datasets.source_builder import named, prepare

    builder = sources.get(_SOURCE.value)
    if _NAME.value:
        builder = named(builder, _NAME.value)
    path = prepare(
        builder,
        _DATA_DIR.value,
        manual_dir=_MANUAL_DIR.value,
        config=_CONFIG.value,
        workers=_WORKERS.value,
        overwrite=_OVERWRITE.value,
    )
    print(summary(Store(path)))
