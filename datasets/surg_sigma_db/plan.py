"""What to build, out of what: resolved, checked and described before the first record is read."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import inspect
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import surgzoo
from surgzoo.datasets.surg_sigma_db import gates
from surgzoo.datasets.surg_sigma_db.gates import Limits
from surgzoo.db import leak_free, schema, sources
from surgzoo.db.store import NotPreparedError, Store
from surgzoo.tasks import tasks as registry
from surgzoo.tasks import wording as wording_lib
from surgzoo.tasks.base import Task
from surgzoo.tasks.wording import Wording

# A training database wants every way to put a question; an experiment may want few.
WORDING = Wording(protocol="mixed", thinking=True)
LIMITS = Limits()


@dataclasses.dataclass(frozen=True)
class Job:
    """One stored video, with the split that its conversations get."""

    data_dir: str
    source: str
    config: str
    video: str
    canonical: str
    split: str


@dataclasses.dataclass(frozen=True)
class Plan:
    """A build, as `make` resolved it.

    Attributes:
      tasks: names, sorted. jobs: videos in the order of the database.
      meta: what every task's database.json says about the build; see `described`.
      codes: task -> `code`, of the files as they were when the build began.
      left_out: "source.config" -> videos that the split scheme does not name.
      fingerprint: of everything that decides the bytes; finished work may be used again under it.
    """

    data_dir: str
    tasks: tuple[str, ...]
    jobs: tuple[Job, ...]
    wording: Wording
    limits: Limits
    meta: dict[str, Any]
    codes: dict[str, str]
    left_out: dict[str, int]
    fingerprint: str

    def described(self, name: str) -> dict[str, Any]:
        """What a task is built from, JSON-like: equal for builds that give the same bytes."""
        return {**self.meta, "code": self.codes[name]}


def make(
    data_dir: str | Path,
    source_names: Sequence[str],
    task_names: Sequence[str],
    *,
    schemes: Mapping[str, str] | None = None,
    splits: Mapping[str, str] | None = None,
    wording: Wording = WORDING,
    limits: Limits = LIMITS,
) -> Plan:
    """Resolves a build.

    Args:
      source_names: prepared sources, "source" or "source.config"; their order is that of the rows.
      task_names: registered tasks; ("all",) means every one.
      schemes: source -> split scheme; "default" where it is not said. With "leak_free" for "*" the
        union of the sources is split anew, so that no operation is on two sides.
      splits: canonical id -> split, before any scheme: what another program decided.

    Raises UnknownNameError for a source or a task, NotPreparedError with all the commands to run,
    ValueError for a split scheme and for sources given twice.
    """
    data_dir = str(Path(data_dir).expanduser())
    names = registry.names() if tuple(task_names) == ("all",) else sorted(set(task_names))
    for name in names:
        registry.entry(name)
    if not names:
        raise ValueError("name at least one task, or 'all'")
    stores = _stores(data_dir, source_names)
    schemes = dict(schemes or {})
    union = None
    if schemes.get("*") == leak_free.SCHEME:
        if splits is not None:
            raise ValueError(f"the scheme {leak_free.SCHEME} and a mapping of splits exclude")
        counted = {name: scheme for name, scheme in schemes.items() if name != "*"}
        union = leak_free.leak_free([v for s in stores for v in s.videos], counted)
        splits = union.splits
    known = {store.source for store in stores}
    strangers = sorted(set(schemes) - known - {"*"})
    if strangers:
        raise ValueError(
            f"a split scheme is given for {', '.join(strangers)}; the sources are "
            f"{', '.join(sorted(known))}"
        )
    jobs, left_out, described = [], {}, []
    for store in stores:
        scheme = schemes.get(store.source, schemes.get("*", "default"))
        found = _split(store, scheme, splits)
        name = f"{store.source}.{store.config}"
        left_out[name] = len(store.videos) - len(found)
        jobs += [
            Job(data_dir, store.source, store.config, stored.video.id, stored.video.canonical, side)
            for stored, side in found
        ]
        described.append(
            {
                "source": store.source,
                "config": store.config,
                "version": store.path.name,
                "scheme": "given" if splits is not None else scheme,
                "videos": len(found),
                "videos_without_split": left_out[name],
                "content": store.content(),
            }
        )
    if not jobs:
        raise ValueError("no video of the sources is in a split; see --scheme")
    meta = {
        "surgzoo": surgzoo.__version__,
        "sources": described,
        "splits": None
        if splits is None
        else {
            "scheme": leak_free.SCHEME if union else "given",
            "content": _digest(json.dumps(dict(splits), sort_keys=True).encode()),
        },
        "wording": dataclasses.asdict(wording),
        "limits": dataclasses.asdict(limits),
    }
    codes = {name: code(name) for name in names}
    fingerprint = _digest(json.dumps([meta, codes], sort_keys=True).encode())
    return Plan(
        data_dir, tuple(names), tuple(jobs), wording, limits, meta, codes, left_out, fingerprint
    )


def _stores(data_dir: str, names: Sequence[str]) -> list[Store]:
    if not names:
        raise ValueError(f"name at least one source; known: {', '.join(sources.sources.names())}")
    if len(set(names)) < len(names):
        raise ValueError(f"a source is named twice: {', '.join(names)}")
    stores, missing = [], []
    for name in names:
        source, _, config = name.partition(".")
        # A prepared folder is enough; a name that is neither prepared nor registered is a mistake.
        if not (Path(data_dir) / source).is_dir():
            sources.sources.entry(source)
        try:
            stores.append(Store.open(data_dir, source, config))
        except NotPreparedError as error:
            missing.append(str(error))
    if missing:
        raise NotPreparedError("\n".join(missing))
    return stores


def _split(store: Store, scheme: str, splits: Mapping[str, str] | None):
    """(stored video, split) of the videos that have one."""
    if splits is not None:
        return [(v, splits[v.video.canonical]) for v in store.videos if v.video.canonical in splits]
    store.check_scheme(scheme)
    found = ((stored, store.split_of(stored, scheme)) for stored in store.videos)
    return [(stored, split) for stored, split in found if split is not None]


@functools.cache
def task(name: str) -> Task:
    return registry.get(name)()


def code(name: str) -> str:
    """A hash of the code and the tables that decide what conversations of a task say."""
    digest = hashlib.blake2b(_shared_code(), digest_size=16)
    digest.update(Path(inspect.getfile(type(task(name)))).read_bytes())  # a plug-in's is elsewhere
    return digest.hexdigest()


@functools.cache
def _shared_code() -> bytes:
    digest = hashlib.blake2b(digest_size=16)
    for module in (schema, wording_lib, gates):
        folder = Path(inspect.getfile(module)).parent
        for path in sorted(p for p in folder.rglob("*") if p.suffix in (".py", ".tsv")):
            digest.update(path.relative_to(folder).as_posix().encode() + b"\0" + path.read_bytes())
    return digest.digest()


def _digest(data: bytes) -> str:
    return hashlib.blake2b(data, digest_size=16).hexdigest()
