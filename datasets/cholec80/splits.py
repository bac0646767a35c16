"""Split schemes of Cholec80 in use: train, val and test video numbers, both ends included.

40_40         first and second half, the original one (Twinanda et al. 2017); no validation set
camma_40_8_32 github.com/CAMMA-public/TF-Cholec80
32_8_40       validation taken from the first half; the test half is that of 40_40. The default.
"""

from __future__ import annotations

from surgzoo.db.schema import Split

DEFAULT = "32_8_40"

SCHEMES: dict[str, dict[Split, tuple[int, int]]] = {
    "40_40": {"train": (1, 40), "test": (41, 80)},
    "camma_40_8_32": {"train": (1, 40), "val": (41, 48), "test": (49, 80)},
    "32_8_40": {"train": (1, 32), "val": (33, 40), "test": (41, 80)},
}


def splits(number: int) -> dict[str, Split]:
    """Scheme -> split of one video; "default" among them."""
    found: dict[str, Split] = {
        scheme: split
        for scheme, parts in SCHEMES.items()
        for split, (first, last) in parts.items()
        if first <= number <= last
    }
    if DEFAULT in found:
        found["default"] = found[DEFAULT]
    return found
