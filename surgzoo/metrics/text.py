"""Free text against references: BLEU-1 to BLEU-4, the best BLEU of several references, ROUGE.

Words are runs of letters and digits in lower case, for both sides (the tokens of the rouge-score
package, which every measure of text here shares; METEOR and CIDEr are in `caption.py`). A
prediction of None, an answer that could not be read, is an empty text. All values are fractions in
[0, 1].
"""

from __future__ import annotations

import collections
import math
import re
from collections.abc import Hashable, Iterable, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Int

_WORD = re.compile(r"[^\W_]+")
ORDERS = (1, 2, 3, 4)


def words(text: str | None) -> list[str]:
    """Lower-case words without punctuation; [] for None."""
    return _WORD.findall((text or "").lower())


def ngrams(tokens: Sequence[str], order: int) -> collections.Counter:
    """How often each run of `order` tokens occurs."""
    return collections.Counter(zip(*(tokens[i:] for i in range(order)), strict=False))


class Counted(NamedTuple):
    """How often each n-gram of one order occurs in each of many texts, sorted by text and n-gram.

    N-grams are numbers from 0 to `kinds`, the same ones for all texts.
    """

    text: Int[np.ndarray, " K"]
    gram: Int[np.ndarray, " K"]
    count: Int[np.ndarray, " K"]
    kinds: int

    def of(self, first: int, last: int) -> Counted:
        """The part for texts first to last - 1, which become texts 0, 1, ..."""
        low, high = np.searchsorted(self.text, (first, last))
        return Counted(
            self.text[low:high] - first, self.gram[low:high], self.count[low:high], self.kinds
        )

    @property
    def key(self) -> Int[np.ndarray, " K"]:
        """One number for text and n-gram, sorted."""
        return self.text * self.kinds + self.gram


