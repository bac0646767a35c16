"""surgzoo bench: what there is, what cannot run and why, a short run, and what is made of files."""

import dataclasses
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pytest

import surgzoo
from surgzoo.core.contract import Message
from surgzoo.models.qwen2_5_vl.config import tiny
from surgzoo.tools.bench import environment, flops, programs, results
from surgzoo.tools.bench.rows import Row, holds
from surgzoo.tools.bench.synthetic import text_rows

ROOT = Path(surgzoo.__file__).parent.parent
FOLDER = ROOT / "tools" / "bench"


def bench(*arguments, cwd, before="", **variables):
    """The command in a process of its own; `before` is run ahead of it."""
    program = f"import sys; {before}\nfrom surgzoo.tools.main import main; main()"
    return subprocess.run(
        [sys.executable, "-c", program, "bench", *arguments],
        capture_output=True,
        text=True,
        cwd=cwd,
        env={key: value for key, value in os.environ.items() if key != "XLA_FLAGS"} | variables,
    )


def test_the_list_names_every_program_and_starts_nothing(tmp_path):
    done = bench("--list", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert all(f"| {name} " in done.stdout for name in programs.PROGRAMS)
    assert "needs a GPU" in done.stdout
    assert list(tmp_path.iterdir()) == []


def test_every_program_that_writes_rows_is_in_the_list():
    writes = [
        path.stem for path in FOLDER.glob("*.py") if '__name__ == "__main__"' in path.read_text()
    ]
    rows = [
        name for name in writes if re.search(r'"rows":|save\(', (FOLDER / f"{name}.py").read_text())
    ]
    assert "compile" in rows
    assert set(rows) <= set(programs.PROGRAMS), "add it to tools/bench/programs.py"


def test_a_short_run_writes_rows_and_one_table(tmp_path):
    done = bench("--only=host_time", "--quick", "--out=found.json", cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"^\| host time of a step, 4 layers +\|.*ours <= 0.5", done.stdout, re.M)
    found = json.loads((tmp_path / "found.json").read_text())
    (row,) = found["rows"]
    assert row["program"] == "host_time" and row["ours"] > 0 and row["peer"] > 0
    assert found["quick"] and found["environment"] == "tuned"
    (entry,) = found["programs"]
    # Both sides ran with what the file says.
    assert entry["result"]["machine"]["allocator"] == environment.TUNED
    assert {"date", "processor", "cores", "versions"} <= set(found["machine"])


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", [name for name, program in programs.PROGRAMS.items() if not program.device]
)
def test_every_program_runs_cut_short(tmp_path, name):
    done = bench(f"--only={name}", "--quick", "--out=found.json", cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads((tmp_path / "found.json").read_text())
    assert [entry["status"] for entry in found["programs"]] == ["ran"]
    assert found["rows"] and all(np.isfinite(row["ours"]) for row in found["rows"])


def test_a_peer_that_is_not_installed_is_named_with_its_extra(tmp_path):
    hidden = "sys.modules['torch'] = None"
    done = bench("--only=checkpoint", "--out=x.json", cwd=tmp_path, before=hidden)
    assert done.returncode == 0, done.stderr
    assert "checkpoint: not run: torch missing: pip install 'surgzoo[dev]'" in done.stdout
    assert json.loads((tmp_path / "x.json").read_text())["programs"][0]["status"] == "not run"


def test_a_program_that_fails_is_shown_with_its_last_words(tmp_path):
    done = bench("--only=host_time", "--quick", cwd=tmp_path, JAX_PLATFORMS="abacus")
    assert done.returncode == 1
    assert "host_time: FAILED: exit code 1" in done.stdout and "abacus" in done.stdout
    assert done.stderr.endswith("surgzoo bench: host_time failed\n")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--only=compiel"], "no program 'compiel'. Did you mean compile?"),
        (["--environment=fast"], "environment"),
        (["everything"], "unexpected argument everything"),
    ],
)
def test_mistakes_get_a_way_out(tmp_path, arguments, message):
    done = bench(*arguments, cwd=tmp_path)
    assert done.returncode != 0 and message in done.stderr
    assert "Traceback" not in done.stderr


def test_device_rows_are_refused_on_a_cpu(tmp_path):
    command = [sys.executable, "-m", "surgzoo.tools.bench.device"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 1
    assert "JAX sees a CPU only" in done.stderr and "--tiny" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.slow
def test_device_rows_run_tiny_anywhere(tmp_path):
    command = [sys.executable, "-m", "surgzoo.tools.bench.device", "--tiny", "--steps=2"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    found = json.loads((tmp_path / "device.json").read_text())["rows"]
    results.check_rows({"rows": found})
    names = [row["row"].split(",")[0] for row in found]
    assert names == ["text MFU", "VLM MFU", "decode", "decode", "loader wait"]
    # Not above zero: a decoded token is a difference of two times, and others work here too.
    assert all(np.isfinite(row["ours"]) and row["met"] is None for row in found)


def test_the_makefile_sets_the_same_allocator():
    text = (ROOT / "Makefile").read_text().replace("\\\n", " ")
    (line,) = re.findall(r"^MALLOC = (.*)$", text, re.M)
    found = dict(part.split("=", 1) for part in line.split())
    assert found == environment.TUNED


def test_an_environment_replaces_what_was_set():
    base = {"MALLOC_TOP_PAD_": "1", "HOME": "x"}
    assert environment.variables("default", base) == {"HOME": "x"}
    assert environment.variables("tuned", base) == {"HOME": "x"} | environment.TUNED
    with pytest.raises(ValueError, match="choose from default, tuned"):
        environment.variables("fast", base)


@pytest.mark.parametrize(
    ("target", "ours", "ratio", "met"),
    [
        (">= 3", 0.0, 3.0, True),
        (">= 3", 9.0, 2.9, False),
        ("<= 0.45", 9.0, 0.4, True),
        ("ours <= 0.5", 0.6, 0.1, False),
        ("ours <= 0.5", 0.4, None, True),
    ],
)
def test_targets(target, ours, ratio, met):
    assert holds(target, ours, ratio) is met
    assert Row("x", ours, None, "s", ratio, target).met is met


@pytest.mark.parametrize(("target", "ratio"), [("3", 3.0), ("> 3", 3.0), (">= 3", None)])
def test_a_target_that_says_nothing_is_an_error(target, ratio):
    with pytest.raises(ValueError, match="write '>= 3'"):
        holds(target, 1.0, ratio)


ROW = {"row": "a", "ours": 2, "peer": 6.0, "unit": "s", "ratio": 3.0, "must": ">= 2.5", "met": True}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"ours": "fast"}, "row a: ours is no number"),
        ({"met": "yes"}, "met is true, false or null"),
        ({"must": ...}, "row a lacks must"),
        ({"must": 2.5}, "row a: must is no text: 2.5"),
    ],
)
def test_rows_of_another_form_are_errors(changes, message):
    row = {k: v for k, v in (ROW | changes).items() if v is not ...}
    with pytest.raises(ValueError, match=message):
        results.check_rows({"rows": [row]})
    with pytest.raises(ValueError, match="no rows"):
        results.check_rows({"rows": []})
    results.check_rows({"rows": [ROW]})


