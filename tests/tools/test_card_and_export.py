"""surgzoo card and surgzoo export: of sources and of the database, and their mistakes."""

import json
import subprocess
import sys

import pytest

from surgzoo.data.exchange import chat
from surgzoo.db.conversation_store import ConversationStore

TASK = "phase_recognition"


def surgzoo(command, *arguments):
    return subprocess.run(
        [sys.executable, "-m", "surgzoo.tools.main", command, *arguments],
        capture_output=True,
        text=True,
    )


def test_the_rows_of_the_database_are_exported_as_they_stand(small_database, tmp_path):
    done = surgzoo(
        "export", "--format=llava", "--sources=surg_sigma_db", "--only=synthsurg.small",
        f"--tasks={TASK}", "--split=val", f"--data_dir={small_database}", f"--out={tmp_path}",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    (path,) = tmp_path.glob("*.json")
    assert list(chat.read(path)) == list(ConversationStore.open(small_database, TASK).select("val"))


def test_formats_and_kinds_do_not_write_over_each_other(small_data, tmp_path):
    common = ["--sources=synthsurg.small", "--split=test", f"--data_dir={small_data}"]
    for more in (
        ["--format=llava", f"--tasks={TASK}"],
        ["--format=sharegpt", f"--tasks={TASK}"],
        ["--format=medvidbench", f"--tasks={TASK}"],
        ["--format=coco", "--kind=instrument"],
        ["--format=coco", "--kind=tissue"],
    ):
        done = surgzoo("export", *common, *more, f"--out={tmp_path}")
        assert done.returncode == 0, done.stderr
    assert len(list(tmp_path.glob("*.json"))) == 6
    info = json.loads((tmp_path / "dataset_info.json").read_text())
    ((_, entry),) = info.items()
    (record, *_) = json.loads((tmp_path / entry["file_name"]).read_text())
    assert set(entry["columns"].values()) <= set(record)


def test_the_card_of_the_database(small_database, tmp_path):
    done = surgzoo(
        "card", "--sources=surg_sigma_db", f"--data_dir={small_database}", f"--out={tmp_path}"
    )
    assert done.returncode == 0, done.stderr
    numbers = json.loads((tmp_path / "card.json").read_text())
    tasks = (TASK, "instrument_localization")
    wanted = sum(len(ConversationStore.open(small_database, task)) for task in tasks)
    assert numbers["conversations"] == wanted


@pytest.mark.parametrize(
    ("command", "arguments", "message"),
    [
        ("card", ["--sources=synthsurg.small", "--scheme=rvd"], "no split scheme 'rvd'"),
        ("card", ["--sources=surg_sigma_db,synthsurg.small"], "stands alone"),
        ("card", ["--sources=surg_sigma_db", "--scheme=official"], "has no --scheme"),
        ("export", ["--format=coco", "--sources=surg_sigma_db"], "name prepared sources"),
        (
            "export",
            ["--format=swift", "--sources=surg_sigma_db", "--protocol=open"],
            "--protocol: was chosen when surg_sigma_db was built",
        ),
        ("export", ["--format=swift", "--sources=synthsurg", "--only=a"], "--only chooses among"),
        ("export", ["--format=swift", "--sources=synthsurg", "--split=tain"], "train|val|test|all"),
    ],
)
def test_mistakes_get_a_way_out(small_database, tmp_path, command, arguments, message):
    done = surgzoo(command, *arguments, f"--data_dir={small_database}", f"--out={tmp_path / 'out'}")
    assert done.returncode != 0
    assert message in done.stderr and "Traceback" not in done.stderr
    assert not (tmp_path / "out").exists()


def test_there_is_no_database(tmp_path):
    done = surgzoo("card", "--sources=surg_sigma_db", f"--data_dir={tmp_path}", f"--out={tmp_path}")
    assert done.returncode != 0 and "surgzoo build_db --sources=NAME" in done.stderr
