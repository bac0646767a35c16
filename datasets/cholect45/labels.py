"""CholecT45's label files: names of the classes, and 0/1 of each class a frame.

  dict/{triplet,instrument,verb,target}.txt       lines `id:name`
  {triplet,instrument,verb,target}/VIDNN.txt      comma rows `frame,0/1,0/1,...`, no header

Column k + 1 is the class that dict/ gives the id k; without dict/ it is CholecT50's k-th class.
"""

from __future__ import annotations

import dataclasses

from surgzoo.datasets.annotation_files import AnnotationFileError, FrameError, rows, text
from surgzoo.datasets.cholect50.labels import triplet_parts
from surgzoo.datasets.layout import File
from surgzoo.db import ontology, schema

SOURCE = "cholect45"
KINDS = ("triplet", "instrument", "verb", "target")


@dataclasses.dataclass(frozen=True)
class Presence:
    """Classes that are present, a kind and frame: `at["verb"][7]`."""

    at: dict[str, dict[int, tuple[schema.Label, ...]]]

    @property
    def frames(self) -> set[int]:
        return set().union(*self.at.values())

    def annotate(self, frame: int) -> schema.FrameAnnotations:
        """Raises FrameError where a triplet's part is said to be absent.

        Instruments are those of the instrument file: one may be in view without a triplet.
        """
        found = {kind: self.at[kind].get(frame) for kind in KINDS}
        triplets = instruments = None
        if found["triplet"] is not None:
            triplets = tuple(schema.Triplet(*triplet_parts(label)) for label in found["triplet"])
            for triplet in triplets:
                for kind in ("instrument", "verb", "target"):
                    part = getattr(triplet, kind)
                    if found[kind] is not None and part not in found[kind]:
                        raise FrameError(
                            f"a triplet of the {kind} {part.native}, which is said to be absent"
                        )
        if found["instrument"] is not None:
            instruments = tuple(schema.Instrument(label) for label in found["instrument"])
        return schema.FrameAnnotations(instruments=instruments, triplets=triplets)


def class_names(kind: str, file: File | None) -> tuple[schema.Label, ...]:
    """The classes of a kind by id; `file` is dict/<kind>.txt. Raises AnnotationFileError."""
    usual = [native for k, native in ontology.table(SOURCE) if k == kind]
    if file is None:
        return tuple(ontology.label(SOURCE, kind, native) for native in usual)
    out: list[schema.Label] = []
    for line, row in enumerate(text(file).split("\n"), start=1):
        if not row.strip():
            continue
        number, _, name = (part.strip() for part in row.partition(":"))
        if number != str(len(out)):
            raise AnnotationFileError(
                f"{file}, line {line}: {row.strip()!r} where '{len(out)}:name' should follow"
            )
        try:
            out.append(ontology.label(SOURCE, kind, name))
        except ontology.UnmappedLabelError as error:
            raise ontology.UnmappedLabelError(f"{file}, line {line}: {error}") from None
    if len(set(out)) != len(usual):
        raise AnnotationFileError(f"{file}: {len(set(out))} names, not {len(usual)}")
    return tuple(out)


def read_presence(
    file: File, classes: tuple[schema.Label, ...]
) -> dict[int, tuple[schema.Label, ...]]:
    """Frame -> classes with a 1. Raises AnnotationFileError."""
    out: dict[int, tuple[schema.Label, ...]] = {}
    columns = [label.native for label in classes]
    for row in rows(file, ("frame", *columns), header=False):
        frame = row.int("frame")
        if frame < 0 or frame in out:
            raise row.error(f"frame {frame} is {'given twice' if frame in out else 'negative'}")
        present = [row.float(column) for column in columns]
        strange = [value for value in present if value not in (0, 1)]
        if strange:
            raise row.error(f"{strange[0]:g} is not 0 or 1")
        out[frame] = tuple(label for label, value in zip(classes, present, strict=True) if value)
    if not out:
        raise AnnotationFileError(f"{file}: has no row")
    return out
