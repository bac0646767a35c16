"""The predictions file: JSON lines, one answer a line, of any model whatever it was written in.

    {"id": "cholec80.fps1/video41/000012/phase_recognition/0", "model": "my-model", "text": "...",
     "answer": null, "error": null, "latency": 0.21}

  id       the conversation that was answered (`data/conversations.py` has its parts)
  model    a name for the report
  text     what the model said, word for word; for image answers the path of a file
  answer   what the writer parsed from it. Scoring parses `text` again and reads this field only
           where `text` is null
  error    why there is no text or no answer, in words
  latency  seconds from question to answer
  scores   confidences of labels, {"grasper": 0.93, "hook": 0.02}, each in [0, 1]. A label is
           spelled as the conversation's options spell it (a triplet is "hook, dissect, cystic
           duct"); one that is left out has 0. Where all answers have them, average precision is
           computed
  decoding how the answer was decoded, in words: "greedy, constrained"
  uncertainty  share of ignorance in [0, 1], of models that tell it from doubt between labels: 1 =
           the model knows nothing of the kind. Scoring does not read it

Only `id` is required. Lines are appended and flushed, so a killed run leaves whole lines and at
most one torn line at the end; reading and resuming drop that line with a warning.
"""

from __future__ import annotations

import dataclasses
import json
import math
import numbers
import warnings
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

from surgzoo.data.conversations import address


@dataclasses.dataclass(frozen=True, slots=True)
class Prediction:
    """One answer of a model. `latency` is in seconds."""

    id: str
    model: str = ""
    text: str | None = None
    answer: Any = None
    error: str | None = None
    latency: float | None = None
    scores: Mapping[str, float] | None = None
    decoding: str | None = None
    uncertainty: float | None = None


FIELDS = tuple(field.name for field in dataclasses.fields(Prediction))


class PredictionsError(ValueError):
    """A predictions file that cannot be used; the message names file, line and what to do."""


class TornLineWarning(UserWarning):
    """The last line of a predictions file was cut off, as a killed run leaves it."""


class PredictionWriter:
    """Appends predictions to a file; after a kill, opening the same path goes on where it stopped.

    Attributes:
      done: ids that the file already holds, for the caller to skip.

    `decodings` are the ways of decoding, in words, that may stand in the file. Raises
    PredictionsError when the file exists and is damaged, holds another model's answers, or ones
    that were decoded otherwise.
    """

    def __init__(self, path: str | Path, model: str, decodings: Collection[str] | None = None):
        self.path, self.model, self.decodings = Path(path), model, decodings
        self.done: set[str] = set()
        if self.path.exists():
            self._resume()
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._file = open(self.path, "a", encoding="utf-8", newline="\n")  # noqa: SIM115

    def _resume(self) -> None:
        for prediction in read_predictions(self.path):
            if prediction.model != self.model:
                raise PredictionsError(
                    f"{self.path} holds answers of '{prediction.model}', not of '{self.model}'. "
                    "Write to another file, or remove this one."
                )
            self._check_decoding(prediction)
            self.done.add(prediction.id)
        # What a kill left after the last line break goes, unless it is a whole line.
        content = self.path.read_bytes()
        end = content.rfind(b"\n") + 1
        if end == len(content):
            return
        with open(self.path, "r+b") as file:
            if _is_json(content[end:]):
                file.seek(0, 2)
                file.write(b"\n")
            else:
                file.truncate(end)

    def _check_decoding(self, prediction: Prediction) -> None:
        # Files from before there was a choice do not say; all of them are greedy.
        way = prediction.decoding or "greedy"
        if self.decodings is None or prediction.text is None or way in self.decodings:
            return
        raise PredictionsError(
            f"{self.path} holds answers that were decoded in another way ({way}) than is asked for "
            f"now ({' / '.join(sorted(self.decodings))}). Write to another file, or remove this "
            "one."
        )

    def write(
        self,
        id: str,
        text: str | None,
        *,
        answer: Any = None,
        error: str | None = None,
        latency: float | None = None,
        scores: Mapping[str, float] | None = None,
        decoding: str | None = None,
        uncertainty: float | None = None,
    ) -> None:
        """Appends one line and flushes it. Raises ValueError when `id` was written before."""
        if id in self.done:
            raise ValueError(f"{self.path} already holds an answer to {id}")
        prediction = Prediction(
            id, self.model, text, answer, error, latency, scores, decoding, uncertainty
        )
        self._file.write(to_line(prediction) + "\n")
        self._file.flush()
        self.done.add(id)

    def close(self) -> None:
        """Closes the file. Also called by leaving a `with` block."""
        self._file.close()

    def __enter__(self) -> PredictionWriter:
        return self

    def __exit__(self, *_) -> None:
        self.close()


