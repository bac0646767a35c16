"""Eight fake devices for sharding tests, set before JAX is first imported; shared prepared data."""

import os

os.environ.setdefault("XLA_FLAGS", "--xla_force_host_platform_device_count=8")
os.environ.setdefault("JAX_PLATFORMS", "cpu")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

if "PYTEST_XDIST_WORKER" in os.environ:  # test files run side by side, a core for each
    os.environ.setdefault("OMP_NUM_THREADS", "1")

import pytest


@pytest.fixture(scope="session")
def small_data(tmp_path_factory):
    """A data_dir with synthsurg's config `small`, rendered once a session. Do not write into it."""
    from surgzoo.datasets.source_builder import prepare
    from surgzoo.datasets.synthsurg.synthsurg import SynthSurg

    folder = tmp_path_factory.mktemp("small_data")
    prepare(SynthSurg, folder, config="small", workers=1)
    return folder


@pytest.fixture(scope="session")
def whole_database(small_data, tmp_path_factory):
    """synthsurg's `small` and a database of all tasks, with the wording of a training database:
    choices, first exchanges and traces among them. Do not write into it."""
    from surgzoo.datasets.surg_sigma_db import plan
    from surgzoo.datasets.surg_sigma_db.surg_sigma_db import build
    from surgzoo.tasks import tasks

    folder = tmp_path_factory.mktemp("whole_database")
    (folder / "synthsurg").symlink_to(small_data / "synthsurg")
    stores = build(plan.make(folder, ["synthsurg.small"], ["all"]), workers=1)
    assert list(stores) == tasks.names() and None not in stores.values()
    return folder


@pytest.fixture(scope="session")
def small_database(small_data, tmp_path_factory):
    """A data_dir with synthsurg's `small` and a database of two tasks. Do not write into it."""
    from surgzoo.datasets.surg_sigma_db import plan
    from surgzoo.datasets.surg_sigma_db.surg_sigma_db import build
    from surgzoo.tasks.wording import Wording

    folder = tmp_path_factory.mktemp("small_database")
    (folder / "synthsurg").symlink_to(small_data / "synthsurg")
    tasks = ["phase_recognition", "instrument_localization"]
    build(plan.make(folder, ["synthsurg.small"], tasks, wording=Wording()), workers=1)
    return folder
