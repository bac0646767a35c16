"""Run an image encoder over every stored frame once, for models that read features of a video.

  surgzoo extract_features --run_dir=runs/first --source=synthsurg --out_name=first
  surgzoo extract_features --model=surgvlp --weights=SurgVLP.pth --source=cholec80 --out_name=vlp
  surgzoo extract_features --run_dir=runs/first --source=synthsurg --out_name=first --shard=2/4

Writes <data_dir>/features/<out_name>/<source>.<config>/, one array_record a video, and meta.json
with the encoder, a hash of its parameters, and what it was trained on. Started again, it goes on
where it stopped. With --shard=i/n a process takes every n-th video, for several processes or
machines that share --data_dir. A config reads them with data.features=<out_name> (see
docs/features.md).
"""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

from absl import flags

_RUN_DIR = flags.DEFINE_string("run_dir", None, "run folder of surgzoo train, as the encoder")
_STEP = flags.DEFINE_integer("step", None, "checkpoint of the run; default the newest")
_MODEL = flags.DEFINE_string("model", None, "registered model, in place of a run")
_WEIGHTS = flags.DEFINE_string("weights", None, "its weights")
_TRAINED_ON = flags.DEFINE_list("trained_on", None, "what the weights saw: sources, or a file")
_SOURCE = flags.DEFINE_string("source", None, "a prepared source, or source.config")
_SPLIT = flags.DEFINE_string("split", "all", "train, val, test or all")
_SCHEME = flags.DEFINE_string("scheme", "default", "split scheme of the source")
_OUT_NAME = flags.DEFINE_string("out_name", None, "name of the features")
_DATA_DIR = flags.DEFINE_string("data_dir", "data", "where prepared sources live")
_DTYPE = flags.DEFINE_enum("dtype", "float32", ["float32", "float16"], "of the stored numbers")
_BATCH = flags.DEFINE_integer("batch_size", 64, "frames at a time")
_SHARD = flags.DEFINE_string("shard", "1/1", "i/n: the i-th of n shares of the videos alone")
_OVERWRITE = flags.DEFINE_bool("overwrite", False, "make them anew")


def main(argv: list[str]) -> None:
    if not _SOURCE.value or not _OUT_NAME.value:
        raise ValueError("say of what and as what: --source=NAME --out_name=NAME")
    if bool(_RUN_DIR.value) == bool(_MODEL.value and _WEIGHTS.value):
        raise ValueError("say which encoder: --run_dir=RUN, or --model=NAME with --weights=FOLDER")
    shard = re.fullmatch(r"(\d+)/(\d+)", _SHARD.value)
    if not shard:
        raise ValueError(f"--shard={_SHARD.value}: write i/n, such as 2/4, from 1/4 on")
    from surgzoo.db.store import Store
    from surgzoo.evaluate import extract

    source, _, config = _SOURCE.value.partition(".")
    store = Store.open(_DATA_DIR.value, source, config)
    found, training = _encoder()
    done = extract.extract(
        found,
        training,
        store,
        _DATA_DIR.value,
        _OUT_NAME.value,
        split=_SPLIT.value,
        scheme=_SCHEME.value,
        dtype=_DTYPE.value,
        batch_size=_BATCH.value,
        overwrite=_OVERWRITE.value,
        shard=(int(shard[1]), int(shard[2])),
    )
    print(
        f"{done.frames} frames of {done.videos} videos in {done.seconds:.1f} s, {done.kept} videos "
        f"were there: {done.width} numbers a frame in {done.folder}"
    )
    if done.lacking:
        print(f"not complete yet: {done.lacking} videos of other shards are not there")
        return
    print(f"in a config: data.features='{_OUT_NAME.value}', model.overrides features={done.width}")


def _encoder():
    """The model, and what it was trained on."""
    from surgzoo.evaluate import run
    from surgzoo.evaluate.predictors.local import from_weights, restore
    from surgzoo.train.experiment import ModelConfig

    if _RUN_DIR.value:
        for flag in (_TRAINED_ON, _WEIGHTS):
            if flag.value:
                raise ValueError(f"--{flag.name} is for --model: a run knows its own")
        experiment = run.load_experiment(Path(_RUN_DIR.value))
        found = restore(_RUN_DIR.value, experiment, _STEP.value)
        if not Path(experiment.data.data_dir).is_dir():  # the run was made elsewhere
            data = dataclasses.replace(experiment.data, data_dir=_DATA_DIR.value)
            experiment = dataclasses.replace(experiment, data=data)
        return found, run.training_of(experiment, _DATA_DIR.value)
    found = from_weights(ModelConfig(name=_MODEL.value, weights=_WEIGHTS.value))
    return found, run.of_weights(
        _MODEL.value, found.name, _DATA_DIR.value, declared=_TRAINED_ON.value or ()
    )
