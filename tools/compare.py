"""Compare two models on the questions that both answered.

  surgzoo compare --predictions=a.jsonl,b.jsonl --data_dir=data
  surgzoo compare --predictions=a.jsonl,b.jsonl --split=val --out=comparison.json

Prints, a line a task, both headline metrics, their difference with a 95 % interval by resampling
whole operations, and the p-value of exchanging the two models operation by operation, adjusted for
the number of tasks.
"""

from __future__ import annotations

from pathlib import Path

from absl import flags

_PREDICTIONS = flags.DEFINE_list("predictions", [], "two predictions files (JSON lines), by comma")
_DATA_DIR = flags.DEFINE_string("data_dir", "data", "where the sources were prepared")
_SPLIT = flags.DEFINE_string("split", "test", "train, val, test or all")
_SCHEME = flags.DEFINE_string("scheme", "default", "split scheme of the sources")
_PROTOCOL = flags.DEFINE_enum("protocol", "open", ["open", "choice"], "how questions were put")
_SEED = flags.DEFINE_integer("seed", 0, "of the resampling")
_OUT = flags.DEFINE_string("out", None, "also write the comparison as JSON")


def main(argv: list[str]) -> None:
    if len(_PREDICTIONS.value) != 2:
        raise ValueError("say which two with --predictions=FIRST.jsonl,SECOND.jsonl")
    from surgzoo.evaluate.compare import compare, save
    from surgzoo.evaluate.report import tables
    from surgzoo.tasks.wording import Wording

    first, second = map(Path, _PREDICTIONS.value)
    found = compare(
        first,
        second,
        _DATA_DIR.value,
        split=_SPLIT.value,
        scheme=_SCHEME.value,
        wording=Wording(protocol=_PROTOCOL.value),
        seed=_SEED.value,
    )
    names = (first.stem, second.stem) if first.stem != second.stem else (str(first), str(second))
    print(tables.differences(found, names))
    if _OUT.value:
        save(found, _OUT.value)
        print(f"comparison: {_OUT.value}")
