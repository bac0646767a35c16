"""The model registry. Importing it is cheap: models are imported when one is asked for."""

import importlib

from surgzoo.core.registry import Registry

models: Registry = Registry("model")

# One folder each. Its cards.py registers the models that it builds: `register(models)`.
FOLDERS = (
    "bsa",
    "clip",
    "dense",
    "depth_anything_v2",
    "qwen2_5_vl",
    "surgvlp",
    "temporal",
)

for _folder in FOLDERS:
    importlib.import_module(f"surgzoo.models.{_folder}.cards").register(models)
