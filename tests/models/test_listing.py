"""`surgzoo.list_models` and `surgzoo.create_model`, as users see them."""

import subprocess
import sys

import pytest

import surgzoo
from surgzoo.core.registry import Card, UnknownNameError
from surgzoo.models import models
from surgzoo.models.card import in_words
from surgzoo.models.clip.config import DualEncoderConfig


def test_names_that_print_as_a_table():
    found = surgzoo.list_models("siglip2-b*")
    assert found == ["siglip2-base", "siglip2-base-naflex"]
    head, first, second = str(found).splitlines()
    assert head.split() == ["family", "variant", "parameters", "reads", "tasks", "licence"]
    for line, name in ((first, "siglip2-base"), (second, "siglip2-base-naflex")):
        assert line.split()[:5] == ["siglip2", name, "375", "M", "pairs"]
        assert "phase_recognition" in line and "Google's, Apache-2.0" in line
    assert repr(found) == str(found)
    assert found.rows[0]["variant"] == "siglip2-base"
    assert set(surgzoo.list_models()) == set(models.names())
    assert surgzoo.list_models("nothing") == []


def test_a_plug_in_without_details_is_listed(monkeypatch):
    monkeypatch.setattr(models, "_entries", dict(models._entries))
    models.register("theirs", "nowhere:config", Card("a model", "MIT", "somewhere"), origin="them")
    (line,) = str(surgzoo.list_models("theirs")).splitlines()[1:]
    assert line.split() == ["?", "theirs", "?", "?", "?", "MIT"]


def test_create_model_and_what_goes_wrong():
    config = surgzoo.create_model("clip-tiny", vision={"depth": 2}, embed=32)
    assert isinstance(config, DualEncoderConfig)
    assert (config.vision.depth, config.embed) == (2, 32)
    assert surgzoo.create_model("clip-tiny", **{"vision.depth": 2}).vision.depth == 2
    with pytest.raises(UnknownNameError, match="Did you mean clip-tiny"):
        surgzoo.create_model("clip_tiny")
    with pytest.raises(ValueError, match="clip-tiny: no field 'embedd'; nearest: embed"):
        surgzoo.create_model("clip-tiny", embedd=1)


def test_listing_and_creating_every_model_import_no_jax():
    code = (
        "import sys, surgzoo; names = surgzoo.list_models('*'); str(names);"
        "assert 'surgzoo.models.clip.config' not in sys.modules;"
        "[surgzoo.create_model(name) for name in names if not name.endswith('vlm-tiny')];"
        "print(len(names), *[m for m in ('jax', 'flax', 'torch') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout.split()[0]) > 30 and len(done.stdout.split()) == 1, done.stdout


@pytest.mark.parametrize(
    ("count", "words"),
    [
        (999, "999"), (9_940, "9.9 K"), (132_846, "133 K"), (999_960, "1.0 M"),
        (3_123_456, "3.1 M"), (99_960_000, "100 M"), (151_277_313, "151 M"),
        (999_600_000, "1.0 B"), (8_292_166_656, "8.3 B"), (73_410_777_088, "73.4 B"),
    ],
)  # fmt: skip
def test_numbers_in_words(count, words):
    assert in_words(count) == words
