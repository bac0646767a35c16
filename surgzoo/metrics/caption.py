"""Sentences against one reference or several: METEOR and CIDEr.

Words are those of `text.words`. A prediction of None, an answer that could not be read, is an empty
text. METEOR is a fraction in [0, 1], CIDEr runs from 0 to 10.

COCO's caption tools split the text by the Penn treebank's rules first, so their numbers differ from
these where words hold marks ("left-top" is one word there and two here).
"""

from __future__ import annotations

import collections
import math
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from surgzoo.metrics.stem import stem
from surgzoo.metrics.text import ORDERS, Counted, bleu, common, counted, rouge_1, rouge_l, words

_SIGMA = 6.0  # of CIDEr-D's penalty for another length


def meteor(references: str | Sequence[str], prediction: str | None) -> float:
    """METEOR of one text, the best over its references.

    Lavie and Agarwal, "METEOR: an automatic metric for MT evaluation with high levels of
    correlation with human judgments", WMT 2007, with its parameters: the harmonic mean of precision
    and recall that weighs recall 9 to 1, less up to a half for words matched out of order
    (0.5 (chunks / matches)^3). Two stages: words that are equal, then words with one Porter stem.
    The third, synonyms of WordNet, is left out, as it takes a download; nltk's `meteor_score` with
    an empty WordNet gives the same numbers, which also match the last places first, not those with
    the fewest crossings. The truth itself scores 1 - 0.5 / words^3: 0.5 for a single word.

    0 without a match; a text without a word has none. Raises ValueError without a reference.
    """
    said = words(prediction)
    several = [references] if isinstance(references, str) else references
    if not several:
        raise ValueError("METEOR needs a reference")
    return max(_meteor(words(reference), said) for reference in several)


def _meteor(wanted: Sequence[str], said: Sequence[str]) -> float:
    pairs: dict[int, int] = {}  # place in `said` -> place in `wanted`
    if wanted == said:
        pairs = {place: place for place in range(len(said))}
    else:
        _pair(said, wanted, pairs)
        if len(pairs) < min(len(said), len(wanted)):
            _pair([stem(word) for word in said], [stem(word) for word in wanted], pairs)
    if not pairs:
        return 0.0
    matches, chunks, before = len(pairs), 0, (-2, -2)
    for pair in sorted(pairs.items()):
        chunks += pair != (before[0] + 1, before[1] + 1)
        before = pair
    precision, recall = matches / len(said), matches / len(wanted)
    mean = precision * recall / (0.9 * precision + 0.1 * recall)
    return mean * (1 - 0.5 * (chunks / matches) ** 3)


def _pair(said: Sequence[str], wanted: Sequence[str], pairs: dict[int, int]) -> None:
    """Adds pairs of equal words that are still free, from the end of both texts."""
    taken = set(pairs.values())
    free = collections.defaultdict(list)
    for place, word in enumerate(wanted):
        if place not in taken:
            free[word].append(place)
    for place in reversed(range(len(said))):
        if place not in pairs and free.get(said[place]):
            pairs[place] = free[said[place]].pop()


def cider_d(
    references: Sequence[str | Sequence[str]], prediction: Sequence[str | None]
) -> Float[np.ndarray, " N"]:
    """CIDEr-D of each text, from 0 to 10: what the field's tools print as "CIDEr".

    Vedantam et al., "CIDEr: consensus-based image description evaluation", CVPR 2015, section on
    CIDEr-D, as COCO's `cider` package computes it: tf-idf weights of the 1- to 4-grams, document
    frequencies counted over the references of these very texts, weights of the prediction clipped
    to those of the reference, a Gaussian penalty (sigma 6) on the difference in length (counted in
    pairs of words, as that package does), mean over the orders and references, times 10. Words are
    not stemmed. As the weights depend on all texts, values of different sets, or of the videos of
    one set, do not compare. A text with less than four words cannot reach 10.

    All NaN for a single text, whose every word is in every document: no weight is left. Raises
    ValueError if the lengths differ or a text has no reference.
    """
    return _cider(references, prediction, clipped=True)