def counted(texts: Iterable[Sequence[str]], most: int = ORDERS[-1]) -> list[Counted]:
    """The n-grams of orders 1 to `most` of texts as tokens. Arrays, as corpora may be large."""
    numbers: dict[str, int] = {}
    lengths, tokens = [], []
    for text in texts:
        lengths.append(len(text))
        tokens.extend(numbers.setdefault(token, len(numbers)) for token in text)
    token, size = np.array(tokens, np.int64), max(len(numbers), 1)
    owner = np.repeat(np.arange(len(lengths)), lengths)
    gram, out = token.copy(), []  # gram[p]: the number of the n-gram that begins at p
    for order in range(1, most + 1):
        ends = np.arange(order - 1, len(token))
        starts = ends[owner[ends] == owner[ends - order + 1]] - order + 1
        if order > 1:
            gram[starts] = gram[starts] * size + token[starts + order - 1]
        different, gram[starts] = np.unique(gram[starts], return_inverse=True)
        kinds = max(len(different), 1)
        key, count = np.unique(owner[starts] * kinds + gram[starts], return_counts=True)
        out.append(Counted(key // kinds, key % kinds, count, kinds))
    return out


def common(first: Counted, second: Counted) -> tuple[Int[np.ndarray, " M"], Int[np.ndarray, " M"]]:
    """Rows of two parts of one table that hold the same n-gram of the same text."""
    _, a, b = np.intersect1d(first.key, second.key, assume_unique=True, return_indices=True)
    return a, b


def bleu(truth: Sequence[str], prediction: Sequence[str | None]) -> dict[int, float]:
    """Corpus BLEU of each order 1 to 4, with one reference a text and without smoothing.

    Geometric mean of the clipped n-gram precisions up to the order, times the brevity penalty
    (Papineni et al., ACL 2002). An order without any match makes its BLEU 0, and so do predictions
    that are all shorter than the order. An order that no reference is long enough for is undefined,
    NaN, whatever is said: one-word answers have no BLEU-2. Raises ValueError if the lengths differ.
    """
    _same_length(truth, prediction)
    pairs = collections.Counter(zip(truth, prediction, strict=True))  # many answers are alike
    times = np.array(list(pairs.values()), np.int64)
    wanted, said = [words(text) for text, _ in pairs], [words(text) for _, text in pairs]
    wanted_length, said_length = (
        int(times @ np.array([len(text) for text in side], np.int64)) for side in (wanted, said)
    )
    longest = max(map(len, wanted), default=0)
    if said_length:
        penalty = min(1.0, math.exp(1 - wanted_length / said_length))
    out, logs = {}, 0.0
    for order, table in zip(ORDERS, counted([*wanted, *said]), strict=True):
        there, given = table.of(0, len(pairs)), table.of(len(pairs), 2 * len(pairs))
        a, b = common(there, given)
        matched = int(np.minimum(there.count[a], given.count[b]) @ times[there.text[a]])
        possible = int(given.count @ times[given.text])
        logs += math.log(matched / possible) if matched else -math.inf
        if longest < order:
            out[order] = math.nan
        else:
            out[order] = penalty * math.exp(logs / order) if said_length else 0.0
    return out


def best_bleu(references: Sequence[Sequence[str]], prediction: Sequence[str | None]) -> float:
    """Mean over texts of the best sentence BLEU-4 that any of a text's references gives it.

    SurgVU's questions have five references each and score the best. Which smoothing its organisers
    use is not public; here it is sacrebleu's for sentences: orders up to the length of the answer,
    and the k-th order without a match counts as 1 / 2^k of a match (NIST). NaN without a text.
    Raises ValueError if the lengths differ or a text has no reference.
    """
    _same_length(references, prediction)
    values = [
        max(sentence_bleu(reference, text) for reference in _some(several))
        for several, text in zip(references, prediction, strict=True)
    ]
    return float(np.mean(values)) if values else math.nan


def sentence_bleu(truth: str, prediction: str | None) -> float:
    """BLEU-4 of one text against one reference, smoothed as `best_bleu` says."""
    wanted, said = words(truth), words(prediction)
    logs, misses, orders = 0.0, 0, min(len(said), ORDERS[-1])
    for order in range(1, orders + 1):
        matched = (ngrams(wanted, order) & ngrams(said, order)).total()
        if order == 1 and not matched:
            return 0.0
        misses += not matched
        logs += math.log((matched or 0.5**misses) / (len(said) - order + 1))
    if not orders:
        return 0.0
    return min(1.0, math.exp(1 - len(wanted) / len(said))) * math.exp(logs / orders)


def common_length(first: Sequence[Hashable], second: Sequence[Hashable]) -> int:
    """Length of the longest common subsequence."""
    # A bit for each place in `second`, 0 where the table of lengths steps up; adding carries the
    # bits of a row of the table to the next one (Crochemore et al., IPL 2001; Hyyro 2004).
    places: dict[Hashable, int] = {}
    for place, token in enumerate(second):
        places[token] = places.get(token, 0) | 1 << place
    everything = (1 << len(second)) - 1
    row = everything
    for token in first:
        steps = row & places.get(token, 0)
        row = (row + steps) | (row - steps)
    return len(second) - (row & everything).bit_count()


def overlap_f1(first: Sequence[Hashable], second: Sequence[Hashable]) -> float:
    """F1 of the longest common subsequence of two sequences; 1 when both are empty."""
    if not first and not second:
        return 1.0
    return 2 * common_length(first, second) / (len(first) + len(second))


def rouge_l(truth: str, prediction: str | None) -> float:
    """ROUGE-L of one text: F1 of the longest common subsequence of words (Lin, 2004)."""
    return overlap_f1(words(truth), words(prediction))


def rouge_1(truth: str, prediction: str | None) -> float:
    """ROUGE-1 of one text: F1 of the words, each as often as it occurs (Lin, 2004).

    1 when neither text has a word.
    """
    wanted, said = collections.Counter(words(truth)), collections.Counter(words(prediction))
    total = wanted.total() + said.total()
    return 2 * (wanted & said).total() / total if total else 1.0


def _same_length(references: Sequence, prediction: Sequence) -> None:
    if len(references) != len(prediction):
        raise ValueError(f"{len(references)} references but {len(prediction)} predictions")


def _some(references: Sequence[str]) -> Sequence[str]:
    if isinstance(references, str) or not references:
        raise ValueError(f"a text needs a list of one reference or more, not {references!r}")
    return references
