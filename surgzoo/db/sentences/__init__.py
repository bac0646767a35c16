"""Sentences that stand for labels, for models that compare pictures with texts.

A file has them in one of two forms:

  .toml   a table for each task, and in it a list of sentences for each label, spelled as in the
          options of the task's questions:

              [phase_recognition]
              "calot triangle dissection" = ["The hook frees the cystic duct.", "..."]

          "none" may stand for a set of labels that is empty; only training asks for it.
  .txt    one sentence a line, of one task, in the order of the source's labels: the class prompts
          that SurgVLP and its followers are evaluated with (github.com/CAMMA-public/SurgVLP)

Files of this project lie beside this one and go by their name, "cholec80". "" is no file: a label
then stands in one plain sentence (`plain`).
"""

from __future__ import annotations

import difflib
import hashlib
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from surgzoo.db.captions import clause, sentence

NONE = "none"  # the label of an empty set
_FOLDER = Path(__file__).parent
_LINES = ".txt"

_PLAIN = {  # by task; worded as composed captions are (`db/captions.py`)
    "phase_recognition": "The frame shows the phase of {label}.",
    "step_recognition": "The frame shows the step of {label}.",
    "action_recognition": "The clip shows {label}.",
    "instrument_recognition": "In view: the {label}.",
    "tissue_recognition": "In view: the {label}.",
}
_EMPTY = {"instrument_recognition": "No instrument is in view."}
_TRIPLETS = "triplet_recognition"
_NULL = "null verb"  # as the ontology shows it


def shipped() -> tuple[str, ...]:
    """Names of the files that come with the project."""
    return tuple(sorted(path.stem for path in _FOLDER.glob("*.toml")))


def plain(task: str, label: str) -> str:
    """The label in one sentence; of a triplet ("hook, dissect, cystic duct") what is done."""
    if label == NONE:
        return _EMPTY.get(task, "Nothing of the kind is in view.")
    if task == _TRIPLETS and label.count(", ") == 2:
        instrument, verb, target = label.split(", ")
        return sentence(clause(instrument, "" if verb == _NULL else verb, target))
    if task in _PLAIN:
        return _PLAIN[task].format(label=label)
    return sentence(label)


class Sentences:
    """The sentences of one file, or plain ones.

    Attributes:
      name: what messages and predictions call them; of a file with the first signs of its hash, so
        that two states of it are told apart.

    Raises FileNotFoundError for a file that is not there, ValueError, naming the file, for one of
    another form.
    """

    def __init__(self, given: str | Path = ""):
        self.path = _find(given) if str(given) else None
        self.name = "plain sentences"
        self._tables: dict[str, dict[str, tuple[str, ...]]] = {}
        self._lines: tuple[str, ...] = ()
        if self.path is None:
            return
        data = self.path.read_bytes()
        self.name = f"{self.path.name} {hashlib.blake2b(data, digest_size=3).hexdigest()}"
        try:
            text = data.decode("utf-8")
        except UnicodeDecodeError as error:
            raise ValueError(f"{self.path} is not UTF-8 text: {error}") from None
        if self.path.suffix == _LINES:
            self._lines = tuple(line.strip() for line in text.splitlines())
            self._lines = self._lines[: _last(self._lines)]
            if not all(self._lines):
                number = self._lines.index("") + 1
                raise ValueError(f"{self.path}, line {number}: a class without a sentence")
        else:
            self._tables = _read(text, self.path)

    def of(self, task: str, labels: Sequence[str]) -> list[tuple[str, ...]]:
        """At least one sentence for each label, in their order.

        `labels` are all options of a question: a file of lines knows its labels by their place.
        Raises ValueError that names the file and what it lacks.
        """
        if self.path is None:
            return [(plain(task, label),) for label in labels]
        if self._lines:
            if len(self._lines) != len(labels):
                raise ValueError(
                    f"{self.path} has {len(self._lines)} lines, {task} has {len(labels)} labels: "
                    f"write one sentence a line in this order: {', '.join(labels)}"
                )
            return [(line,) for line in self._lines]
        if task not in self._tables:
            raise ValueError(
                f"{self.path} has no table [{task}], only {', '.join(self._tables) or 'nothing'}: "
                "add one, or leave the task out"
            )
        table = self._tables[task]
        lacking = [label for label in labels if label not in table]
        if lacking:
            raise ValueError(
                f"{self.path}, [{task}]: no sentences for {', '.join(lacking)}"
                f"{_hint(lacking[0], table)}"
            )
        return [table[label] for label in labels]

    def of_none(self, task: str) -> tuple[str, ...]:
        """What is said where nothing is in view. Raises ValueError where the file does not know."""
        if self._lines:
            raise ValueError(
                f"{self.path}: lines have no sentence for nothing in view; use a .toml"
            )
        return self.of(task, (NONE,))[0]

    def check(self, asked: Iterable[tuple[str, Sequence[str]]]) -> None:
        """Whether they fit the questions, given as (task, options).

        Raises ValueError, naming the file, as `of` does, for a label that no question of its task
        admits (a typing error looks like that), and for a file of lines with several tasks.
        """
        admitted: dict[str, dict[str, None]] = {}
        for task, options in asked:
            self.of(task, options)
            admitted.setdefault(task, {}).update(dict.fromkeys(options))
        if self._lines and len(admitted) > 1:
            raise ValueError(
                f"{self.path} has the sentences of one task, and {', '.join(admitted)} are asked: "
                "ask one at a time, or write a .toml with a table for each"
            )
        for task, options in admitted.items():
            unknown = [k for k in self._tables.get(task, ()) if k not in options and k != NONE]
            if unknown:
                raise ValueError(
                    f"{self.path}, [{task}]: {', '.join(unknown)} is no label of the questions"
                    f"{_hint(unknown[0], options)}; they admit {', '.join(options)}"
                )


def _find(given: str | Path) -> Path:
    path = Path(given)
    if path.suffix in (".toml", _LINES):
        if path.is_file():
            return path
        raise FileNotFoundError(f"there is no file of sentences {path}")
    beside = _FOLDER / f"{given}.toml"
    if beside.is_file():
        return beside
    raise FileNotFoundError(
        f"'{given}' is neither a .toml or .txt file nor one of this project's: "
        f"{', '.join(shipped())}"
    )


def _read(text: str, path: Path) -> dict[str, dict[str, tuple[str, ...]]]:
    try:
        content = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ValueError(f"{path} is no TOML: {error}") from None
    out: dict[str, dict[str, tuple[str, ...]]] = {}
    for task, table in content.items():
        if not isinstance(table, dict):
            raise ValueError(f"{path}: '{task}' stands outside of a table; begin with [TASK]")
        out[task] = {}
        for label, found in table.items():
            texts = isinstance(found, list) and all(
                isinstance(item, str) and item.strip() for item in found
            )
            if not texts or not found:
                raise ValueError(
                    f'{path}, [{task}]: "{label}" needs a list of sentences, such as ["..."], not '
                    f"{found!r}"
                )
            out[task][label] = tuple(item.strip() for item in found)
    return out


def _last(lines: Sequence[str]) -> int:
    """How many lines there are up to the last with words."""
    return max((number for number, line in enumerate(lines, 1) if line), default=0)


def _hint(label: str, known: Mapping[str, object]) -> str:
    near = difflib.get_close_matches(label, list(known), n=1)
    return f" (did you mean '{near[0]}'?)" if near else ""
