"""surgzoo quickstart: every config that ships names a source that can be prepared as it says."""

from pathlib import Path

import pytest

import surgzoo
from surgzoo.core import config as config_lib
from surgzoo.datasets import source_builder
from surgzoo.datasets.synthsurg.synthsurg import SynthSurg
from surgzoo.db.store import DEFAULT_CONFIG
from surgzoo.tools import quickstart

CONFIGS = sorted((Path(surgzoo.__file__).parent.parent / "configs").glob("synthsurg*.py"))


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_the_source_of_a_shipped_config_is_prepared(path, tmp_path, monkeypatch):
    """All but the rendering, which takes minutes: TFDS looks the builder config up."""
    made = []

    def prepare(builder_class, data_dir, *, config):
        made.append(builder_class(data_dir=str(data_dir), config=config).builder_config.name)

    monkeypatch.setattr(source_builder, "prepare", prepare)
    experiment = config_lib.load(str(path), {})
    wanted = sorted({(part.source, part.config) for part in experiment.data.mixture})
    for source, config in wanted:
        quickstart._prepare(source, config, tmp_path)
    assert made == [config or DEFAULT_CONFIG for _, config in wanted]
    assert made[0] in SynthSurg.builder_configs
