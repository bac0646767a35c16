"""Split schemes of CholecT50; the lists are in surgzoo/db/splits.tsv.

rdv        35/5/10, the Rendezvous paper's; also the default here
challenge  40/5/5, CholecTriplet2021 and 2022
crossval1 .. crossval5
           the fold of that number is tested; of the other folds, joined in order, the last five
           videos validate (that is what the official loader does)
"""

from __future__ import annotations

from collections.abc import Mapping

from surgzoo.db import splits as official
from surgzoo.db.schema import Split

SCHEMES: dict[str, Mapping[Split, tuple[int, ...]]] = {
    scheme: {split: tuple(map(int, ids)) for split, ids in parts.items()}
    for scheme, parts in official.schemes("cholect50").items()
}

# In the order of the official loader: which five videos validate depends on it.
FOLDS: tuple[tuple[int, ...], ...] = tuple(
    tuple(map(int, fold)) for fold in official.folds("cholect50", "crossval")
)


def splits(number: int) -> dict[str, Split]:
    """Scheme -> split of one video; "default" among them. {} for a number not in CholecT50."""
    return official.official("cholect50", str(number))
