"""surgzoo: surgical datasets in one schema, vision-language models trained and scored on them."""

from pathlib import Path as _Path

__version__ = "0.1.0"

# configs/, datasets/ and tools/ stand beside this folder in a source checkout and inside it in a
# wheel. (datasets/ has no __init__.py: run from the checkout it must not shadow an installed
# `datasets`.)
_checkout = _Path(__file__).resolve().parent.parent
if (_checkout / "pyproject.toml").is_file() and (_checkout / "datasets").is_dir():
    __path__.append(str(_checkout))

# What `import surgzoo` offers beside its rooms; imported when it is first used.
_LAZY = {
    "create_model": "surgzoo.models.build",
    "list_models": "surgzoo.models.listing",
    "load": "surgzoo.data.load",
}


def __getattr__(name: str):
    if name in _LAZY:
        import importlib

        return getattr(importlib.import_module(_LAZY[name]), name)
    raise AttributeError(f"module 'surgzoo' has no attribute '{name}'")
