"""Split schemes of Cholec80 in use; the lists are in surgzoo/db/splits.tsv.

40_40         first and second half, the original one (Twinanda et al. 2017); no validation set
camma_40_8_32 github.com/CAMMA-public/TF-Cholec80
32_8_40       validation taken from the first half; the test half is that of 40_40. The default.
"""

from __future__ import annotations

from surgzoo.db import splits as official
from surgzoo.db.schema import Split

SCHEMES = official.schemes("cholec80")


def splits(number: int) -> dict[str, Split]:
    """Scheme -> split of one video; "default" among them."""
    return official.official("cholec80", str(number))
