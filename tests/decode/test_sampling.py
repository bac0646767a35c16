"""Drawing tokens: the cuts against transformers, the frequencies against the probabilities."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from counting import PARAMS, VOCAB, Count, Counting, CountingConfig, grouped, prompts
from scipy import stats

from surgzoo.decode import sampling
from surgzoo.decode.loop import make_generate
from surgzoo.decode.sampling import Sampling
from surgzoo.models.base import Model

CUTS = (
    Sampling(0.7),
    Sampling(1.3, top_k=5),
    Sampling(0.5, top_p=0.8),
    Sampling(1.0, min_p=0.1),
    Sampling(2.0, top_k=20, top_p=0.6),
    Sampling(0.9, top_k=40, top_p=0.95, min_p=0.05),
    Sampling(1.0, top_k=1000, top_p=1e-6),
)


@pytest.mark.parametrize("how", CUTS)
def test_cuts_equal_transformers(how):
    torch = pytest.importorskip("torch")
    from transformers import (
        LogitsProcessorList,
        MinPLogitsWarper,
        TemperatureLogitsWarper,
        TopKLogitsWarper,
        TopPLogitsWarper,
    )

    logits = 3 * np.random.default_rng(0).normal(size=(16, 300)).astype(np.float32)
    theirs = LogitsProcessorList([TemperatureLogitsWarper(how.temperature)])
    if how.top_k:
        theirs.append(TopKLogitsWarper(how.top_k))
    if how.top_p < 1:
        theirs.append(TopPLogitsWarper(how.top_p))
    if how.min_p:
        theirs.append(MinPLogitsWarper(how.min_p))
    expected = theirs(None, torch.tensor(logits)).numpy()
    found = np.asarray(sampling.warp(jnp.asarray(logits), how))
    np.testing.assert_array_equal(np.isfinite(found), np.isfinite(expected))
    np.testing.assert_allclose(found, expected, rtol=1e-6)
    assert np.isfinite(found).any(axis=1).all()


def test_equal_logits_stay_or_go_together():
    logits = jnp.log(jnp.array([[0.4, 0.2, 0.2, 0.1, 0.1]]))
    kept = np.isfinite(sampling.warp(logits, Sampling(top_k=2)))
    assert kept.tolist() == [[True, True, True, False, False]]
    kept = np.isfinite(sampling.warp(logits, Sampling(top_p=0.5)))
    assert kept.tolist() == [[True, True, True, False, False]]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"temperature": 0.0}, "temperature must be above 0"),
        ({"top_k": -1}, "top_k must be"),
        ({"top_p": 0.0}, "top_p must be"),
        ({"top_p": 1.5}, "top_p must be"),
        ({"min_p": 1.0}, "min_p must be"),
    ],
)
def test_values_out_of_range(values, message):
    with pytest.raises(ValueError, match=message):
        Sampling(**values)


@dataclasses.dataclass(frozen=True)
class FixedConfig(CountingConfig):
    pass


class Fixed(Counting):
    """Follows each token with its own fixed distribution, whatever was read before."""

    def extend(self, cache, tokens, positions=None):
        return self.table[...][tokens], Count(tokens[:, -1])


MODEL = Model(FixedConfig(), Fixed)
LOGITS = {"table": np.random.default_rng(1).normal(size=(VOCAB, VOCAB)).astype(np.float32) * 2}


def ask(rows, how, names, samples=1, new=6, seed=0):
    slots = max(map(len, rows))
    batch = grouped(*rows, slots=slots)
    flat = [name for row in names for name in [*row, *[""] * (slots - len(row))]]
    keys = sampling.keys_of(flat, seed).reshape(len(rows), slots, 2)
    generate = make_generate(MODEL, new, 0, how, samples)
    return jax.device_get(generate(LOGITS, batch | {"keys": keys}))


@pytest.mark.parametrize("how", [Sampling(1.0), Sampling(0.8, top_k=10, top_p=0.9)])
def test_frequencies(how):
    """Of 4,000 answers to each of two prompts: chi-squared against the cut distribution."""
    names = [[f"{prompt}/{n}"] for prompt in (7, 9) for n in range(4000)]
    out = ask([[7]] * 4000 + [[9]] * 4000, how, names, new=2)
    tokens = out.tokens.reshape(2, 4000, 2)
    logits = sampling.warp(jnp.asarray(LOGITS["table"]), how)
    expected = np.asarray(jax.nn.softmax(logits, axis=-1), np.float64)

    def agrees(found, probabilities):
        counts = np.bincount(found, minlength=VOCAB)
        assert not counts[probabilities == 0].any()
        likely = probabilities * len(found) >= 5
        counts = np.array([*counts[likely], counts[~likely].sum()])
        wanted = np.array([*probabilities[likely], probabilities[~likely].sum()])
        counts, wanted = counts[wanted > 0], wanted[wanted > 0]
        return stats.chisquare(counts, wanted / wanted.sum() * counts.sum()).pvalue > 1e-3

    for question, prompt in enumerate((7, 9)):
        assert agrees(tokens[question, :, 0], expected[prompt])
        assert not agrees(tokens[question, :, 0], expected[8] + 1e-3)  # it can tell
        first = np.argmax(np.bincount(tokens[question, tokens[question, :, 0] != 0, 0]))
        following = tokens[question, tokens[question, :, 0] == first, 1]  # the second token as well
        assert len(following) > 300 and agrees(following, expected[first])


def test_an_answer_does_not_depend_on_its_batch():
    together = ask([[3, 4, 5, 6], [7]], Sampling(1.0), [["a", "b", "c", "d"], ["e"]])
    for place, (prompt, name) in enumerate(zip((3, 4, 5, 6, 7), "abcde", strict=True)):
        alone = ask([[prompt]], Sampling(1.0), [[name]])
        for one, all_of_it in zip(alone, together, strict=True):
            np.testing.assert_array_equal(one[0], all_of_it[place])
    other_seed = ask([[3]], Sampling(1.0), [["a"]], seed=1)
    other_name = ask([[3]], Sampling(1.0), [["z"]])
    assert other_seed.tokens[0].tolist() != together.tokens[0].tolist()
    assert other_name.tokens[0].tolist() != together.tokens[0].tolist()


def test_samples_of_a_question_stand_beside_each_other():
    names = [["a", "b"], ["c", "d"]]
    many = ask([[3, 4], [5, 6]], Sampling(1.0), names, samples=3)
    one = ask([[3, 4], [5, 6]], Sampling(1.0), names)
    assert many.tokens.shape == (12, 6)
    np.testing.assert_array_equal(many.tokens[::3], one.tokens)
    assert len(set(map(tuple, many.tokens.tolist()))) > 8


def test_log_probabilities():
    """Of the tokens to the model, and by the distribution that was drawn from; 0 after the end."""
    how = Sampling(0.7, top_k=8)
    out = ask([[3, 4, 5], [6]], how, [["a", "b", "c"], ["d"]], samples=4, new=9)
    model = np.asarray(jax.nn.log_softmax(LOGITS["table"], axis=-1))
    cut = sampling.warp(jnp.asarray(LOGITS["table"]), how)
    cut = np.asarray(jax.nn.log_softmax(cut, axis=-1))
    for row, before in zip(range(24), np.repeat([3, 4, 5, 6, 0, 0], 4), strict=True):
        length = out.lengths[row]
        assert not out.logprobs[row, length:].any() and not out.drawn[row, length:].any()
        for step in range(length):
            token = out.tokens[row, step]
            np.testing.assert_allclose(out.logprobs[row, step], model[before, token], rtol=1e-5)
            np.testing.assert_allclose(
                out.drawn[row, step], cut[before, token], rtol=1e-4, atol=1e-6
            )
            before = token
    assert out.lengths[:16].min() > 0 and not out.lengths[16:].any()


def test_a_low_temperature_is_greedy():
    model = Model(CountingConfig(), Counting)
    batch = prompts([3, 4], [7], [20]) | {"keys": sampling.keys_of("abc", 0)[:, None]}
    cold = make_generate(model, 6, 9, Sampling(1e-3))(PARAMS, batch)
    greedy = make_generate(model, 6, 9)(PARAMS, batch)
    np.testing.assert_array_equal(cold.tokens, greedy.tokens)
    assert greedy.logprobs is None


def test_greedy_samples_are_refused():
    with pytest.raises(ValueError, match="3 greedy samples are all the same"):
        make_generate(MODEL, 4, 0, None, 3)
    with pytest.raises(ValueError, match="samples must be positive"):
        make_generate(MODEL, 4, 0, Sampling(), 0)
