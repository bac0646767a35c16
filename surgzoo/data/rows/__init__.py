"""Rows for models that do not read turns of text: one module for each thing that a model reads.

pairs      a picture and a text
clips      a clip and its label
frames     a frame, and a map or frame of the same size
features   stored features of a video's frames, and their labels
histories  the actions of a video in order

Turns of text are in `data/turns.py`. Another kind of row joins by an entry in `ROWS`, and one in
`evaluate/predictors` for the answers; what it holds is a contract of `core/contract.py`.
"""

from __future__ import annotations

from typing import Any

from surgzoo.core.registry import resolve
from surgzoo.data.config import DataConfig
from surgzoo.data.rows.base import Rows

ROWS: dict[str, str] = {
    "pairs": "surgzoo.data.rows.pairs:PairRows",
    "clips": "surgzoo.data.rows.clips:ClipRows",
    "frames": "surgzoo.data.rows.frames:FrameRows",
    "features": "surgzoo.data.rows.features:FeatureRows",
    "histories": "surgzoo.data.rows.histories:HistoryRows",
}


def rows_of(config: DataConfig, architecture: Any, processor: Any) -> Rows:
    """The rows that a model reads. Raises ValueError for a kind that nobody makes."""
    if architecture.reads not in ROWS:
        raise ValueError(
            f"nobody makes rows of '{architecture.reads}'; there are {', '.join(ROWS)}"
        )
    return resolve(ROWS[architecture.reads])(config, architecture, processor)
