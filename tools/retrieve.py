"""Rank captions by pictures and pictures by captions, with a trained dual encoder.

  surgzoo retrieve --run_dir=runs/clip
  surgzoo retrieve --run_dir=runs/clip --source=cholect50 --split=val --task=video_captioning

Prints recall at 1, 5 and 10 and the median rank both ways, each beside chance; equal captions all
count as right. Writes retrieval.json into <run_dir>/eval-<split>.
"""

from __future__ import annotations

from absl import flags

_RUN_DIR = flags.DEFINE_string("run_dir", None, "run folder of surgzoo train")
_DATA_DIR = flags.DEFINE_string("data_dir", None, "prepared sources; default as in training")
_SOURCE = flags.DEFINE_list("source", None, "default as in the run's config")
_SPLIT = flags.DEFINE_string("split", None, "train, val, test or all; default as in the config")
_TASK = flags.DEFINE_string("task", "image_captioning", "image_captioning or video_captioning")
_LIMIT = flags.DEFINE_integer("limit", None, "at most so many captions a source")
_STEP = flags.DEFINE_integer("step", None, "checkpoint to use; default the newest")
_BATCH = flags.DEFINE_integer("batch_size", None, "default as in the config")


def main(argv: list[str]) -> None:
    if not _RUN_DIR.value:
        raise ValueError("say which run with --run_dir=runs/NAME")
    from surgzoo.evaluate.retrieval import retrieve

    result = retrieve(
        _RUN_DIR.value,
        data_dir=_DATA_DIR.value,
        sources=_SOURCE.value or (),
        split=_SPLIT.value,
        task=_TASK.value,
        step=_STEP.value,
        limit=_LIMIT.value,
        batch_size=_BATCH.value,
    )
    print(result.table())
