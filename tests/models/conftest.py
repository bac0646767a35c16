"""The small model, with the same weights here and in transformers."""

from types import SimpleNamespace

import pytest
from qwen_small import Oracle, random_params, small_config

from surgzoo.models.qwen2_5_vl import weights


@pytest.fixture(scope="session")
def small(tmp_path_factory):
    """Config, model, params, processor of the small model, and `oracle` with the same weights."""
    config = small_config()
    params = random_params(config)
    folder = tmp_path_factory.mktemp("small")
    weights.save(config, params, folder)
    return SimpleNamespace(
        config=config,
        model=config.build(),
        params=params,
        folder=folder,
        processor=config.processor(),
        oracle=Oracle(folder),
    )
