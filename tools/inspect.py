"""Show what a folder of a source dataset holds and what it lacks. Nothing is written.

  surgzoo inspect --source=cholec80 --manual_dir=~/cholec80

Counts stand beside those that the owner publishes. Videos of the official split that are not there,
media without labels and the reader's notes are listed. What this accepts, `surgzoo prepare` does.
"""

from __future__ import annotations

from absl import flags

from surgzoo.db.sources import sources

_SOURCE = flags.DEFINE_string("source", None, "registered source (surgzoo list sources)")
_MANUAL_DIR = flags.DEFINE_string("manual_dir", None, "folder of the dataset as downloaded")
_CONFIG = flags.DEFINE_string("builder_config", None, "builder config; the source's first if unset")


def main(argv: list[str]) -> None:
    if not _SOURCE.value:
        raise ValueError(f"say what with --source=NAME; known: {', '.join(sources.names())}")
    from surgzoo.datasets.inspection import inspect, text

    print(text(inspect(sources.get(_SOURCE.value), _MANUAL_DIR.value, _CONFIG.value)))
