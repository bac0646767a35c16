"""BLEU and ROUGE against sacrebleu and rouge-score, and by hand."""

import math
import random

import pytest
import sacrebleu
from hypothesis import given
from hypothesis import strategies as st
from rouge_score import rouge_scorer

from surgzoo.metrics import text

WORDS = "the hook grasper dissects retracts cystic duct gallbladder while , . then Liver"
PIECES = WORDS.split()
sentences = st.lists(st.sampled_from(PIECES), min_size=1, max_size=25).map(" ".join)


def corpus(seed, size=40):
    rng = random.Random(seed)
    truth = [" ".join(rng.choices(PIECES, k=rng.randint(4, 20))) for _ in range(size)]
    said = [
        " ".join(w if rng.random() < 0.8 else rng.choice(PIECES) for w in line.split())
        for line in truth
    ]
    return truth, [line if rng.random() < 0.9 else line[: len(line) // 2] for line in said]


@pytest.mark.parametrize("seed", range(5))
def test_bleu_is_that_of_sacrebleu(seed):
    truth, said = corpus(seed)
    found = text.bleu(truth, said)
    truth, said = ([" ".join(text.words(line)) for line in lines] for lines in (truth, said))
    for order in text.ORDERS:
        oracle = sacrebleu.metrics.BLEU(
            tokenize="none", smooth_method="none", max_ngram_order=order, force=True
        ).corpus_score(said, [truth])
        assert found[order] == pytest.approx(oracle.score / 100, abs=1e-9)


@given(truth=sentences, said=sentences)
def test_rouge_l_is_that_of_rouge_score(truth, said):
    oracle = rouge_scorer.RougeScorer(["rougeL"], use_stemmer=False).score(truth, said)
    if text.words(truth) and text.words(said):
        assert text.rouge_l(truth, said) == pytest.approx(oracle["rougeL"].fmeasure)


@given(truth=sentences, said=sentences)
def test_rouge_1_is_that_of_rouge_score(truth, said):
    oracle = rouge_scorer.RougeScorer(["rouge1"], use_stemmer=False).score(truth, said)
    if text.words(truth) and text.words(said):
        assert text.rouge_1(truth, said) == pytest.approx(oracle["rouge1"].fmeasure)


@given(truth=sentences, said=sentences | st.just(""))
def test_sentence_bleu_is_that_of_sacrebleu(truth, said):
    lines = [" ".join(text.words(line)) for line in (said, truth)]
    oracle = sacrebleu.sentence_bleu(lines[0], [lines[1]], tokenize="none")
    assert text.sentence_bleu(truth, said) == pytest.approx(oracle.score / 100)


def test_the_best_reference_counts():
    references = [["a needle driver", "the needle driver is held"], ["yes"]]
    found = text.best_bleu(references, ["needle driver", "yes."])
    best = max(text.sentence_bleu(line, "needle driver") for line in references[0])
    assert found == pytest.approx((best + 1) / 2)
    assert text.best_bleu(references, [None, "no"]) == 0
    assert math.isnan(text.best_bleu([], []))
    with pytest.raises(ValueError, match="list of one reference"):
        text.best_bleu(["yes"], ["yes"])
    with pytest.raises(ValueError, match="1 references but 0"):
        text.best_bleu([["yes"]], [])


@given(st.lists(st.lists(st.sampled_from("abc"), max_size=7), max_size=5))
def test_counted_against_counters(lists):
    for order, table in zip(text.ORDERS, text.counted(lists), strict=True):
        assert table.count.sum() == sum(max(len(tokens) - order + 1, 0) for tokens in lists)
        assert len(table.count) == sum(len(text.ngrams(tokens, order)) for tokens in lists)
        for number, tokens in enumerate(lists):
            mine = table.of(number, number + 1)
            assert sorted(mine.count) == sorted(text.ngrams(tokens, order).values())
            assert not mine.text.any()


def test_bleu_by_hand():
    # "the hook cuts" against "the hook cuts the duct": 3 of 3 words, 2 of 2 pairs, 1 of 1 triple.
    found = text.bleu(["the hook cuts the duct"], ["the hook cuts"])
    penalty = math.exp(1 - 5 / 3)
    assert found == pytest.approx({1: penalty, 2: penalty, 3: penalty, 4: 0.0})
    # A word said four times counts only as often as the reference has it.
    assert text.bleu(["the duct"], ["the the the the"])[1] == pytest.approx(1 / 4)


def test_rouge_l_by_hand():
    # Longest common subsequence "the grasper the liver": 4 of 5 and 4 of 6 words.
    value = text.rouge_l("the grasper lifts the liver", "the grasper then cuts the liver")
    assert value == pytest.approx(2 * 4 / 11)


def test_ends_of_the_range():
    assert set(text.bleu(["a b c d e"], ["a b c d e"]).values()) == {1.0}
    assert set(text.bleu(["a b c d e"], [None]).values()) == {0.0}
    assert set(text.bleu(["a b c d e"], ["x y"]).values()) == {0.0}
    short = text.bleu(["hook", "no hook"], ["hook", None])  # no answer could have three words
    assert short[1] == pytest.approx(math.exp(1 - 3 / 1)) and short[2] == 0
    assert math.isnan(short[3]) and math.isnan(short[4])
    assert math.isnan(text.bleu(["hook"], ["the hook cuts"])[2])
    assert all(math.isnan(value) for value in text.bleu([], []).values())
    assert text.rouge_1("a hook", None) == 0.0 and text.rouge_1("", "") == 1.0
    assert text.rouge_l("A hook.", "a HOOK") == 1.0
    assert text.rouge_l("a hook", None) == 0.0
    assert text.overlap_f1([], []) == 1.0
    with pytest.raises(ValueError, match="1 references but 2"):
        text.bleu(["a"], ["a", "b"])


numbers = st.lists(st.integers(0, 3), max_size=12)


@given(first=numbers, second=numbers)
def test_common_length_against_the_textbook_table(first, second):
    rows = [[0] * (len(second) + 1) for _ in range(len(first) + 1)]
    for i, a in enumerate(first):
        for j, b in enumerate(second):
            rows[i + 1][j + 1] = rows[i][j] + 1 if a == b else max(rows[i][j + 1], rows[i + 1][j])
    assert text.common_length(first, second) == rows[-1][-1]
