"""The card of a model: what a person must know before using it. Each family writes its own."""

from __future__ import annotations

from collections.abc import Sequence

from surgzoo.core.contract import Reads
from surgzoo.core.registry import Card

# Of models that compare pictures with texts: captions, and labels, for which sentences stand.
OF_PAIRS = (
    "phase_recognition",
    "step_recognition",
    "action_recognition",
    "instrument_recognition",
    "tissue_recognition",
    "triplet_recognition",
    "image_captioning",
)


def model_card(
    summary: str,
    *,
    family: str,
    parameters: str,
    reads: Reads,
    tasks: Sequence[str],
    input: str,
    source: str,
    code: str = "Apache-2.0",
    weights: str = "none published",
    pre_training: str = "",
    trained_on: Sequence[str] = (),
) -> Card:
    """A card with everything that lists show and checks read.

    Args:
      summary: the architecture in a few words, without the number of parameters.
      family: models of one graph; the test over all models finds its oracle by this name.
      parameters: their number as `in_words` puts it; a test counts them.
      reads: as the config says.
      tasks: names of registered tasks that it can be trained for; "text" stands for all that are
        answered in text.
      input: what one input is, with sizes.
      source: papers.
      code: its licence.
      weights: licence of known weights, after whose they are.
      pre_training: what known weights have seen, in words; said of every run that starts from
        weights. "" where there are none.
      trained_on: what of it can be told by operation, in the form of `evaluate/findings.declared`:
        "cholec80", "cholec80:train", "cholec80/video07".
    """
    return Card(
        summary=summary,
        licence=f"code {code}; weights: {weights}",
        source=source,
        details={
            "family": family,
            "parameters": parameters,
            "reads": reads,
            "tasks": tuple(tasks),
            "input": input,
            "weights": weights,
            "pre_training": pre_training,
            "trained_on": tuple(trained_on),
        },
    )


def in_words(parameters: int) -> str:
    """A number of parameters with two or three digits: 540 K, 3.1 M, 133 M, 8.3 B."""
    size, unit = float(parameters), ""
    for larger in ("K", "M", "B"):
        if round(size) < 1000:
            break
        size, unit = size / 1000, larger
    digits = 1 if size < 99.95 and unit else 0
    return f"{size:.{digits}f} {unit}".strip()
