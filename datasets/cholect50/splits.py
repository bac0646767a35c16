"""Split schemes of CholecT50: facts of dataloader_pth.py in github.com/CAMMA-public/cholect50.

rdv        35/5/10, the Rendezvous paper's; also the default here
challenge  40/5/5, CholecTriplet2021 and 2022
crossval1 .. crossval5
           the fold of that number is tested; of the other folds, joined in order, the last five
           videos validate (that is what the official loader does)
"""

from __future__ import annotations

from surgzoo.db.schema import Split

DEFAULT = "rdv"

# fmt: off
RDV: dict[Split, tuple[int, ...]] = {
    "train": (
        1, 2, 4, 5, 13, 15, 18, 22, 23, 25, 26, 27, 31, 35, 36, 40, 43, 47, 48, 49, 52, 56, 57, 60,
        62, 65, 66, 68, 70, 75, 79, 92, 96, 103, 110,
    ),
    "val": (8, 12, 29, 50, 78),
    "test": (6, 10, 14, 32, 42, 51, 73, 74, 80, 111),
}
CHALLENGE: dict[Split, tuple[int, ...]] = {
    "train": (
        1, 2, 4, 6, 8, 10, 12, 13, 14, 15, 22, 23, 25, 26, 27, 29, 31, 32, 35, 40, 42, 43, 47, 48,
        49, 50, 51, 52, 56, 57, 60, 62, 66, 68, 70, 73, 75, 78, 79, 80,
    ),
    "val": (5, 18, 36, 65, 74),
    "test": (92, 96, 103, 110, 111),
}
# fmt: on

# In the order of the official loader: which five videos validate depends on it.
FOLDS: tuple[tuple[int, ...], ...] = (
    (79, 2, 51, 6, 25, 14, 66, 23, 50, 111),
    (80, 32, 5, 15, 40, 47, 26, 48, 70, 96),
    (31, 57, 36, 18, 52, 68, 10, 8, 73, 103),
    (42, 29, 60, 27, 65, 75, 22, 49, 12, 110),
    (78, 43, 62, 35, 74, 1, 56, 4, 13, 92),
)
VALIDATING = 5


def crossval(fold: int) -> dict[Split, tuple[int, ...]]:
    """Train, val and test numbers when fold 1 .. 5 is tested."""
    rest = [number for i, one in enumerate(FOLDS, start=1) if i != fold for number in one]
    return {
        "train": tuple(rest[:-VALIDATING]),
        "val": tuple(rest[-VALIDATING:]),
        "test": FOLDS[fold - 1],
    }


SCHEMES: dict[str, dict[Split, tuple[int, ...]]] = {
    "rdv": RDV,
    "challenge": CHALLENGE,
    **{f"crossval{fold}": crossval(fold) for fold in range(1, len(FOLDS) + 1)},
}


def splits(number: int) -> dict[str, Split]:
    """Scheme -> split of one video; "default" among them. {} for a number not in CholecT50."""
    found: dict[str, Split] = {
        scheme: split
        for scheme, parts in SCHEMES.items()
        for split, numbers in parts.items()
        if number in numbers
    }
    if DEFAULT in found:
        found["default"] = found[DEFAULT]
    return found
