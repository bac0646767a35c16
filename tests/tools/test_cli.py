"""The command as a user meets it."""

import json
import re
import subprocess
import sys

import pytest

from surgzoo.tools.main import COMMANDS


def surgzoo(*arguments, cwd=None):
    return subprocess.run(
        [sys.executable, "-m", "surgzoo.tools.main", *arguments],
        capture_output=True,
        text=True,
        cwd=cwd,
    )


@pytest.mark.parametrize("command", COMMANDS)
def test_help_fits_one_screen_and_shows_an_example(command):
    text = surgzoo(command, "--help").stdout
    lines = text.splitlines()
    assert len(lines) <= 30 and max(map(len, lines)) <= 110
    assert f"  surgzoo {command}" in text
    assert "--" in text.split("Flags:")[1]


def test_overview_names_every_command():
    shown = surgzoo("--help").stdout
    assert all(f"  {command} " in shown for command in COMMANDS)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["tarin"], "Did you mean 'train'?"),
        (["prepare"], "known: autolaparo"),
        (["prepare", "--source=cholec08"], "no source 'cholec08'. Did you mean cholec80"),
        (["prepare", "--source=cholec80"], "--manual_dir"),
        (["prepare", "--sorce=cholec80"], "Unknown command line flag 'sorce'"),
        (["list", "modles"], "choose from models, tasks, sources, benchmarks"),
        (["list", "tasks", "--cost"], "--cost goes with models"),
        (["benchmark"], "--name=NAME; known: autolaparo"),
        (["benchmark", "--name=surgvlm"], "no benchmark 'surgvlm'. Did you mean surgvlm_bench"),
        (["benchmark", "--name=cholec80", "--sets=phases"], "no set phases; it has phase, tools"),
        (["train"], "--config=configs/NAME.py"),
        (["train", "--config=nothing.py"], "Shipped configs"),
        (["train", "--config=configs/synthsurg.py", "--config.optim.lrr=1"], "--config.optim.lr"),
        (["train", "--config=configs/synthsurg.py"], "surgzoo prepare --source=synthsurg"),
        (["evaluate", "--run_dir=nowhere"], "not a run of `surgzoo train`"),
        (["score", "--predictions=nothing.jsonl"], "nothing.jsonl does not exist"),
        (["score", "some.jsonl"], "unexpected argument some.jsonl; see surgzoo score --help"),
        (["score", "--config.optim.lr=1"], "takes no --config.* overrides"),
    ],
)
def test_mistakes_get_a_way_out(tmp_path, arguments, message):
    done = surgzoo(*arguments, cwd=tmp_path)
    assert done.returncode != 0
    assert message in done.stderr, done.stderr
    assert "Traceback" not in done.stderr


def test_list_json_is_complete():
    listed = json.loads(surgzoo("list", "--json").stdout)
    assert set(listed) == {"models", "tasks", "sources", "benchmarks", "extractors"}
    assert {"surgvlm-tiny", "surgvlm-7b"} <= {row["name"] for row in listed["models"]}
    assert all({"name", "summary", "licence", "source"} <= set(row) for row in listed["sources"])
    only = json.loads(surgzoo("list", "models", "--json", "--pattern=*-7b").stdout)
    assert [row["name"] for row in only] == ["surgvlm-7b"]


def test_the_list_for_people_holds_what_the_json_does():
    shown = surgzoo("list").stdout
    for kind, rows in json.loads(surgzoo("list", "--json").stdout).items():
        assert f"{kind} ({len(rows)})" in shown
        for row in rows:
            assert re.search(rf"^ .*\b{re.escape(row['name'])} ", shown, re.M), row["name"]


def test_models_are_listed_with_their_costs():
    listed = surgzoo("list", "models", "--pattern=tecno-base").stdout.splitlines()
    assert listed[0] == "models (1)"
    assert listed[1].split()[:3] == ["family", "variant", "parameters"]
    assert listed[2].split()[:5] == ["temporal", "tecno-base", "133", "K", "features"]
    done = surgzoo("list", "models", "--pattern=tecno-base", "--cost", "--json")
    (row,) = json.loads(done.stdout)
    assert (row["parameter_count"], row["parameter_bytes"]) == (132_846, 4 * 132_846)
    # A frame goes through every product once, and the cost is that of a minute.
    kernels = 132_846 - 2 * (32 + 8 * (32 + 32) + 7)
    assert row["flops"] == 2 * 60 * kernels
    table = surgzoo("list", "models", "--pattern=tecno-base", "--cost").stdout.splitlines()
    assert table[2].split()[:5] == ["tecno-base", "133", "K", "0.000531", "0.02"]


def test_a_pipe_that_closes_early_is_no_error():
    command = [sys.executable, "-m", "surgzoo.tools.main", "list", "sources"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    process.stdout.close()
    assert (process.wait(), process.stderr.read()) == (0, b"")
