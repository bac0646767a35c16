"""The programs of `surgzoo bench`: what each measures, what it needs, how it is cut short."""

from __future__ import annotations

import dataclasses
import importlib.util

# What an extra of pyproject.toml brings.
EXTRA_OF = {"torch": "dev", "transformers": "dev"}


@dataclasses.dataclass(frozen=True)
class Program:
    """A module of this folder with `main(argv)` and --out.

    Attributes:
      what: the rows that it measures.
      peers: modules that its other side needs.
      quick: flags for a short run, which shows that it works and measures little.
      device: measures an accelerator; without one it only runs with the flags of `tiny`.
      gpu: flags for an accelerator, of a program that runs on a CPU too.
      tiny: flags with which a device program runs on a CPU.
      forwards_environment: starts its sides itself and takes --environment.
    """

    name: str
    what: str
    peers: tuple[str, ...] = ()
    quick: tuple[str, ...] = ()
    device: bool = False
    gpu: tuple[str, ...] = ()
    tiny: tuple[str, ...] = ()
    forwards_environment: bool = False

    @property
    def module(self) -> str:
        return f"surgzoo.tools.bench.{self.name}"

    def missing(self) -> str | None:
        """Why the program cannot run here, with the way out; None when it can."""
        absent = [name for name in self.peers if importlib.util.find_spec(name) is None]
        if absent:
            extras = ",".join(sorted({EXTRA_OF[name] for name in absent}))
            return f"{' and '.join(absent)} missing: pip install 'surgzoo[{extras}]'"
        if importlib.util.find_spec(self.module) is None:
            return f"there is no {self.module} in this installation"
        return None


PROGRAMS: dict[str, Program] = {
    program.name: program
    for program in (
        Program(
            "vlm",
            "training step, vision tower, prefill and greedy decoding, against transformers",
            peers=("torch", "transformers"),
            quick=("--pairs=1", "--runs=1", "--rows=2"),
            gpu=("--model=3b", "--dtype=bfloat16", "--rows=4", "--tokens=2048", "--image=476"),
            forwards_environment=True,
        ),
        Program(
            "packing",
            "useful tokens of packed rows, speed of the packer",
            quick=("--units=2048", "--runs=1"),
        ),
        Program(
            "compile",
            "tracing and compiling 28 layers, temporary memory with remat",
            quick=("--layers=4", "--width=64", "--pairs=1"),
        ),
        Program(
            "host_time",
            "host time of a training step of 28 layers, against nnx.jit",
            quick=("--layers=4", "--calls=5", "--pairs=1"),
        ),
        Program(
            "loader",
            "JPEG records to batches, against torch's DataLoader",
            peers=("torch",),
            quick=("--records=200", "--epochs=1", "--pairs=1"),
        ),
        Program(
            "checkpoint",
            "saving and restoring 1.2 GB, against torch.save",
            peers=("torch",),
            quick=("--gigabytes=0.05", "--pairs=1"),
        ),
        Program(
            "weights",
            "memory and speed of reading and writing a published folder, against transformers",
            peers=("torch", "transformers"),
            quick=("--model=surgvlm-tiny", "--file_bytes=4000000", "--pairs=1"),
        ),
        Program(
            "grouped",
            "8 questions a frame in one row, against one by one: evaluation",
            quick=("--frames=2", "--pairs=1", "--max_new_tokens=3"),
        ),
        Program(
            "grouped_train",
            "8 questions a frame in one row, against one by one: training",
            quick=("--frames=4", "--pairs=1", "--tiny"),
        ),
        Program(
            "device",
            "on a GPU: share of its peak in training and decoding, waiting for the loader",
            device=True,
            tiny=("--tiny",),
        ),
    )
}
