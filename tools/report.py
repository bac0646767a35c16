"""Write the report of a predictions file: one HTML page that needs nothing beside itself. Several
files make one page that compares them.

  surgzoo report --predictions=runs/first/eval-test/predictions.jsonl --run_dir=runs/first
  surgzoo report --predictions=theirs.jsonl --data_dir=data --out=theirs.html
  surgzoo report --predictions=ours.jsonl,theirs.jsonl --data_dir=data --out=comparison.html

With --run_dir the page also shows that run's training curves and config. Every table is written
beside the page as CSV and Markdown (tables/).
"""

from __future__ import annotations

import datetime
from pathlib import Path

from absl import flags

_PREDICTIONS = flags.DEFINE_list("predictions", None, "predictions file or files (JSON lines)")
_RUN_DIR = flags.DEFINE_string("run_dir", None, "run folder, for curves and config")
_DATA_DIR = flags.DEFINE_string("data_dir", "data", "where the sources were prepared")
_SPLIT = flags.DEFINE_string("split", "test", "train, val, test or all")
_SCHEME = flags.DEFINE_string("scheme", "default", "split scheme of the sources")
_PROTOCOL = flags.DEFINE_enum("protocol", "open", ["open", "choice"], "how questions were put")
_OUT = flags.DEFINE_string("out", None, "page or folder; default beside the predictions")
_TITLE = flags.DEFINE_string("title", "", "head of the page; default the names of the models")


def main(argv: list[str]) -> None:
    if not _PREDICTIONS.value:
        raise ValueError("say what with --predictions=FILE or --predictions=FILE,FILE")
    from surgzoo.evaluate.report import compare_report, report
    from surgzoo.tasks.wording import Wording

    files = [Path(name) for name in _PREDICTIONS.value]
    common = {
        "split": _SPLIT.value,
        "scheme": _SCHEME.value,
        "wording": Wording(protocol=_PROTOCOL.value),
        "title": _TITLE.value,
        "date": datetime.date.today().isoformat(),
    }
    if len(files) > 1:
        if _RUN_DIR.value:
            raise ValueError("--run_dir shows the training of one run; compare without it")
        page = compare_report(files, _DATA_DIR.value, _OUT.value or files[0].parent, **common)
        summary = page.with_name("comparison.md")
    else:
        page = report(
            files[0],
            _DATA_DIR.value,
            _OUT.value or files[0].parent,
            run_dir=_RUN_DIR.value,
            **common,
        )
        summary = page.with_name("summary.md")
    print(summary.read_text(encoding="utf-8"))
    print(f"report: {page}")
