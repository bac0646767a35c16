"""A test video that came into the training mixture by way of the built database is refused.

Cholec80's official training half holds video06, which CholecT50 tests on as VID06: one operation.
"""

import dataclasses
import subprocess
import sys

import pytest
from fixtures_cholec import vector, write_cholec80, write_cholect50

from surgzoo.data import mixture
from surgzoo.data.config import DataConfig, Part
from surgzoo.data.media import Stores
from surgzoo.data.mixture import Pools
from surgzoo.datasets.cholec80.cholec80 import Cholec80
from surgzoo.datasets.cholect50.cholect50 import CholecT50
from surgzoo.datasets.source_builder import prepare
from surgzoo.db import identity
from surgzoo.train.experiment import EvalConfig, Experiment
from surgzoo.train.loop import check_leaks, train

DATABASE, TASK = "surg_sigma_db", "phase_recognition"
TRAINED, TESTED = 1, 6  # in both sources; CholecT50 tests on the second


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    """A data_dir with two operations, each in both sources. Do not write into it."""
    root = tmp_path_factory.mktemp("leaks")
    for number in (TRAINED, TESTED):
        write_cholec80(root / "raw80", number, seconds=2)
        write_cholect50(root / "raw50", number, {f: [vector(0, 1)] for f in range(3)})
    prepare(Cholec80, root / "data", manual_dir=root / "raw80", config="fps1", workers=1)
    prepare(CholecT50, root / "data", manual_dir=root / "raw50", workers=1)
    return root / "data"


@pytest.fixture(scope="module")
def built(prepared, tmp_path_factory):
    """scheme -> a data_dir with the database of both sources."""
    made = {}
    for scheme in ("default", "leak_free"):
        folder = tmp_path_factory.mktemp(scheme)
        for source in ("cholec80", "cholect50"):
            (folder / source).symlink_to(prepared / source)
        program = [sys.executable, "-m", "surgzoo.tools.main", "build_db", "--workers=1"]
        flags = ["--sources=cholec80,cholect50", f"--tasks={TASK}", f"--scheme={scheme}"]
        subprocess.run([*program, *flags, f"--data_dir={folder}"], check=True)
        made[scheme] = folder
    return made


def experiment(data_dir, *sources, **changes):
    """Trains on the database and is tested on CholecT50."""
    data = DataConfig((Part(DATABASE, TASK, sources=sources),), data_dir=str(data_dir))
    return Experiment("leaks", data, eval=EvalConfig(("cholect50",), (TASK,)), **changes)


def test_a_planted_leak_is_refused_with_the_videos(built, tmp_path):
    with pytest.raises(identity.LeakageError) as caught:
        train(experiment(built["default"]), tmp_path / "run")
    (shared,) = caught.value.leakage.shared
    assert shared == identity.SharedVideo(
        "cholec80/video06", ("cholec80/video06",), ("cholect50/VID06",)
    )
    assert "trained in cholec80, tested in cholect50 (1): cholec80/video06" in str(caught.value)
    assert not (tmp_path / "run" / "checkpoints").exists()


def test_the_same_from_the_source_itself(built):
    """The database is no way around what is refused of the source."""
    data = DataConfig((Part("cholec80", TASK),), data_dir=str(built["default"]))
    direct = dataclasses.replace(experiment(built["default"]), data=data)
    with pytest.raises(identity.LeakageError) as caught:
        check_leaks(direct, Stores(built["default"]))
    assert [shared.canonical for shared in caught.value.leakage.shared] == ["cholec80/video06"]


def test_sources_of_the_database_are_checked_as_they_are_chosen(built):
    stores = Stores(built["default"])
    for clean in ("cholect50", "cholect50.fps1"):
        assert check_leaks(experiment(built["default"], clean), stores) == identity.Leakage()
    for leaking in (("cholec80",), ("cholect50", "cholec80.fps1")):
        with pytest.raises(identity.LeakageError, match="cholec80/video06"):
            check_leaks(experiment(built["default"], *leaking), stores)


def test_an_override_is_recorded(built):
    allowed = experiment(built["default"], allow_leak=True)
    leakage = check_leaks(allowed, Stores(built["default"]))
    assert leakage.overridden and [s.canonical for s in leakage.shared] == ["cholec80/video06"]


def test_a_leak_free_database_passes(built):
    """Against the split of the union; with the sources' own ones it would test what it trains."""
    stores = Stores(built["leak_free"])
    chosen = experiment(built["leak_free"])
    assert check_leaks(chosen, stores) == identity.Leakage()
    (part,) = chosen.data.mixture
    trained = mixture.videos(part, stores)
    assert {v.id for v in trained} == {"video01", "VID01"}


def test_a_filter_chooses_rows_and_is_counted_apart(built):
    stores = Stores(built["default"])
    whole = DataConfig((Part(DATABASE, TASK),), data_dir=str(built["default"]))
    halves = tuple(Part(DATABASE, TASK, sources=(name,)) for name in ("cholec80", "cholect50"))
    total = Pools(whole, stores, "media").sizes
    sizes = Pools(dataclasses.replace(whole, mixture=halves), stores, "media").sizes
    assert set(sizes) == {f"{DATABASE}[{n}]/{TASK}/train" for n in ("cholec80", "cholect50")}
    assert sum(sizes.values()) == sum(total.values()) and min(sizes.values()) > 0
    heavy = (dataclasses.replace(halves[0], weight=9.0), halves[1])
    stream = Pools(dataclasses.replace(whole, mixture=heavy), stores, "media").stream()
    drawn = [stream[i][0].media[0].source for i in range(200)]
    assert 160 < drawn.count("cholec80") < 195  # nine in ten: the weight is the source's share
    with pytest.raises(ValueError, match=r"the source 'cholec08'; it has those of cholec80\.fps1"):
        mixture.videos(Part(DATABASE, TASK, sources=("cholec08",)), stores)
    alone = dataclasses.replace(whole, mixture=(Part("cholec80", TASK, sources=("cholec80",)),))
    with pytest.raises(ValueError, match="`sources` chooses among those of surg_sigma_db"):
        Pools(alone, stores, "media")
