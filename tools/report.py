"""Write the report of a predictions file: one HTML page that needs nothing beside itself.

  surgzoo report --predictions=runs/first/eval-test/predictions.jsonl --run_dir=runs/first
  surgzoo report --predictions=theirs.jsonl --data_dir=data --out=theirs.html

With --run_dir the page also shows that run's training curves and config.
"""

from __future__ import annotations

import datetime
from pathlib import Path

from absl import flags

_PREDICTIONS = flags.DEFINE_string("predictions", None, "predictions file (JSON lines)")
_RUN_DIR = flags.DEFINE_string("run_dir", None, "run folder, for curves and config")
_DATA_DIR = flags.DEFINE_string("data_dir", "data", "where the sources were prepared")
_SPLIT = flags.DEFINE_string("split", "test", "train, val, test or all")
_SCHEME = flags.DEFINE_string("scheme", "default", "split scheme of the sources")
_PROTOCOL = flags.DEFINE_enum("protocol", "open", ["open", "choice"], "how questions were put")
_OUT = flags.DEFINE_string("out", None, "page or folder; default beside the predictions")
_TITLE = flags.DEFINE_string("title", "", "head of the page; default the model's name")


def main(argv: list[str]) -> None:
    if len(argv) > 1:
        raise ValueError(f"unexpected argument {argv[1]}; see surgzoo report --help")
    if not _PREDICTIONS.value:
        raise ValueError("say what with --predictions=FILE")
    from surgzoo.evaluate.report import report
    from surgzoo.tasks.wording import Wording

    predictions = Path(_PREDICTIONS.value)
    page = report(
        predictions,
        _DATA_DIR.value,
        _OUT.value or predictions.parent,
        run_dir=_RUN_DIR.value,
        split=_SPLIT.value,
        scheme=_SCHEME.value,
        wording=Wording(protocol=_PROTOCOL.value),
        title=_TITLE.value,
        date=datetime.date.today().isoformat(),
    )
    print(page.with_name("summary.md").read_text(encoding="utf-8"))
    print(f"report: {page}")