def test_the_table_marks_what_was_missed():
    def entry(**changes):
        return {"program": "p", "status": "ran", "seconds": 1, "result": {"rows": [ROW | changes]}}

    skipped = {"program": "q", "status": "not run", "reason": "torch missing"}
    text = results.results(
        [
            entry(),
            entry(row="b", met=False, must=">= 4", aim=">= 5"),
            entry(row="c", must=None, met=None, peer=None, aim="ours <= 5"),
            skipped,
        ]
    )
    cells = [[c.strip() for c in line.split("|")[1:-1]] for line in text.splitlines()]
    assert cells[2] == ["a", "2 s", "6 s", "3", ">= 2.5", "", "yes"]
    assert cells[3][4:] == [">= 4", ">= 5", "MISSED"]
    assert cells[4][2:] == ["", "3", "", "ours <= 5", ""]
    assert text.endswith("q: not run: torch missing")


def test_operations_of_text_are_those_that_the_compiler_counts():
    config = _side_by_side()
    batch = text_rows(config, rows=2, tokens=64)
    counted = flops.count(config, batch)
    # The compiler counts the masked half too.
    whole = counted.text_products + 4 * config.text.width * config.text.depth * 2 * 64**2
    assert counted.text_attention == 4 * config.text.width * config.text.depth * 2 * (64 * 65 // 2)
    assert _compiler(config, batch) == pytest.approx(whole, rel=0.1)
    assert counted.vision_products == counted.vision_attention == 0
    assert counted.training == 3 * counted.forward


def test_operations_of_a_frame_are_those_that_the_compiler_counts():
    config = _side_by_side()
    processor = config.processor()
    image = np.zeros((112, 112, 3), np.uint8)
    row = processor.encode([Message("user", "where is the hook", 1)], [image], bucket=(64, 64))
    batch = {key: value[None] for key, value in row.items()}
    counted = flops.count(config, batch)
    # One image of 8 x 8 patches; windows of 4 x 4.
    full = len(config.vision.full_attention_layers)
    pairs = full * 64**2 + (config.vision.depth - full) * 4 * 16**2
    assert counted.vision_attention == 4 * config.vision.width * pairs
    text = flops.count(config, text_rows(config, rows=1, tokens=64))
    vision = _compiler(config, batch) - _compiler(config, text_rows(config, rows=1, tokens=64))
    dense = 4 * config.vision.width * config.vision.depth * 64**2  # at most, windows masked
    assert counted.vision_products < vision < 1.15 * (counted.vision_products + dense)
    assert counted.text_products < text.text_products  # padding is no work


def test_operations_of_grouped_rows_count_the_prefix_once_and_see_it_from_every_question():
    config = _side_by_side()
    batch = text_rows(config, rows=1, tokens=10)
    batch["segments"] = np.array([[1, 1, 1, 1, 2, 2, 3, 3, 3, 0]])
    batch["prefix"] = np.array([[0, 0, 0, 0, 1, 1, 1, 1, 1, 0]])
    pairs = 10 + (3 + 2 * 4) + (6 + 3 * 4)
    counted = flops.count(config, batch)
    assert counted.text_attention == 4 * config.text.width * config.text.depth * pairs
    assert counted.text_products == 2 * 9 * flops.text_weights(config.text)


def test_weights_are_the_parameters_that_tokens_are_multiplied_with():
    config = tiny()
    shapes = config.build().abstract()
    kernels = sum(
        leaf.size
        for path, leaf in jax.tree_util.tree_leaves_with_path(shapes["text"])
        if "kernel" in jax.tree_util.keystr(path)
    )
    # The tiny model's head is its embedding table.
    assert flops.text_weights(config.text) == kernels + shapes["text"]["embedding"].size
    assert flops.cache_bytes(config.text, 2) == 2 * 6 * 2 * 48 * 2


def _side_by_side():
    """Unrolled, since the compiler counts the body of a loop once."""
    return dataclasses.replace(tiny(), scan_layers=False)


def _compiler(config, batch):
    model = config.build()
    lowered = jax.jit(model.forward).lower(model.abstract(), batch)
    cost = lowered.compile().cost_analysis()
    return cost["flops"]
