"""Ask a trained model the questions of a split, score its answers, write the report.

  surgzoo evaluate --run_dir=runs/first
  surgzoo evaluate --run_dir=runs/first --split=val --limit=200
  surgzoo evaluate --run_dir=runs/first --decoding=constrained
  surgzoo evaluate --run_dir=runs/clip --prompts=cholec80
  surgzoo evaluate --run_dir=runs/first --benchmark=surgvlm_bench --protocol=choice

Writes predictions.jsonl, scores.json, summary.md and report.html into <run_dir>/eval-<split>, or of
a benchmark benchmark.json and benchmark.md into <run_dir>/bench-<name>-<protocol>. A run that was
cut off continues: questions that have an answer are not asked again.
"""

from __future__ import annotations

from pathlib import Path

from absl import flags

_RUN_DIR = flags.DEFINE_string("run_dir", None, "run folder of surgzoo train")
_DATA_DIR = flags.DEFINE_string("data_dir", None, "prepared sources; default as in training")
_SOURCES = flags.DEFINE_list("sources", None, "default as in the run's config")
_TASKS = flags.DEFINE_list("tasks", None, "default as in the run's config")
_SPLIT = flags.DEFINE_string("split", None, "train, val, test or all; default as in the config")
_LIMIT = flags.DEFINE_integer("limit", None, "at most so many questions a (source, task)")
_BENCHMARK = flags.DEFINE_string("benchmark", None, "a registered benchmark in place of a split")
_PROTOCOL = flags.DEFINE_enum("protocol", None, ["open", "choice"], "default as in the config")
_STEP = flags.DEFINE_integer("step", None, "checkpoint to use; default the newest")
_BATCH = flags.DEFINE_integer("batch_size", None, "default as in the config")
_DECODING = flags.DEFINE_list("decoding", None, "constrained,beams=4 or temperature=0.7,top_p=0.9")
_PROMPTS = flags.DEFINE_string(
    "prompts", None, "sentences of labels: a .toml, a .txt, cholec80 ..."
)
_HISTORY = flags.DEFINE_string(
    "history", None, "predictions of action_recognition that a planner plans from; '' = the truth"
)
_REPORT = flags.DEFINE_bool("report", True, "also write report.html")


def main(argv: list[str]) -> None:
    if not _RUN_DIR.value:
        raise ValueError("say which run with --run_dir=runs/NAME")
    from surgzoo.evaluate.predictors.local import read_decoding
    from surgzoo.evaluate.run import evaluate, evaluate_benchmark

    decoding = read_decoding(_DECODING.value or ())
    if _PROMPTS.value is not None:
        decoding["prompts"] = _PROMPTS.value
    if _BENCHMARK.value:
        given = [f.name for f in (_SOURCES, _TASKS, _SPLIT) if f.value is not None]
        if given:
            raise ValueError(f"a benchmark decides about its {given[0]}; leave out --{given[0]}")
        scored = evaluate_benchmark(
            Path(_RUN_DIR.value),
            _BENCHMARK.value,
            data_dir=_DATA_DIR.value,
            step=_STEP.value,
            protocol=_PROTOCOL.value,
            limit=_LIMIT.value,
            batch_size=_BATCH.value,
            **decoding,
        )
        print(scored.table())
        return
    changes = {
        "sources": None if _SOURCES.value is None else tuple(_SOURCES.value),
        "tasks": None if _TASKS.value is None else tuple(_TASKS.value),
        "split": _SPLIT.value,
        "limit": _LIMIT.value,
        "batch_size": _BATCH.value,
        "protocol": _PROTOCOL.value,
        "history": _HISTORY.value,
    }
    result = evaluate(
        Path(_RUN_DIR.value),
        data_dir=_DATA_DIR.value,
        step=_STEP.value,
        report=_REPORT.value,
        **{name: value for name, value in changes.items() if value is not None},
        **decoding,
    )
    print(result.table)
    for finding in result.findings:
        print(f"{finding.kind}: {finding.text}")
    if result.report:
        print(f"report: {result.report}")
