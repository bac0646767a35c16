"""Numbers and names as a person reads them."""

from __future__ import annotations

import re

# How the field writes what a metric's name abbreviates.
_SPELLINGS = {
    "f1": "F1",
    "iou": "IoU",
    "miou": "mIoU",
    "ap": "AP",
    "ap50": "AP50",
    "ap75": "AP75",
    "map": "mAP",
    "i": "I",
    "v": "V",
    "t": "T",
    "iv": "IV",
    "it": "IT",
    "ivt": "IVT",
    "nsd": "NSD",
    "psnr": "PSNR",
    "ssim": "SSIM",
    "mae": "MAE",
    "auroc": "AUROC",
    "rmse": "RMSE",
    "bleu1": "BLEU-1",
    "bleu2": "BLEU-2",
    "bleu3": "BLEU-3",
    "bleu4": "BLEU-4",
    "rouge": "ROUGE",
}


def title(name: str) -> str:
    """A registered name as a heading: "ivt_f1" -> "IVT F1", "phase_recognition" -> "Phase ..."."""
    words = [_SPELLINGS.get(word.lower(), word) for word in name.replace("/", " / ").split("_")]
    text = " ".join(words)
    return text[:1].upper() + text[1:] if words[0] not in _SPELLINGS.values() else text


def slug(name: str) -> str:
    """A name as part of the name of a file: lower case, one underscore for all that is no letter
    and no digit."""
    return re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_")


def percent(value: float | None) -> str:
    """A fraction in percent with one decimal, without the sign; a dash for None."""
    return "–" if value is None else f"{100 * value:.1f}"


def figure(value: float | None, unit: str | None = None) -> str:
    """A metric as its unit wants it: percent for a fraction (None), else "31.42 dB"."""
    if value is None or unit is None:
        return percent(value)
    return f"{value:.2f} {unit}" if unit else f"{value:.3f}"


def interval(bounds: tuple[float, float] | None, unit: str | None = None) -> str:
    """ "71.2–80.4", in percent for a fraction (None); a dash where there is none."""
    if bounds is None:
        return "–"
    low, high = bounds
    return f"{percent(low)}–{percent(high)}" if unit is None else f"{low:.2f}–{high:.2f}"


def signed(value: float | None, unit: str | None = None) -> str:
    """A difference with its sign, of fractions in percentage points, else in the unit."""
    if value is None:
        return "–"
    text = f"{100 * value:+.1f}" if unit is None else f"{value:+.2f} {unit}".rstrip()
    return text.replace("-", "−")


def seconds(value: float | None) -> str:
    """A duration of an answer: "210 ms", "1.4 s"."""
    if value is None:
        return "–"
    return f"{1000 * value:.0f} ms" if value < 0.9995 else f"{value:.1f} s"


def clock(value: float, longest: float | None = None) -> str:
    """A time in a video: "42 s", or "12:30" where the video is longer than five minutes."""
    if (value if longest is None else longest) <= 300:
        return f"{value:g} s" if value == round(value, 1) else f"{value:.1f} s"
    minutes, rest = divmod(round(value), 60)
    return f"{minutes}:{rest:02d}"


def count(number: int, noun: str) -> str:
    """ "1 frame", "1,204 frames"."""
    return f"{number:,} {noun}" + ("" if number == 1 else "s")
