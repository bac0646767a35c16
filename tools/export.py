"""Write conversations or boxes of prepared sources for other trainers.

  surgzoo export --format=sharegpt --sources=synthsurg --tasks=phase_recognition --out=export
  surgzoo export --format=swift --sources=surg_sigma_db --only=cholect50 --tasks=... --out=export
  surgzoo export --format=coco --sources=synthsurg --split=test --out=export

llava, sharegpt (LLaMA-Factory) and swift (ms-swift) are chats, medvidbench its records, coco boxes
and masks. Pictures are written once, beside the records. Formats: surgzoo/data/exchange.
"""

from __future__ import annotations

from absl import flags

_FORMAT = flags.DEFINE_enum(
    "format", None, ["llava", "sharegpt", "swift", "medvidbench", "coco"], "what to write"
)
_SOURCES = flags.DEFINE_list("sources", None, "prepared sources, or surg_sigma_db")
_ONLY = flags.DEFINE_list("only", None, "of surg_sigma_db: only the conversations of these sources")
_TASKS = flags.DEFINE_list("tasks", None, "tasks; not for coco")
_SPLIT = flags.DEFINE_enum("split", "train", ["train", "val", "test", "all"], "which videos")
_SCHEME = flags.DEFINE_string("scheme", "default", "split scheme of the sources")
_PROTOCOL = flags.DEFINE_enum(
    "protocol", "mixed", ["open", "choice", "dialogue", "mixed"], "how questions are put"
)
_THINKING = flags.DEFINE_bool("thinking", True, "with reasoning traces")
_KIND = flags.DEFINE_enum("kind", "instrument", ["instrument", "tissue"], "of the coco boxes")
_DATA_DIR = flags.DEFINE_string("data_dir", "data", "where the sources were prepared")
_OUT = flags.DEFINE_string("out", None, "folder to write to")


def main(argv: list[str]) -> None:
    if not _FORMAT.value or not _SOURCES.value or not _OUT.value:
        raise ValueError("say what and where to: --format=, --sources= and --out=")
    _check_sources()
    from surgzoo.data.exchange import chat, coco, medvidbench
    from surgzoo.data.exchange.pictures import Pictures
    from surgzoo.data.media import Stores

    stores = Stores(_DATA_DIR.value)
    pictures = Pictures(_OUT.value, stores)
    if _FORMAT.value == "coco":
        for source in _SOURCES.value:
            path, count = coco.write(
                stores(source),
                pictures,
                f"{source}_{_KIND.value}_{_SPLIT.value}",
                kind=_KIND.value,
                split=_SPLIT.value,
                scheme=_SCHEME.value,
            )
            print(f"{path}: {count} boxes")
        return
    if not _TASKS.value:
        raise ValueError("say which with --tasks=phase_recognition,triplet_recognition")
    for task in _TASKS.value:
        items = _conversations(task, stores)
        name = f"{task}_{_SPLIT.value}_{_FORMAT.value}"
        if _FORMAT.value == "medvidbench":
            path, count = medvidbench.write(items, pictures, stores, name)
        else:
            path, count = chat.write(items, pictures, _FORMAT.value, name)
        print(f"{path}: {count} conversations")


def _conversations(task, stores):
    """The conversations of a task: of the database as they stand there, of sources made now."""
    from surgzoo.data.conversations import conversations
    from surgzoo.db.conversation_store import DATABASE, ConversationStore
    from surgzoo.tasks.wording import Wording

    if DATABASE in _SOURCES.value:
        return ConversationStore.open(_DATA_DIR.value, task).select(
            _SPLIT.value, source=_ONLY.value
        )
    wording = Wording(protocol=_PROTOCOL.value, thinking=_THINKING.value)
    return (
        item
        for source in _SOURCES.value
        for item in conversations(
            stores(source), task, _SPLIT.value, scheme=_SCHEME.value, wording=wording
        )
    )


def _check_sources() -> None:
    """Raises ValueError for flags that do not go together."""
    from surgzoo.db.conversation_store import DATABASE

    if DATABASE not in _SOURCES.value:
        if _ONLY.value:
            raise ValueError(f"--only chooses among the sources of {DATABASE}; use --sources here")
        return
    if len(_SOURCES.value) > 1 or _FORMAT.value == "coco":
        raise ValueError(
            f"--sources={DATABASE} stands alone and has conversations; name prepared sources for "
            "boxes (--format=coco) and beside others"
        )
    chosen = [name for name in ("scheme", "protocol", "thinking") if flags.FLAGS[name].present]
    if chosen:
        raise ValueError(
            f"--{', --'.join(chosen)}: was chosen when {DATABASE} was built; leave it out, or "
            "build with another one"
        )
