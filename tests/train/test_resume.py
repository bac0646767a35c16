"""A killed run continues bit for bit: same losses, same data order, same final parameters."""

import json
import os
import signal
import subprocess
import sys
import time

import jax
import numpy as np
import pytest

RUN = """
import sys
from tests.train.toy_run import experiment
from surgzoo.train.loop import train

if __name__ == "__main__":
    train(experiment(sys.argv[1], steps=24, checkpoint_every=8), sys.argv[2])
"""


def start(data_dir, run_dir, script):
    env = {**os.environ, "XLA_FLAGS": ""}
    return subprocess.Popen([sys.executable, script, str(data_dir), str(run_dir)], env=env)


def curve(run_dir):
    lines = (run_dir / "metrics.jsonl").read_text().splitlines()
    return [json.loads(line) for line in lines]


@pytest.fixture(scope="module")
def setting(tmp_path_factory, small_data):
    folder = tmp_path_factory.mktemp("resume")
    (folder / "data").symlink_to(small_data)
    script = folder / "run.py"
    script.write_text(RUN)
    os.environ["PYTHONPATH"] = os.pathsep.join([os.getcwd(), os.environ.get("PYTHONPATH", "")])
    assert start(folder / "data", folder / "whole", script).wait() == 0
    return folder, script


@pytest.mark.slow
def test_kill_and_continue(setting):
    folder, script = setting
    run = folder / "killed"
    process = start(folder / "data", run, script)
    deadline = time.time() + 240
    while not (run / "checkpoints" / "8").is_dir():  # renamed into place when it is whole
        assert process.poll() is None and time.time() < deadline
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not (run / "checkpoints" / "24").is_dir(), "it ended before it was killed: slow it down"
    assert start(folder / "data", run, script).wait() == 0

    assert curve(run) == curve(folder / "whole")  # every loss, gradient norm and rate, bit for bit
    assert [line["step"] for line in curve(run)] == list(range(1, 25))
    from surgzoo.train.checkpoint import Checkpointer
    from tests.train.toy_run import abstract_params

    shapes = abstract_params()
    whole = Checkpointer(folder / "whole" / "checkpoints").restore_params(shapes)
    again = Checkpointer(run / "checkpoints").restore_params(shapes)
    jax.tree.map(np.testing.assert_array_equal, whole, again)


@pytest.mark.slow
def test_another_experiment_is_refused_in_the_same_folder(setting):
    folder, _ = setting
    from surgzoo.train.loop import train
    from tests.train.toy_run import experiment

    with pytest.raises(ValueError, match="another experiment: seed differ"):
        train(experiment(folder / "data", steps=24, checkpoint_every=8, seed=5), folder / "whole")


@pytest.mark.slow
def test_meta_says_what_the_checkpoint_is(setting):
    folder, _ = setting
    from surgzoo.train.checkpoint import Checkpointer

    meta = Checkpointer(folder / "whole" / "checkpoints").meta()
    assert meta["examples"] == 24 * 8
    assert meta["experiment"]["model"]["name"] == "surgvlm-tiny"
    assert meta["leakage"] == {}


@pytest.mark.slow
def test_a_checkpoint_of_another_model_is_refused_with_a_table(setting):
    folder, _ = setting
    from surgzoo.train.checkpoint import Checkpointer
    from tests.train.toy_run import abstract_params

    shapes = abstract_params()
    embedding = shapes["text"]["embedding"]
    shapes["text"]["embedding"] = jax.ShapeDtypeStruct((7, 3), embedding.dtype)
    checkpoints = Checkpointer(folder / "whole" / "checkpoints")
    with pytest.raises(ValueError, match=r"1 parameters differ(.|\n)*text/embedding: .* \(7, 3\)"):
        checkpoints.restore_params(shapes)
    with pytest.raises(FileNotFoundError, match=r"no checkpoint of step 5 .* there: .*24"):
        checkpoints.restore_params(abstract_params(), step=5)


@pytest.mark.slow
def test_bfloat16_moments_continue_bit_for_bit(setting):
    """A run cut in two by a checkpoint whose optimizer state is in bfloat16."""
    folder, _ = setting
    from surgzoo.train.experiment import OptimConfig
    from surgzoo.train.loop import train
    from tests.train.toy_run import experiment

    optim = OptimConfig(schedule="constant", warmup_steps=1, moments="bfloat16")
    for name, stops in (("half_whole", (6,)), ("half_cut", (3, 6))):
        for steps in stops:
            state = train(experiment(folder / "data", steps=steps, optim=optim), folder / name)
    kept = {str(leaf.dtype) for leaf in jax.tree.leaves(state["opt"]) if leaf.ndim}
    assert kept == {"bfloat16"}
    assert curve(folder / "half_cut") == curve(folder / "half_whole")
