"""METEOR against nltk's, CIDEr-D against COCO's caption tools, plain CIDEr against scikit-learn."""

import random
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nltk.translate.meteor_score import meteor_score, single_meteor_score
from pycocoevalcap.cider.cider_scorer import CiderScorer
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.metrics.pairwise import cosine_similarity

from surgzoo.metrics import caption, text

PIECES = (
    "the hook grasper dissects dissecting retracts retracted cystic duct ducts clipping clips a"
)
sentences = st.lists(st.sampled_from(PIECES.split()), max_size=14).map(" ".join)


class NoSynonyms:
    """WordNet without a word in it."""

    def synsets(self, word):
        return []


@settings(max_examples=400, deadline=None)
@given(truth=sentences, said=sentences)
def test_meteor_is_that_of_nltk(truth, said):
    oracle = single_meteor_score(truth.split(), said.split(), wordnet=NoSynonyms())
    assert caption.meteor(truth, said) == pytest.approx(oracle)


@settings(max_examples=100, deadline=None)
@given(several=st.lists(sentences, min_size=1, max_size=4), said=sentences)
def test_meteor_takes_the_best_reference(several, said):
    oracle = meteor_score([one.split() for one in several], said.split(), wordnet=NoSynonyms())
    assert caption.meteor(several, said) == pytest.approx(oracle)


def test_meteor_by_hand():
    # 2 of 3 words said match 2 of 4 ("hook" and, by its stem, "dissects"), in two chunks of one.
    mean = (2 / 3) * (1 / 2) / (0.9 * (2 / 3) + 0.1 * (1 / 2))
    found = caption.meteor("the hook is dissecting", "hook quickly dissects")
    assert found == pytest.approx(mean * 0.5)
    assert caption.meteor("A hook.", "a HOOK") == pytest.approx(1 - 0.5 / 8)
    assert caption.meteor("hook", None) == caption.meteor("", "hook") == caption.meteor("", "") == 0
    with pytest.raises(ValueError, match="needs a reference"):
        caption.meteor([], "hook")


def oracle(references, said):
    scorer = CiderScorer(n=4, sigma=6.0)
    for several, line in zip(references, said, strict=True):
        scorer += (line, several)
    return scorer.compute_score()[1]


def corpus(seed, texts, most):
    rng = random.Random(seed)
    make = lambda low: " ".join(rng.choices(PIECES.split(), k=rng.randint(low, 15)))  # noqa: E731
    references = [[make(1) for _ in range(rng.randint(1, most))] for _ in range(texts)]
    said = [rng.choice(several) if rng.random() < 0.4 else make(0) for several in references]
    return references, said


@pytest.mark.parametrize("texts", [2, 7, 40])
@pytest.mark.parametrize("most", [1, 5])
@pytest.mark.parametrize("seed", range(3))
def test_cider_d_is_that_of_the_caption_tools(texts, most, seed):
    references, said = corpus(seed, texts, most)
    found = caption.cider_d(references, said)
    np.testing.assert_allclose(found, oracle(references, said), atol=1e-9)


def test_cider_d_where_little_can_be_said():
    # One word in all documents weighs nothing; empty answers get nothing; a perfect short answer
    # has two of four orders.
    references = [["the"], ["the"], ["cystic duct"], ["hook cuts the liver"]]
    said = ["the", "", "cystic duct", "hook cuts the liver"]
    found = caption.cider_d(references, said)
    np.testing.assert_allclose(found, oracle(references, said), atol=1e-12)
    assert found[2] == pytest.approx(5) and found[3] == pytest.approx(10)
    np.testing.assert_allclose(caption.cider_d(references, [None] * 4), 0)
    assert np.isnan(caption.cider_d(["a hook"], ["a hook"])).all()
    assert caption.cider_d([], []).shape == (0,)
    with pytest.raises(ValueError, match="1 references but 2"):
        caption.cider_d(["a"], ["a", "b"])
    with pytest.raises(ValueError, match="needs a reference"):
        caption.cider_d([[], ["a"]], ["a", "b"])


@pytest.mark.parametrize("seed", range(3))
def test_plain_cider_is_a_cosine_of_weights(seed):
    references, said = corpus(seed, 30, 1)
    truth = [several[0] for several in references]
    wanted = np.zeros(30)
    for order in text.ORDERS:
        counts = CountVectorizer(ngram_range=(order, order), token_pattern=r"\S+")
        counts.fit([*truth, *said])
        rows, mine = counts.transform(truth).toarray(), counts.transform(said).toarray()
        idf = np.log(30) - np.log(np.maximum((rows > 0).sum(0), 1))
        wanted += 10 / 4 * np.diag(cosine_similarity(rows * idf, mine * idf))
    np.testing.assert_allclose(caption.cider(truth, said), wanted, atol=1e-9)


def test_measures_are_those_of_the_single_functions():
    references, said = corpus(1, 40, 1)
    truth = [several[0] for several in references] * 2
    said = [*said, *reversed(said)]
    found = caption.measures(truth, said)
    assert list(found) == [f"bleu{k}" for k in text.ORDERS] + [
        "rouge_1",
        "rouge_l",
        "meteor",
        "cider_d",
    ]
    assert found["bleu2"] == text.bleu(truth, said)[2]
    for name, single in (("rouge_1", text.rouge_1), ("meteor", caption.meteor)):
        assert found[name] == pytest.approx(np.mean([*map(single, truth, said)]))
    assert found["cider_d"] == pytest.approx(np.mean(caption.cider_d(truth, said)))
    assert all(np.isnan(value) for value in caption.measures([], []).values())


def test_many_answers_take_seconds():
    references, said = corpus(0, 1000, 1)
    truth = [f"{several[0]} {k}" for k in range(25) for several in references]
    started = time.process_time()
    caption.measures(truth, said * 25)  # 25,000 different ones
    assert time.process_time() - started < 15  # about 3 s


def test_answers_that_are_alike_cost_nothing():
    truth, said = ["the hook cuts the duct", "the clip"] * 50_000, ["the hook cuts", None] * 50_000
    started = time.process_time()
    found = caption.measures(truth, said)
    assert time.process_time() - started < 3
    assert found["rouge_l"] == pytest.approx(2 * 3 / 8 / 2)
