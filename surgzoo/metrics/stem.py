"""Porter's stemmer, which METEOR compares words by.

M. F. Porter, "An algorithm for suffix stripping", Program 14(3), 1980, with the departures that
nltk's `PorterStemmer` makes by default, since its METEOR is the one in use: a short list of
irregular words, no change to words of one or two letters, "-ies" and "-ied" of four letters end in
"ie", "y" becomes "i" after a consonant only, and "-alli", "-fulli" and "-logi" of step 2.
"""

from __future__ import annotations

import functools

_IRREGULAR = {
    "skies": "sky",
    "dying": "die",
    "lying": "lie",
    "tying": "tie",
    "innings": "inning",
    "outings": "outing",
    "cannings": "canning",
    **{
        word: word
        for word in (
            *("sky", "news", "inning", "outing", "canning", "howe"),
            *("proceed", "exceed", "succeed"),
        )
    },
}
# Step 2 and 3: suffix -> what replaces it after a stem of positive measure. The first suffix of the
# list that fits is the only one that is tried.
_STEP2 = {
    "ational": "ate",
    "tional": "tion",
    "enci": "ence",
    "anci": "ance",
    "izer": "ize",
    "bli": "ble",
    "alli": "al",
    "entli": "ent",
    "eli": "e",
    "ousli": "ous",
    "ization": "ize",
    "ation": "ate",
    "ator": "ate",
    "alism": "al",
    "iveness": "ive",
    "fulness": "ful",
    "ousness": "ous",
    "aliti": "al",
    "iviti": "ive",
    "biliti": "ble",
    "fulli": "ful",
}
_STEP3 = {
    "icate": "ic",
    "ative": "",
    "alize": "al",
    "iciti": "ic",
    "ical": "ic",
    "ful": "",
    "ness": "",
}
# Step 4: dropped after a stem of measure 2 or more; the first that fits is the only one tried.
_STEP4 = (
    *("al", "ance", "ence", "er", "ic", "able", "ible", "ant", "ement", "ment", "ent", "ion"),
    *("ou", "ism", "ate", "iti", "ous", "ive", "ize"),
)


@functools.lru_cache(maxsize=1 << 16)
def stem(word: str) -> str:
    """The stem of a word in lower case."""
    if word in _IRREGULAR:
        return _IRREGULAR[word]
    if len(word) <= 2:
        return word
    for step in (_step1a, _step1b, _step1c, _step2, _step3, _step4, _step5):
        word = step(word)
    return word


def _shape(word: str) -> str:
    """A "c" for each consonant and a "v" for each vowel; y after a consonant is a vowel."""
    out = ""
    for letter in word:
        vowel = letter in "aeiou" or (letter == "y" and out.endswith("c"))
        out += "v" if vowel else "c"
    return out


def _measure(word: str) -> int:
    """How often a vowel is followed by a consonant: m of [C](VC){m}[V]."""
    return _shape(word).count("vc")


def _short(word: str) -> bool:
    """Porter's *o: ends consonant, vowel, consonant other than w, x, y; or is vowel, consonant."""
    shape = _shape(word)
    return (shape.endswith("cvc") and word[-1] not in "wxy") or shape == "vc"


def _doubled(word: str) -> bool:
    """Porter's *d: ends with the same consonant twice."""
    return len(word) > 1 and word[-1] == word[-2] and _shape(word)[-1] == "c"


def _step1a(word: str) -> str:
    if word.endswith("ies"):
        return word[:-1] if len(word) == 4 else word[:-2]
    if word.endswith("sses"):
        return word[:-2]
    return word[:-1] if word.endswith("s") and not word.endswith("ss") else word


def _step1b(word: str) -> str:
    if word.endswith("ied"):
        return word[:-1] if len(word) == 4 else word[:-2]
    if word.endswith("eed"):
        return word[:-1] if _measure(word[:-3]) else word
    for suffix in ("ed", "ing"):
        base = word.removesuffix(suffix)
        if base != word and "v" in _shape(base):
            break
    else:
        return word
    if base.endswith(("at", "bl", "iz")):
        return base + "e"
    if _doubled(base):
        return base if base[-1] in "lsz" else base[:-1]
    return base + "e" if _measure(base) == 1 and _short(base) else base


def _step1c(word: str) -> str:
    base = word[:-1]
    if word.endswith("y") and len(base) > 1 and _shape(base)[-1] == "c":
        return base + "i"
    return word


def _step2(word: str) -> str:
    if word.endswith("alli") and _measure(word[:-4]):
        return _step2(word[:-2])
    if word.endswith("logi") and not any(word.endswith(suffix) for suffix in _STEP2):
        return word[:-1] if _measure(word[:-3]) else word  # the l counts with the stem
    return _replaced(word, _STEP2)


def _step3(word: str) -> str:
    return _replaced(word, _STEP3)


def _replaced(word: str, table: dict[str, str]) -> str:
    for suffix, other in table.items():
        if word.endswith(suffix):
            base = word.removesuffix(suffix)
            return base + other if _measure(base) else word
    return word


def _step4(word: str) -> str:
    for suffix in _STEP4:
        if word.endswith(suffix):
            base = word.removesuffix(suffix)
            drop = _measure(base) > 1 and (suffix != "ion" or base[-1] in "st")
            return base if drop else word
    return word


def _step5(word: str) -> str:
    base = word.removesuffix("e")
    if base != word and (_measure(base) > 1 or (_measure(base) == 1 and not _short(base))):
        word = base
    return word[:-1] if word.endswith("ll") and _measure(word[:-1]) > 1 else word
