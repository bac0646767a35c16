"""Where numbers go: a JSON-lines file always, TensorBoard when asked."""

from __future__ import annotations

import json
from pathlib import Path


class JsonlWriter:
    """metrics.jsonl: one line a logged step. A resumed run drops the lines after its checkpoint, so
    the file always is the curve of one uninterrupted run."""

    def __init__(self, path: str | Path, resume_step: int = 0):
        self.path = Path(path)
        kept = []
        if self.path.exists() and resume_step > 0:
            for line in self.path.read_text(encoding="utf-8").splitlines():
                try:
                    if json.loads(line)["step"] <= resume_step:
                        kept.append(line)
                except (json.JSONDecodeError, KeyError):
                    break  # the torn last line of a killed run
        partial = self.path.with_suffix(".partial")
        partial.write_text("".join(f"{line}\n" for line in kept), encoding="utf-8")
        partial.replace(self.path)
        self._file = open(self.path, "a", encoding="utf-8")  # noqa: SIM115 (closed in close)

    def write(self, step: int, values: dict[str, float]) -> None:
        """Appends and flushes, so that a killed process loses nothing that was logged."""
        self._file.write(json.dumps({"step": step, **values}) + "\n")
        self._file.flush()

    def close(self) -> None:
        self._file.close()


class TensorBoardWriter:
    """Event files below `<run>/tensorboard`. Needs the extra `tensorboard`."""

    def __init__(self, folder: str | Path):
        try:
            from tensorboardX import SummaryWriter
        except ImportError as error:
            raise ImportError(
                "TensorBoard logging needs an extra: pip install 'surgzoo[tensorboard]', or set "
                "--config.tensorboard=false"
            ) from error
        self._writer = SummaryWriter(str(folder))

    def write(self, step: int, values: dict[str, float]) -> None:
        for name, value in values.items():
            self._writer.add_scalar(name, value, step)

    def close(self) -> None:
        self._writer.close()
