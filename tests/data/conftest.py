"""What several tests of the input pipeline are fed with."""

import pytest

from surgzoo.data.media import Stores
from surgzoo.models.build import model_config


@pytest.fixture(scope="module")
def stores(small_data):
    return Stores(small_data)


@pytest.fixture(scope="module")
def processor():
    return model_config("surgvlm-tiny").processor()
