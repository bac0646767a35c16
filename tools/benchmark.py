"""Run a registered benchmark: its questions for any model, or the score of the answers.

  surgzoo benchmark --name=surgvlm_bench                       what is prepared, what is missing
  surgzoo benchmark --name=surgvlm_bench --questions=q.jsonl --images=frames
  surgzoo benchmark --name=surgvlm_bench --predictions=theirs.jsonl --trained_on=cholec80:train

A prediction is {"id": ..., "text": ...} with the id of its question. Scores go to benchmark.json
and benchmark.md beside the predictions. A trained model of this zoo: surgzoo evaluate --benchmark.
"""

from __future__ import annotations

from pathlib import Path

from absl import flags

_NAME = flags.DEFINE_string("name", None, "registered benchmark (surgzoo list benchmarks)")
_DATA_DIR = flags.DEFINE_string("data_dir", "data", "where the sources were prepared")
_PROTOCOL = flags.DEFINE_enum("protocol", "open", ["open", "choice"], "choice lists the options")
_SETS = flags.DEFINE_list("sets", [], "only these sets; the total is then partial")
_LIMIT = flags.DEFINE_integer("limit", None, "at most so many questions a set; labelled so")
_QUESTIONS = flags.DEFINE_string("questions", None, "write the questions here (JSON lines)")
_IMAGES = flags.DEFINE_string("images", None, "with --questions: write their frames here")
_PREDICTIONS = flags.DEFINE_string("predictions", None, "score this predictions file")
_TRAINED_ON = flags.DEFINE_list("trained_on", None, "SOURCE[:SCHEME]:SPLIT, SOURCE/VIDEO or files")
_SELECTED_ON = flags.DEFINE_string("selected_on", "", "split the checkpoint was chosen on, or none")
_BASELINES = flags.DEFINE_bool("baselines", True, "score the trivial baselines beside")
_OUT = flags.DEFINE_string("out", None, "default benchmark.json beside the predictions")


def main(argv: list[str]) -> None:
    from surgzoo.evaluate.benchmarks import benchmarks
    from surgzoo.evaluate.benchmarks.running import ask, describe, score_file, write_questions
    from surgzoo.evaluate.findings import declared

    if not _NAME.value:
        raise ValueError(f"say which with --name=NAME; known: {', '.join(benchmarks.names())}")
    if _IMAGES.value and not _QUESTIONS.value:
        raise ValueError("--images goes with --questions=FILE")
    asked = ask(
        _NAME.value,
        _DATA_DIR.value,
        protocol=_PROTOCOL.value,
        sets=_SETS.value,
        limit=_LIMIT.value,
    )
    if _QUESTIONS.value or not _PREDICTIONS.value:
        print(describe(asked))
    if _QUESTIONS.value:
        count = write_questions(asked, _QUESTIONS.value, _IMAGES.value)
        print(f"\n{count:,} questions: {_QUESTIONS.value}")
    if _PREDICTIONS.value:
        training = None
        if _TRAINED_ON.value is not None:
            training = declared(_TRAINED_ON.value, _DATA_DIR.value)
        result = score_file(
            asked,
            _PREDICTIONS.value,
            training=training,
            selected_on=_SELECTED_ON.value,
            baselines=_BASELINES.value,
        )
        beside = Path(_PREDICTIONS.value).with_name("benchmark.json")
        out = Path(_OUT.value) if _OUT.value else beside
        result.save(out)
        print(f"{result.table()}\n\nresult: {out}, {out.with_suffix('.md').name}")
