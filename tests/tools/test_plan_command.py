"""surgzoo plan as a user meets it."""

import os
import subprocess
import sys

import pytest

BASE = ("plan", "--config=configs/synthsurg.py")


def surgzoo(*arguments):
    return subprocess.run(
        [sys.executable, "-m", "surgzoo.tools.main", *arguments],
        capture_output=True,
        text=True,
        env={**os.environ, "XLA_FLAGS": ""},
    )


def test_a_mesh_that_is_not_there():
    done = surgzoo(
        *BASE, "--config.model.name=surgvlm-7b", "--config.model.overrides={}", "--devices=8",
        "--device_memory=8GB", "--config.mesh.fsdp=8", "--config.mesh.data=1",
        "--config.data.batch_size=8",
    )  # fmt: skip
    assert done.returncode == 1, done.stderr
    assert "8,292.2 M parameters, all of them trained; 8 devices (fsdp 8)" in done.stdout
    assert "memory of the device                        7.45  DOES NOT FIT" in done.stdout
    assert "optim.moments=bfloat16" in done.stdout
    assert "parameters                                  3.86" in done.stdout


def test_this_machine():
    done = surgzoo(*BASE, "--device_memory=100GiB")
    assert done.returncode == 0, done.stderr
    assert "100.00  fits" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["plan"], "--config=configs/NAME.py"),
        ([*BASE, "--device_memory=80XB"], "--device_memory=80XB: say it as 80GB, 24GiB"),
        ([*BASE, "--devices=3"], "data.batch_size 10 cannot be cut into data 3"),
        ([*BASE, "--devices=3", "--config.mesh.fsdp=2"], "there are 3"),
    ],
)
def test_mistakes_get_a_way_out(arguments, message):
    done = surgzoo(*arguments)
    assert done.returncode != 0 and message in done.stderr, done.stderr
    assert "Traceback" not in done.stderr
