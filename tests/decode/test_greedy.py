"""The decoding loop on a model that counts upwards; real models are tested in tests/models."""

import jax
import numpy as np
import pytest
from counting import PARAMS, Counting, CountingConfig, grouped, prompts

from surgzoo.decode.greedy import make_greedy
from surgzoo.models.base import Model


@pytest.fixture(scope="module")
def model():
    return Model(CountingConfig(), Counting)


def test_counts_until_the_end_token(model):
    out = make_greedy(model, 6, 9)(PARAMS, prompts([3, 4], [7], [1, 2, 8], [20]))
    assert out.tokens.tolist() == [
        [5, 6, 7, 8, 9, 0],
        [8, 9, 0, 0, 0, 0],
        [9, 0, 0, 0, 0, 0],
        [21, 22, 23, 24, 25, 26],
    ]
    assert out.lengths.tolist() == [5, 2, 1, 6]


def test_several_end_tokens_and_one_new_token(model):
    assert make_greedy(model, 9, (9, 12))(PARAMS, prompts([6], [10])).lengths.tolist() == [3, 2]
    out = make_greedy(model, 1, 9)(PARAMS, prompts([6], [8]))
    assert (out.tokens.tolist(), out.lengths.tolist()) == ([[7], [9]], [1, 1])


def test_compiles_once_a_shape(model):
    generate = make_greedy(model, 4, 9)
    for rows in (([1], [2]), ([5], [6]), ([1, 2], [3]), ([4], [5, 6])):
        generate(PARAMS, prompts(*rows))
    assert generate._cache_size() == 2


def test_needs_room(model):
    with pytest.raises(ValueError, match="must be positive"):
        make_greedy(model, 0, 9)


@pytest.mark.parametrize("slots", [1, 2, 4, 8])
def test_questions_of_a_row_end_one_by_one(model, slots):
    """Answers of all lengths: whoever is done leaves, in any order, and keeps its place."""
    rng = np.random.default_rng(slots)
    rows = [rng.integers(1, 30, rng.integers(1, slots + 1)).tolist() for _ in range(5)]
    out = make_greedy(model, 12, 20)(PARAMS, grouped(*rows, slots=slots))
    assert out.tokens.shape == (5 * slots, 12)
    for place in range(5 * slots):
        row, slot = divmod(place, slots)
        said = []
        if slot < len(rows[row]):
            first = rows[row][slot]
            said = list(range(first + 1, first + 13))
            said = said[: said.index(20) + 1] if 20 in said else said
        assert out.lengths[place] == len(said)
        assert out.tokens[place].tolist() == said + [0] * (12 - len(said))


def test_long_answers_go_on_without_the_short_ones(model):
    """The loops run over ever fewer rows: 16, then 8, then 4."""
    text = make_greedy(model, 8, 9).lower(PARAMS, grouped([1] * 8, [2] * 8, slots=8)).as_text()
    assert text.count("stablehlo.while") >= 3
    for rows in (16, 8, 4):
        assert f"tensor<{rows}x8xi32>" in text


def test_nothing_asked_costs_no_step(model):
    batch = grouped([3, 4], [], slots=2)
    batch["ends"][:] = -1
    out = make_greedy(model, 4, 9)(PARAMS, batch)
    assert not jax.device_get(out.lengths).any() and not jax.device_get(out.tokens).any()
