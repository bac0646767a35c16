"""Get the weights out of a run, for other programs.

  surgzoo weights --run_dir=runs/first --out=my-model
  surgzoo weights --run_dir=runs/lora --out=my-adapter --form=adapter

merged: a Hugging Face folder that transformers and servers load; adapters are in the weights.
adapter: the adapters alone, a folder that peft loads onto the weights which the run started from.

Averaged weights (optim.ema) are written where the run keeps them. The mesh of the run does not
matter: the weights are cut over whatever devices are here.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from absl import flags

_RUN_DIR = flags.DEFINE_string("run_dir", None, "run folder of surgzoo train")
_OUT = flags.DEFINE_string("out", None, "folder to write; weights that lie there are replaced")
_FORM = flags.DEFINE_enum("form", "merged", ["merged", "adapter"], "what is written")
_DTYPE = flags.DEFINE_enum(
    "dtype", None, ["float32", "bfloat16"],
    "default bfloat16; of an adapter, and of models that have but one, float32",
)  # fmt: skip
_STEP = flags.DEFINE_integer("step", None, "checkpoint to use; default the newest")


def main(argv: list[str]) -> None:
    if not _RUN_DIR.value or not _OUT.value:
        raise ValueError("say which run with --run_dir=runs/NAME and where to with --out=FOLDER")
    import dataclasses

    from surgzoo.evaluate.predictors.local import restore
    from surgzoo.evaluate.run import load_experiment
    from surgzoo.train import vocabulary
    from surgzoo.train.experiment import MeshConfig

    experiment = load_experiment(Path(_RUN_DIR.value))
    if _FORM.value == "adapter":
        _check_adapter(experiment)
    here = dataclasses.replace(experiment, mesh=MeshConfig(data=1, fsdp=-1))
    found = restore(_RUN_DIR.value, here, _STEP.value)
    out, settings = Path(_OUT.value), experiment.model
    if _FORM.value == "adapter":
        found.model.config.save_adapter(
            found.params, out, base=settings.weights, dtype=_DTYPE.value or "float32"
        )
    else:
        config = found.model.config
        options = _options(config, settings.name, vocabulary.of(settings, _RUN_DIR.value))
        config.save_weights(found.params, out, **options)
        for file in vocabulary.beside(settings, _RUN_DIR.value):
            if file.resolve() != (out / file.name).resolve():
                shutil.copyfile(file, out / file.name)
    print(f"step {found.step} of {experiment.name}, {_FORM.value}: {out}")
    if getattr(getattr(found.model.config, "input", None), "text_after_time", False):
        print(
            "note: in training, text after a clip went on after the clip's last moment "
            "(input.text_after_time=True). transformers from 5.3 on places it after the largest "
            "row or column, which differs for clips that last longer than their grid is wide"
        )


def _options(config, name: str, tokenizer) -> dict[str, str | None]:
    """Of --dtype and the tokenizer what the family's files have.

    Raises ValueError for a --dtype where all is written in float32.
    """
    import importlib
    import inspect

    options = {"dtype": _DTYPE.value or "bfloat16", "tokenizer": tokenizer}
    known = inspect.signature(importlib.import_module(config.weights).save).parameters
    if "dtype" not in known and _DTYPE.value not in (None, "float32"):
        raise ValueError(f"{name} is written in float32: leave out --dtype")
    return {option: value for option, value in options.items() if option in known}


def _check_adapter(experiment) -> None:
    """Raises ValueError when adapters alone would not be what was trained."""
    from surgzoo.models.build import model_config
    from surgzoo.models.layers.lora import is_adapter
    from surgzoo.train.state import trainable

    settings = experiment.model
    config = model_config(settings.name, settings.overrides)
    if getattr(config, "lora", None) is None:
        raise ValueError("--form=adapter: the run has no adapters; use --form=merged")
    other = [
        path
        for path in trainable(config.build().abstract(), settings.trainable)
        if not is_adapter(path)
    ]
    if other:
        raise ValueError(
            f"--form=adapter: the run trained {', '.join(other[:3])}{' ...' * (len(other) > 3)} "
            "too, which an adapter folder does not hold; use --form=merged"
        )
    if not settings.weights:
        raise ValueError(
            "--form=adapter: the run started from random weights (model.weights is None), which "
            "nobody else has; use --form=merged"
        )
