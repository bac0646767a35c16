"""Free text against one reference: BLEU-1 to BLEU-4 over a corpus, ROUGE-L of a sentence.

Words are runs of letters and digits in lower case, for both (the tokens of the rouge-score
package). A prediction of None, an answer that could not be read, is an empty text. All values are
fractions in [0, 1].
"""

from __future__ import annotations

import collections
import math
import re
from collections.abc import Hashable, Sequence

import numpy as np

_WORD = re.compile(r"[^\W_]+")
ORDERS = (1, 2, 3, 4)


def words(text: str | None) -> list[str]:
    """Lower-case words without punctuation; [] for None."""
    return _WORD.findall((text or "").lower())


def ngrams(tokens: Sequence[str], order: int) -> collections.Counter:
    """How often each run of `order` tokens occurs."""
    return collections.Counter(zip(*(tokens[i:] for i in range(order)), strict=False))


def bleu(truth: Sequence[str], prediction: Sequence[str | None]) -> dict[int, float]:
    """Corpus BLEU of each order 1 to 4, with one reference a text and without smoothing.

    Geometric mean of the clipped n-gram precisions up to the order, times the brevity penalty
    (Papineni et al., ACL 2002). An order without any match makes its BLEU 0, and so do texts that
    are all shorter than the order. Raises ValueError if the lengths differ.
    """
    if len(truth) != len(prediction):
        raise ValueError(f"{len(truth)} references but {len(prediction)} predictions")
    matched, possible = dict.fromkeys(ORDERS, 0), dict.fromkeys(ORDERS, 0)
    wanted_length = said_length = 0
    for reference, text in zip(truth, prediction, strict=True):
        wanted, said = words(reference), words(text)
        wanted_length, said_length = wanted_length + len(wanted), said_length + len(said)
        for order in ORDERS:
            there, given = ngrams(wanted, order), ngrams(said, order)
            matched[order] += (there & given).total()
            possible[order] += given.total()
    if not said_length:
        return dict.fromkeys(ORDERS, 0.0)
    penalty = min(1.0, math.exp(1 - wanted_length / said_length))
    out, logs = {}, 0.0
    for order in ORDERS:
        logs += math.log(matched[order] / possible[order]) if matched[order] else -math.inf
        out[order] = penalty * math.exp(logs / order)
    return out


def common_length(first: Sequence[Hashable], second: Sequence[Hashable]) -> int:
    """Length of the longest common subsequence."""
    if not first or not second:
        return 0
    if first == second:
        return len(first)
    codes = {token: code for code, token in enumerate(dict.fromkeys((*first, *second)))}
    columns = np.array([codes[token] for token in second])
    row = np.zeros(len(second) + 1, np.int64)
    for token in first:
        # Either a match extends the cell up and left, or the better neighbour is taken over; the
        # running maximum is the neighbour on the left.
        extended = np.where(columns == codes[token], row[:-1] + 1, row[1:])
        row[1:] = np.maximum.accumulate(np.maximum(extended, row[1:]))
    return int(row[-1])


def overlap_f1(first: Sequence[Hashable], second: Sequence[Hashable]) -> float:
    """F1 of the longest common subsequence of two sequences; 1 when both are empty."""
    if not first and not second:
        return 1.0
    return 2 * common_length(first, second) / (len(first) + len(second))


def rouge_l(truth: str, prediction: str | None) -> float:
    """ROUGE-L of one text: F1 of the longest common subsequence of words (Lin, 2004)."""
    return overlap_f1(words(truth), words(prediction))
