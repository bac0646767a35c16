"""Asking a model: grouped or one by one, in one go or in many, the answers are the same."""

import dataclasses
import json
import warnings

import jax
import pytest

from surgzoo.core import parallel
from surgzoo.data.conversations import conversations
from surgzoo.data.media import Stores
from surgzoo.db.schema import Turn
from surgzoo.evaluate.predict import Throughput, predict
from surgzoo.models.build import model_config
from tests.train.toy_run import OVERRIDES

TASKS = ("phase_recognition", "instrument_localization", "triplet_recognition")


@pytest.fixture(scope="module")
def ask(small_data):
    """ask(items, path, **options) with a random model."""
    config = model_config("surgvlm-tiny", {**OVERRIDES, "text.tied": False, "scan_layers": False})
    model = config.build()
    params = jax.jit(model.init)(jax.random.key(3))

    def ask(items, path, devices=1, **options):
        mesh = parallel.make_mesh(devices=jax.devices()[:devices])
        options = {"batch_size": 8, "max_new_tokens": 6} | options
        return predict(
            model, params, config.processor(), items, Stores(small_data), path,
            name="toy", mesh=mesh, **options,
        )  # fmt: skip

    return ask


@pytest.fixture(scope="module")
def items(small_data):
    """All questions about eleven frames; a clip with two questions; two without any picture."""
    store = Stores(small_data)("synthsurg", "small")
    stored = [list(conversations(store, task, "train")) for task in TASKS]
    frames = list(dict.fromkeys(item.media for item in stored[0]))[:11]
    found = [item for task in stored for item in task if item.media in frames]
    clip = next(conversations(store, "action_recognition", "train"))
    other = dataclasses.replace(clip, id=f"{clip.id[:-1]}1", turns=(Turn("user", "Why?"),))
    text = [dataclasses.replace(found[i], id=f"{found[i].id[:-1]}9", media=()) for i in (0, 1)]
    return [*found, clip, other, *text]


def answers(path):
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert len(lines) == len({line["id"] for line in lines})
    return {line["id"]: (line["text"], line["error"]) for line in lines}


@pytest.fixture(scope="module")
def one_by_one(ask, items, tmp_path_factory):
    path = tmp_path_factory.mktemp("alone") / "predictions.jsonl"
    did = ask(items, path, group=0)
    assert did.questions == len(items)
    found = answers(path)
    assert len(set(found.values())) > len(items) // 3
    return found


@pytest.mark.parametrize("options", [{}, {"group": 2}, {"group": 1}, {"devices": 4}])
def test_grouped_answers_are_those_of_one_by_one(ask, items, one_by_one, tmp_path, options):
    did = ask(items, tmp_path / "p.jsonl", **options)
    assert answers(tmp_path / "p.jsonl") == one_by_one
    assert did.questions == len(items)


def test_grouping_reads_a_frame_once(ask, items, tmp_path):
    alone = ask(items, tmp_path / "alone.jsonl", group=1)
    shared = ask(items, tmp_path / "shared.jsonl")
    assert shared.new_tokens == alone.new_tokens
    assert shared.prompt_tokens < 0.75 * alone.prompt_tokens


@pytest.mark.parametrize("kept", [0.2, 0.55, 0.9])
def test_a_killed_run_goes_on_anywhere(ask, items, one_by_one, tmp_path, kept):
    """Cut inside a line and inside a frame: the rest of the frame's questions makes a group."""
    path = tmp_path / "p.jsonl"
    ask(items, path)
    whole = path.read_text()
    path.write_text(whole[: int(len(whole) * kept)])
    left = path.read_text().count("\n")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the line that was cut
        did = ask(items, path)
    assert did.questions == len(items) - left
    assert answers(path) == one_by_one
    assert ask(items, path).questions == 0


def test_what_cannot_be_encoded_takes_no_other_with_it(ask, items, one_by_one, tmp_path):
    talkative = (Turn("user", "Why? " * 400),)
    broken = [
        dataclasses.replace(item, turns=talkative) if n % 3 == 0 else item
        for n, item in enumerate(items)
    ]
    did = ask(broken, tmp_path / "p.jsonl")
    found = answers(tmp_path / "p.jsonl")
    for n, item in enumerate(items):
        text, error = found[item.id]
        if n % 3 == 0:
            assert text is None and "does not fit" in error
        else:
            assert (text, error) == one_by_one[item.id]
    assert did.questions == sum(n % 3 != 0 for n in range(len(items)))


def test_throughput_in_words():
    did = Throughput(
        questions=50, prompt_tokens=4000, new_tokens=600, seconds=20.0, waited=1.0, device=16.0
    )
    assert str(did) == (
        "50 questions in 20.0 s: 2.5 questions/s, 200 prompt tokens/s, 30 new tokens/s; "
        "80% of the time on the device, 5% waiting for rows"
    )
