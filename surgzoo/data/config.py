"""What a run is fed with, as one typed value: the mixture, the shape of its rows, their order."""

from __future__ import annotations

import dataclasses

from surgzoo.data.jpeg import Decode
from surgzoo.data.pair_config import PairConfig
from surgzoo.data.sampling import VideoConfig
from surgzoo.db.conversation_store import DATABASE
from surgzoo.tasks.wording import Wording


@dataclasses.dataclass(frozen=True)
class Part:
    """One (source, task) of a mixture. Weights are relative.

    The source "surg_sigma_db" is the built database: its conversations of the task, of all the
    sources that it was built from or of those that `sources` names ("cholec80" or "cholec80.fps1").
    Split schemes and wording were chosen at its building.
    """

    source: str
    task: str
    weight: float = 1.0
    config: str = ""  # of the source; "" is the usual one, or the only one that is prepared
    split: str = "train"
    scheme: str = "default"
    sources: tuple[str, ...] = ()  # of "surg_sigma_db" alone

    @property
    def name(self) -> str:
        """How messages call the part."""
        if self.source != DATABASE:
            config = f".{self.config}" if self.config else ""
            return f"{self.source}{config}/{self.task}/{self.split}"
        chosen = f"[{','.join(self.sources)}]" if self.sources else ""
        return f"{self.source}{chosen}/{self.task}/{self.split}"


@dataclasses.dataclass(frozen=True)
class DataConfig:
    """What a run is fed with.

    Attributes:
      bucket: static shape of a row, (tokens, vision patches).
      batch_size: rows a step over all devices.
      group: put the questions about one frame into one row, as many as fit (in an order drawn by
        the weights); the frame is then encoded once for all of them.
      pack: fill rows with the questions of several frames, clips and texts, which do not see each
        other; `batch_size` counts packed rows. With `group`, questions that find no room in their
        frame's row are then asked in another one instead of at another visit. Without, a row
        holds one conversation less than the model's `attention_segments`.
      pack_window: frames, clips and texts that are packed together. More fill the rows better and
        are planned longer before the first step.
      threads: decoding threads a process.
      decode: pixels as the reference processor has them (exact), or cheaper ones (`data/jpeg.py`).
      video: which frames of a clip are shown, and how large (`data/sampling.py`).
      seed: draws the order of everything. wording: how the questions are put.

    Of models that read no turns (`data/rows`), to which bucket, group, pack, decode and video say
    nothing:
      labels: names of the classes in the order of the model's outputs; () = those that the
        questions of the mixture admit, as they come.
      longest: frames of a video, or actions of a history, that a row has room for.
      features: name of the stored features that are read (`surgzoo extract_features`).
      augment: change pictures a little, and doubt histories, anew at every visit, as the kind of
        row allows.
      pairs: what a pair of a picture and a text is made of (`data/pair_config.py`).
    """

    mixture: tuple[Part, ...] = ()
    data_dir: str = "data"
    batch_size: int = 32
    bucket: tuple[int, int] = (96, 64)
    group: bool = True
    pack: bool = False
    pack_window: int = 1024
    threads: int = 2
    prefetch: int = 64
    decode: Decode = "exact"
    video: VideoConfig = dataclasses.field(default_factory=VideoConfig)
    seed: int = 0
    wording: Wording = dataclasses.field(default_factory=Wording)
    labels: tuple[str, ...] = ()
    longest: int = 1024
    features: str = ""
    augment: bool = False
    pairs: PairConfig = dataclasses.field(default_factory=PairConfig)