def cider(
    references: Sequence[str | Sequence[str]], prediction: Sequence[str | None]
) -> Float[np.ndarray, " N"]:
    """Plain CIDEr of each text, times 10: the cosine of the tf-idf weights, without the clipping
    and the penalty of `cider_d`, else the same. The paper's other form; no common tool prints it.
    """
    return _cider(references, prediction, clipped=False)


def measures(truth: Sequence[str], prediction: Sequence[str | None]) -> dict[str, float]:
    """The means over texts that a table shows: bleu1 to bleu4, rouge_1, rouge_l, meteor, cider_d.

    One reference a text; BLEU is of the corpus. Raises ValueError if the lengths differ.
    """
    out = {f"bleu{order}": value for order, value in bleu(truth, prediction).items()}
    pairs = collections.Counter(zip(truth, prediction, strict=True))  # many answers are alike
    for name, measure in (("rouge_1", rouge_1), ("rouge_l", rouge_l), ("meteor", meteor)):
        total = sum(times * measure(*pair) for pair, times in pairs.items())
        out[name] = total / len(truth) if truth else math.nan
    return {**out, "cider_d": float(np.mean(cider_d(truth, prediction))) if truth else math.nan}


def _cider(
    references: Sequence[str | Sequence[str]], prediction: Sequence[str | None], *, clipped: bool
) -> Float[np.ndarray, " N"]:
    if len(references) != len(prediction):
        raise ValueError(f"{len(references)} references but {len(prediction)} predictions")
    several = [[item] if isinstance(item, str) else list(item) for item in references]
    if not all(several):
        raise ValueError("every text needs a reference")
    if len(several) < 2:
        return np.full(len(several), math.nan)
    # Many answers are alike: each different one is looked at once, and counts `times` documents.
    numbers: dict[tuple, int] = {}
    items = [(*item, text) for item, text in zip(several, prediction, strict=True)]
    where = np.array([numbers.setdefault(item, len(numbers)) for item in items])
    texts, times = len(numbers), np.bincount(where)
    owner = np.repeat(np.arange(texts), [len(item) - 1 for item in numbers])  # of each reference
    wanted = [words(reference) for item in numbers for reference in item[:-1]]
    answers = [words(item[-1]) for item in numbers]
    said = [answers[text] for text in owner]  # once for each reference
    similarity = np.zeros(len(owner))
    for table in counted([*wanted, *said]):
        there, given = table.of(0, len(owner)), table.of(len(owner), 2 * len(owner))
        documents = np.unique(owner[there.text] * table.kinds + there.gram)
        frequency = np.bincount(
            documents % table.kinds, times[documents // table.kinds], minlength=table.kinds
        )
        idf = math.log(len(items)) - np.log(np.maximum(frequency, 1))
        a, b = common(there, given)
        weight, mine = there.count * idf[there.gram], given.count * idf[given.gram]
        kept = np.minimum(mine[b], weight[a]) if clipped else mine[b]
        product = np.bincount(there.text[a], kept * weight[a], minlength=len(owner))
        norms = _norm(there, weight, len(owner)) * _norm(given, mine, len(owner))
        similarity += np.divide(product, norms, out=np.zeros(len(owner)), where=norms > 0)
    if clipped:
        apart = np.array([max(len(text) - 1, 0) for text in said], float)
        apart -= [max(len(text) - 1, 0) for text in wanted]
        similarity *= np.exp(-(apart**2) / (2 * _SIGMA**2))
    share = np.bincount(owner, similarity, minlength=texts) / np.bincount(owner)
    return (10 * share / len(ORDERS))[where]


def _norm(table: Counted, weight: np.ndarray, texts: int) -> Float[np.ndarray, " N"]:
    return np.sqrt(np.bincount(table.text, weight**2, minlength=texts))
