"""The card of a source: card.toml beside its builder, read without importing the builder.

    builder = "cholec80:Cholec80"     # module in the same folder, and class
    summary = "80 laparoscopic cholecystectomies: phases at 25 fps, 7 tools at 1 fps"
    tasks = ["phase_recognition", "instrument_recognition"]
    licence = "CC BY-NC-SA 4.0"
    access = "request form"
    homepage = "https://camma.unistra.fr/datasets/"
    citation = "A. P. Twinanda et al.: EndoNet. IEEE TMI 36(1), 2017."
    layout = "secondary"              # see LAYOUTS
    evidence = "where the layout was read"
    size = "80 videos, 184,498 frames at 1 fps"     # in words

    [published]                       # what the owner states, for `surgzoo inspect`
    videos = 80
    frames = 184498

Specialty and procedures are in the ontology's table of the source.
"""

from __future__ import annotations

import dataclasses
import functools
import inspect
import tomllib
from pathlib import Path

from surgzoo.core.registry import Card
from surgzoo.db import ontology

CARD_FILE = "card.toml"

# How sure the layout of the files is.
LAYOUTS = {
    "real": "read by this builder from real files",
    "owner": "read in the owner's own code, README or label files",
    "secondary": "read in parsers by others, or in a mirror of the release",
    "own": "defined by this project",
}


@dataclasses.dataclass(frozen=True)
class SourceCard:
    """Facts about a source dataset; see the module's text for the fields."""

    builder: str
    summary: str
    tasks: tuple[str, ...]
    licence: str
    access: str
    homepage: str
    citation: str
    layout: str
    evidence: str
    size: str
    published: dict[str, int] = dataclasses.field(default_factory=dict)

    def entry(self) -> Card:
        """As the registry of sources holds it."""
        details = dataclasses.asdict(self)
        for key in ("summary", "licence", "builder", "homepage"):
            del details[key]
        return Card(self.summary, self.licence, self.homepage, details)


def shown_by(source: str) -> dict[str, tuple[str, ...]]:
    """Specialties and procedures of a source by its ontology table; () for one that may show any.

    Not part of `entry`: every command that knows the sources would read all the tables.
    """
    known = source in ontology.sources()
    kinds = {"specialties": "specialty", "procedures": "procedure"}
    return {name: ontology.ids(source, kind) if known else () for name, kind in kinds.items()}


@functools.cache
def read_card(path: Path) -> SourceCard:
    """Raises ValueError that names the file when a field is missing or unknown."""
    with open(path, "rb") as file:
        try:
            values = tomllib.load(file)
        except tomllib.TOMLDecodeError as error:
            raise ValueError(f"{path}: {error}") from None
    fields = {field.name for field in dataclasses.fields(SourceCard)}
    wrong = sorted((fields - {"published"} - set(values)) | (set(values) - fields))
    if wrong:
        raise ValueError(f"{path}: missing or unknown: {', '.join(wrong)}")
    if values["layout"] not in LAYOUTS:
        raise ValueError(f"{path}: layout '{values['layout']}' is none of {', '.join(LAYOUTS)}")
    values["tasks"] = tuple(values["tasks"])
    return SourceCard(**values)


def card_of(builder_class: type, *, missing_ok: bool = False) -> SourceCard | None:
    """The card beside a builder's module. FileNotFoundError without one, unless `missing_ok`."""
    path = Path(inspect.getfile(builder_class)).with_name(CARD_FILE)
    if missing_ok and not path.exists():
        return None
    return read_card(path)
