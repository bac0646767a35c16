"""Derive ground truth that a source lacks, and write it beside the prepared records.

  surgzoo derive --what=smoke --source=cholec80
  surgzoo derive --what=depth --source=cholec80 --maps=~/depth_maps
  surgzoo derive --what=depth --source=cholec80 --model=NAME

smoke: synthetic smoke over clear frames, which makes pairs for desmoking. depth: 16-bit grey PNG
maps of another program, <maps>/<video>/000000.png and so on, or a registered depth model.
Conversations that use a derived map say so.
"""

from __future__ import annotations

from absl import flags

from surgzoo.db.store import Store

_WHAT = flags.DEFINE_enum("what", None, ["smoke", "depth"], "what to derive")
_SOURCE = flags.DEFINE_string("source", None, "a prepared source")
_DATA_DIR = flags.DEFINE_string("data_dir", "data", "where prepared sources live")
_CONFIG = flags.DEFINE_string("builder_config", "", "builder config, e.g. fps1")
_MAPS = flags.DEFINE_string("maps", None, "folder of depth maps")
_MODEL = flags.DEFINE_string("model", None, "registered depth model")
_SEED = flags.DEFINE_integer("seed", 0, "draws the smoke")


def main(argv: list[str]) -> None:
    if not _WHAT.value or not _SOURCE.value:
        raise ValueError("say what of which source: --what=smoke --source=NAME")
    if _WHAT.value == "depth" and bool(_MAPS.value) == bool(_MODEL.value):
        raise ValueError("depth comes from --maps=FOLDER or from --model=NAME: give one of them")
    from surgzoo.db.derive import run

    store = Store.open(_DATA_DIR.value, _SOURCE.value, _CONFIG.value)
    if _WHAT.value == "smoke":
        folder = run.add_smoke(store, seed=_SEED.value)
    elif _MAPS.value:
        folder = run.add_depth_files(store, _MAPS.value)
    else:
        folder = run.add_depth_model(store, _MODEL.value)
    print(f"{_WHAT.value}: {sum(1 for _ in folder.glob('*/*'))} maps in {folder}")
