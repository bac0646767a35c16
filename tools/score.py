"""Score the predictions of any model; needs that file and the prepared data, nothing else.

  surgzoo score --predictions=theirs.jsonl --data_dir=data
  surgzoo score --predictions=theirs.jsonl --split=val --missing=wrong --out=scores.json

A line is {"id": ..., "text": ...}; the ids are those of the conversations (see docs/evaluate.md).
"""

from __future__ import annotations

from pathlib import Path

from absl import flags

_PREDICTIONS = flags.DEFINE_string("predictions", None, "predictions file (JSON lines)")
_DATA_DIR = flags.DEFINE_string("data_dir", "data", "where the sources were prepared")
_SPLIT = flags.DEFINE_string("split", "test", "train, val, test or all")
_SCHEME = flags.DEFINE_string("scheme", "default", "split scheme of the sources")
_PROTOCOL = flags.DEFINE_enum(
    "protocol", "open", ["open", "choice", "mixed"], "how questions were put"
)
_MISSING = flags.DEFINE_enum("missing", "report", ["report", "wrong"], "unanswered questions")
_BASELINES = flags.DEFINE_bool("baselines", True, "score the trivial baselines beside")
_VALIDATION = flags.DEFINE_string(
    "validation", None, "the model's predictions on split val: they choose thresholds of labels"
)
_OUT = flags.DEFINE_string("out", None, "scores file; default scores.json beside the predictions")


def main(argv: list[str]) -> None:
    if not _PREDICTIONS.value:
        raise ValueError("say what with --predictions=FILE")
    from surgzoo.evaluate.baselines import score_baselines
    from surgzoo.evaluate.report import tables
    from surgzoo.evaluate.score import read_all, score_predictions, thresholds
    from surgzoo.tasks.wording import Wording

    predictions = Path(_PREDICTIONS.value)
    items, truth = read_all(
        predictions,
        _DATA_DIR.value,
        split=_SPLIT.value,
        scheme=_SCHEME.value,
        wording=Wording(protocol=_PROTOCOL.value),
    )
    chosen = None
    if _VALIDATION.value:
        wording = Wording(protocol=_PROTOCOL.value)
        chosen = thresholds(_VALIDATION.value, items, truth, _DATA_DIR.value, wording)
    scores = score_predictions(
        items, truth, missing=_MISSING.value, folder=predictions.parent, chosen=chosen
    )
    rivals = score_baselines(truth, _DATA_DIR.value, groups=("all",)) if _BASELINES.value else {}
    out = Path(_OUT.value) if _OUT.value else predictions.with_name("scores.json")
    scores.save(out)
    print(tables.summary(scores, rivals))
    print(f"scores: {out}")
