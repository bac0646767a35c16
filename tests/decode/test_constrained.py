"""Answers within patterns: of every closed task all that comes out can be parsed."""

import collections

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from surgzoo.core.pattern import Text, either
from surgzoo.data.conversations import conversations
from surgzoo.db.store import Store
from surgzoo.decode import constrained
from surgzoo.decode.beam import make_beam
from surgzoo.decode.constrained import Rules
from surgzoo.decode.loop import make_generate
from surgzoo.decode.sampling import Sampling, keys_of
from surgzoo.models.build import model_config
from surgzoo.models.qwen2_5_vl import config as configs
from surgzoo.tasks import tasks
from surgzoo.tasks.wording import Wording

PROCESSOR = configs.tiny().processor()
VOCABULARY = PROCESSOR.vocabulary()
ROOM = 48
OPEN = {
    "image_captioning", "video_captioning", "visual_question_answering", "instrument_segmentation",
    "tissue_segmentation", "depth_estimation", "desmoking", "next_frame", "video_generation",
}  # fmt: skip


@pytest.fixture(scope="module")
def questions(small_data):
    """Of every task some, open and with listed choices."""
    store = Store.open(small_data, "synthsurg", "small")
    found = collections.defaultdict(list)
    for protocol in ("open", "choice"):
        for name in tasks.names():
            items = list(conversations(store, name, "train", wording=Wording(protocol=protocol)))
            found[name] += items[:: max(1, len(items) // 12)][:12]
    return found


def rules():
    return Rules(VOCABULARY, PROCESSOR.eos_id, ROOM)


def test_closed_tasks_have_patterns_and_others_none(questions):
    for name, items in questions.items():
        assert items, name
        patterns = [tasks.get(name)().pattern(item) for item in items]
        assert all((pattern is None) == (name in OPEN) for pattern in patterns)


def test_true_answers_are_admitted(questions):
    """Token by token, with the comparison of corners; a triplet outside the options apart."""
    asked = [item for name in sorted(set(questions) - OPEN) for item in questions[name]]
    starts, tables = rules().of([tasks.get(item.task)().pattern(item) for item in asked])
    mask, advance, unusual = jax.jit(constrained.mask), jax.jit(constrained.advance), 0
    for item, start in zip(asked, starts, strict=True):
        place = constrained.begin(jnp.array([start]))
        tokens = [*VOCABULARY.encode(item.turns[-1].text), PROCESSOR.eos_id]
        admitted, free = True, jnp.zeros((1, len(VOCABULARY.pieces)))
        for token in tokens:
            admitted &= bool(mask(tables, place, free, 1000)[0, token] == 0)
            place = advance(tables, place, jnp.array([token]))
        if item.task == "triplet_recognition" and not admitted:
            unusual += any(", ".join(parts) not in item.options for parts in item.answer)
        else:
            assert admitted and int(place.state[0]) == constrained.FREE, item.turns[-1].text
    assert unusual < 8


def walk(starts, tables, seed, room=ROOM):
    """Answers drawn from random logits within the rules, all at once."""

    @jax.jit
    def step(place, done, key, number):
        key = jax.random.fold_in(key, number)
        # Drawn towards digits and away from the end, or boxes would be short and few.
        noise = 4 * jax.random.normal(key, (len(starts), len(VOCABULARY.pieces)))
        noise = noise.at[:, PROCESSOR.eos_id].add(-6)
        likely = constrained.mask(tables, place, noise, room - 1 - number)
        token = jnp.where(done, 0, jnp.argmax(likely, axis=-1))
        admitted = done | jnp.isfinite(likely.max(axis=-1))
        place = constrained.advance(tables, place, token)
        return place, done | (token == PROCESSOR.eos_id), token, admitted

    place, done = constrained.begin(jnp.asarray(starts)), jnp.zeros(len(starts), bool)
    said = []
    for number in range(room):
        place, done, token, admitted = step(place, done, jax.random.key(seed), number)
        assert admitted.all()  # there is always a way on
        said.append(token)
    return [PROCESSOR.decode(row) for row in np.stack(said, axis=1).tolist()]


@pytest.mark.parametrize("seed", range(4))
def test_whatever_comes_out_is_parsed(questions, seed):
    """Of random logits, with all rules in one batch."""
    asked = [item for name in sorted(set(questions) - OPEN) for item in questions[name]]
    starts, tables = rules().of([tasks.get(item.task)().pattern(item) for item in asked])
    said, boxes = walk(starts, tables, seed), 0
    assert len(set(said)) > 40
    for item, text in zip(asked, said, strict=True):
        task = tasks.get(item.task)()
        answer, error = task.parse(text, item)
        assert error is None, (item.task, text, error)
        boxes += len(answer) if task.answer_form == "boxes" else 0
        # What is said is what is read.
        if task.answer_form in ("labels", "label", "triplets") and not item.choices:
            assert task.render(answer) == text
    assert boxes > 40


def test_answers_are_whole_however_little_room_there_is(questions):
    items = questions["instrument_localization"][:12]
    task = tasks.get("instrument_localization")()
    assert any(len(item.options) == 1 for item in items)  # which "none" does not answer
    few = Rules(VOCABULARY, PROCESSOR.eos_id, 15)
    starts, tables = few.of([task.pattern(item) for item in items])
    for item, text in zip(items, walk(starts, tables, 0, room=15), strict=True):
        assert task.parse(text, item).error is None
    with pytest.raises(ValueError, match="max_new_tokens is 14: raise it"):
        Rules(VOCABULARY, PROCESSOR.eos_id, 14).of([task.pattern(item) for item in items])


@pytest.fixture(scope="module")
def toy():
    config = model_config("surgvlm-tiny", {"text.depth": 2, "text.tied": False})
    model = config.build()
    return model, jax.jit(model.init)(jax.random.key(0))


def batch_of(patterns, keys=False):
    """A prompt of random tokens for each pattern, two to a row."""
    rows, rng = len(patterns) // 2, np.random.default_rng(0)
    from surgzoo.core.contract import Message
    from surgzoo.data.prompts import resize

    found = []
    for row in range(rows):
        talks = [[Message("user", f"What about {row} and {n}?")] for n in (1, rng.integers(9))]
        example, count = PROCESSOR.encode_group(talks, [], generate=True)
        assert count == 2
        segments = sorted(set(example["segments"]) - {0, *example["prefix"]})
        ends = [np.flatnonzero(example["segments"] == s)[-1] for s in segments]
        found.append(resize(example | {"ends": np.array(ends, np.int32)}, 64, 2))
    batch = {key: np.stack([row[key] for row in found]) for key in found[0]}
    names = map(str, range(2 * rows))
    return batch | ({"keys": keys_of(names, 0).reshape(rows, 2, 2)} if keys else {})


PATTERNS = (
    either("grasper", "hook"), None, either("grasper, hook", "none"), Text("10 seconds"),
)  # fmt: skip


@pytest.mark.parametrize("way", ["greedy", "sampled", "beams"])
def test_each_row_follows_its_own_rule(toy, way):
    """A rule in one row, none in another; without any the answers are those of free decoding."""
    model, params = toy
    how = Sampling(1.0) if way == "sampled" else None

    def make(constrain):
        if way == "beams":
            return make_beam(model, ROOM, PROCESSOR.eos_id, 3, constrain=constrain)
        return make_generate(model, ROOM, PROCESSOR.eos_id, how, constrain=constrain)

    batch = batch_of(PATTERNS, keys=how is not None)
    starts, tables = rules().of(PATTERNS)
    out = make(True)(params, batch | {"rules": starts.reshape(2, 2)}, tables)
    said = [PROCESSOR.decode(row[:n]) for row, n in zip(out.tokens, out.lengths, strict=True)]
    assert said[0] in ("grasper", "hook") and said[2] in ("grasper, hook", "none")
    assert said[3] == "10 seconds"
    free = make(False)(params, batch)
    np.testing.assert_array_equal(out.tokens[1], free.tokens[1])
    assert (out.tokens[0] != free.tokens[0]).any()
    if how is not None:  # a certain text was drawn with certainty, whatever the model thinks
        assert np.abs(out.drawn[3]).max() < 1e-6 and out.logprobs[3].min() < -1


def test_equal_rules_are_compiled_once_and_old_ones_make_room(monkeypatch):
    compiled = []
    original = constrained.compile_pattern

    def counting(pattern, tokens):
        compiled.append(pattern)
        return original(pattern, tokens)

    monkeypatch.setattr(constrained, "compile_pattern", counting)
    monkeypatch.setattr(constrained, "_MOST_STATES", 40)
    found = rules()
    for number in (1, 2, 1):
        patterns = [Text(f"{number} hooks in a row of {n}") for n in (1, 2)]
        starts, tables = found.of([*patterns, None, *patterns])
        assert starts.tolist()[:2] == starts.tolist()[3:] and starts[2] == constrained.FREE
        assert len(tables.left) <= 64
    assert len(compiled) in (4, 6)
    again, same = found.of(patterns)
    assert same is tables and again.tolist() == starts.tolist()[:2]
