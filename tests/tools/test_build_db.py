"""surgzoo build_db: the flags, the table, the mistakes."""

import subprocess
import sys

import pytest

from surgzoo.tools import build_db


def surgzoo(*arguments):
    return subprocess.run(
        [sys.executable, "-m", "surgzoo.tools.main", "build_db", *arguments],
        capture_output=True,
        text=True,
    )


def test_a_build_ends_with_a_table(small_data, tmp_path):
    (tmp_path / "synthsurg").symlink_to(small_data / "synthsurg")
    done = surgzoo(
        "--sources=synthsurg.small",
        "--tasks=phase_recognition,instrument_recognition",
        f"--data_dir={tmp_path}",
        "--check_images=header",
        "--workers=1",
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [
        "task                    train  val  test  quarantined",
        "instrument_recognition    109  109   116            0",
        "phase_recognition         109  109   116            0",
        "668 conversations of 2 tasks",
    ]


def test_a_check_of_what_is_built(small_data, tmp_path):
    (tmp_path / "synthsurg").symlink_to(small_data / "synthsurg")
    tasks = "--tasks=phase_recognition,visual_question_answering"
    build = ("--sources=synthsurg.small", tasks, f"--data_dir={tmp_path}", "--workers=1")
    assert surgzoo(*build).returncode == 0
    done = surgzoo(*build, "--check")  # nothing is built again
    assert done.returncode == 0, done.stderr
    head, *rows = [line.split() for line in done.stdout.splitlines()[-3:]]
    assert " ".join(head) == "task asked read back scored metric truth shuffled chance verdict"
    phase, vqa = rows
    assert phase[:6] == ["phase_recognition", "334", "334", "334", "accuracy", "1.000"]
    assert vqa[:6] == ["visual_question_answering", "668", "668", "668", "accuracy", "1.000"]
    for row in rows:
        assert float(row[6]) < 0.2 and float(row[7]) < 0.2 and row[8] == "sound"


def test_a_check_that_finds_something_fails(monkeypatch, capsys):
    from surgzoo.evaluate import check

    bad = check.Checked("phase_recognition", "accuracy", 9, 9, 9, 1.0, 0.5, 0.1, 0.1)
    good = check.Checked("depth_estimation", "delta1", 9, 9, 9, 1.0, 1.0, 0.1, 0.1)
    monkeypatch.setattr(check, "check", lambda data_dir, names: [bad, good])
    with pytest.raises(ValueError, match="not sound: phase_recognition; the verdicts above"):
        build_db.report_check("data", ["phase_recognition", "depth_estimation"])
    assert "the truth scores 0.5000 and not 1" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "name at least one source; known: "),
        (["--sources=cholec08"], "Did you mean cholec80"),
        (["--sources=cholec80"], "surgzoo prepare --source=cholec80"),
        (["--sources=synthsurg", "--tasks=phase"], "Did you mean phase_recognition"),
        (["--sources=synthsurg", "--scheme=a=b,a=c"], "names a source twice"),
    ],
)
def test_mistakes_get_a_way_out(tmp_path, arguments, message):
    done = surgzoo(*arguments, f"--data_dir={tmp_path}")
    assert done.returncode != 0
    assert message in done.stderr and "Traceback" not in done.stderr


def test_schemes_are_read():
    assert build_db.schemes(["official", "cholec80=fold1"]) == {
        "*": "official",
        "cholec80": "fold1",
    }
    assert build_db.schemes(["*=leak_free"]) == {"*": "leak_free"}
    assert build_db.schemes([]) == {}