def to_line(prediction: Prediction) -> str:
    """One line of the file, without its line break. Raises ValueError on NaN."""
    values = {name: getattr(prediction, name) for name in FIELDS}
    for name in ("scores", "decoding", "uncertainty"):  # what most models do not say
        if values[name] is None:
            del values[name]
    return json.dumps(values, ensure_ascii=False, allow_nan=False)


def read_predictions(path: str | Path) -> Iterator[Prediction]:
    """The predictions of a file, in its order.

    A torn last line is dropped with a TornLineWarning. Raises PredictionsError, naming file and
    line, for a line that is not a prediction and for an id that stands twice.
    """
    path = Path(path)
    if not path.exists():
        raise PredictionsError(f"{path} does not exist")
    seen: dict[str, int] = {}
    with open(path, "rb") as file:
        for number, line in enumerate(file, start=1):
            if not line.strip():
                continue
            try:
                prediction = _from_line(line)
            except ValueError as error:
                if not line.endswith(b"\n") and not _is_json(line):  # so it is the last one
                    message = f"{path}:{number}: the last line is cut off and was left out"
                    warnings.warn(message, TornLineWarning, stacklevel=2)
                    return
                raise PredictionsError(f"{path}:{number}: {error}") from None
            if prediction.id in seen:
                raise PredictionsError(
                    f"{path}:{number}: {prediction.id} is answered twice, first in line "
                    f"{seen[prediction.id]}. Keep one of the two lines."
                )
            seen[prediction.id] = number
            yield prediction


def _from_line(line: bytes) -> Prediction:
    """Raises ValueError that says what is wrong with the line."""
    try:
        values = json.loads(line)
    except ValueError as error:  # also undecodable bytes
        raise ValueError(f"not a line of JSON ({error})") from None
    if not isinstance(values, dict):
        raise ValueError(f"a {type(values).__name__} stands where an object is expected")
    unknown = sorted(set(values) - set(FIELDS))
    if unknown:
        raise ValueError(
            f"unknown field {', '.join(unknown)}; a prediction has {', '.join(FIELDS)}"
        )
    if not isinstance(values.get("id"), str):
        raise ValueError("'id' is missing or not a string")
    address(values["id"])
    if values.get("model") is None:
        values["model"] = ""
    for name in ("model", "text", "error", "decoding"):
        if not isinstance(values.get(name), str | None):
            raise ValueError(f"'{name}' must be a string or null, not {values[name]!r}")
    latency = values.get("latency")
    if latency is not None and not (
        _is_number(latency) and math.isfinite(latency) and latency >= 0
    ):
        raise ValueError(f"'latency' must be seconds or null, not {latency!r}")
    doubt = values.get("uncertainty")
    if doubt is not None and not (_is_number(doubt) and 0 <= doubt <= 1):
        raise ValueError(f"'uncertainty' must be a number in [0, 1] or null, not {doubt!r}")
    if values.get("scores") is not None:
        _check_scores(values["scores"])
    return Prediction(**values)


def _check_scores(scores: Any) -> None:
    """Raises ValueError unless it is an object of numbers in [0, 1]."""
    if not isinstance(scores, dict):
        raise ValueError(
            f"'scores' must be an object of labels and confidences or null, not {scores!r}"
        )
    for label, score in scores.items():
        if not (_is_number(score) and 0 <= score <= 1):
            raise ValueError(f"the score of '{label}' must be a number in [0, 1], not {score!r}")


def _is_number(value: Any) -> bool:
    return isinstance(value, numbers.Real) and not isinstance(value, bool)


def _is_json(line: bytes) -> bool:
    try:
        json.loads(line)
    except ValueError:
        return False
    return True
