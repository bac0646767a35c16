"""Preparing a long video against merely decoding it with PyAV on the same cores.

    python tools/bench/prepare_video.py --minutes=60 --out=prepare_video.json

A video as surgical recorders write it (h264, 854x480, 25 fps, key frames every 10 s, B frames) is
made from a clip or from noise and moving shapes, then decoded once by PyAV with all threads, and
prepared by the `cholec80` builder at 1 fps (one video: in this process, with as many threads).
Pairs are interleaved; the ratio of medians and the peak memory of both are printed and written as
JSON.
"""

from __future__ import annotations

import json
import os
import platform
import resource
import shutil
import statistics
import sys
import time
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from absl import app, flags

from surgzoo.tools.bench.fresh import fresh

_MINUTES = flags.DEFINE_float("minutes", 60, "Length of the video.")
_PAIRS = flags.DEFINE_integer("pairs", 3, "Interleaved measurements of both sides.")
_CLIP = flags.DEFINE_string("clip", None, "A real clip to repeat; None draws the pictures.")
_WORK_DIR = flags.DEFINE_string("work_dir", "/tmp/bench_prepare_video", "Scratch.")
_OUT = flags.DEFINE_string("out", "prepare_video.json", "Where the numbers go.")

WIDTH, HEIGHT, FPS = 854, 480, 25


def pictures(count: int):
    """uint8 [HEIGHT, WIDTH, 3]: 250 frames of the clip, or drawn ones, forwards and backwards."""
    if _CLIP.value:
        with av.open(_CLIP.value) as container:
            found = [
                frame.reformat(WIDTH, HEIGHT).to_ndarray(format="rgb24")
                for frame, _ in zip(container.decode(video=0), range(250), strict=False)
            ]
    else:
        random = np.random.default_rng(0)
        grain = random.integers(0, 40, (HEIGHT + 250, WIDTH + 250, 3), np.uint8)
        found = [grain[n : n + HEIGHT, n : n + WIDTH] + np.uint8(90) for n in range(250)]
    turn = [*found, *found[::-1]]
    for number in range(count):
        yield turn[number % len(turn)]


def write_case(folder: Path, minutes: float) -> Path:
    """One video and its label files in Cholec80's layout; returns the video.

    At most 100 seconds are encoded; a longer video repeats their packets.
    """
    path = folder / "videos" / "video01.mp4"
    count = int(minutes * 60 * FPS)
    part = min(count, 100 * FPS)
    path.parent.mkdir(parents=True)
    with av.open(str(folder / "part.mkv"), "w") as container:
        options = {"preset": "veryfast", "crf": "23", "bf": "2"}
        stream = container.add_stream("libx264", rate=FPS, options=options)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        stream.codec_context.gop_size = 250
        for number, picture in enumerate(pictures(part)):
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="rgb24")
            frame.pts, frame.time_base = number, Fraction(1, FPS)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    with av.open(str(path), "w") as container:
        out = None
        for repeat in range(-(-count // part)):
            with av.open(str(folder / "part.mkv")) as source:
                stream = source.streams.video[0]
                out = out or container.add_stream_from_template(stream)
                shift = round(repeat * part / FPS / stream.time_base)
                for packet in source.demux(stream):
                    if packet.dts is not None:
                        packet.pts, packet.dts = packet.pts + shift, packet.dts + shift
                        packet.stream = out
                        container.mux(packet)
    count = -(-count // part) * part
    (folder / "part.mkv").unlink()
    tools = ["Grasper", "Bipolar", "Hook", "Scissors", "Clipper", "Irrigator", "SpecimenBag"]
    rows = {
        "phase": ["Frame\tPhase", *(f"{n}\tPreparation" for n in range(count))],
        "tool": ["\t".join(["Frame", *tools])]
        + ["\t".join([str(n), *"1000000"]) for n in range(0, count, FPS)],
    }
    for kind, lines in rows.items():
        file = folder / f"{kind}_annotations" / f"video01-{kind}.txt"
        file.parent.mkdir()
        file.write_text("\n".join([*lines, ""]))
    return path


def merely_decode(path: Path) -> None:
    with av.open(str(path)) as container:
        container.streams.video[0].thread_type = "AUTO"
        for _ in container.decode(video=0):
            pass


def prepare_it(folder: Path) -> None:
    from surgzoo.datasets.cholec80.cholec80 import Cholec80
    from surgzoo.datasets.source_builder import prepare

    prepare(Cholec80, folder / "out", manual_dir=folder / "raw")


def _child(function, argument) -> tuple[float, float, float]:
    began = time.perf_counter()
    function(argument)
    took = time.perf_counter() - began
    own = resource.getrusage(resource.RUSAGE_SELF)
    # Not ru_maxrss, which a process takes over from the one that started it.
    status = Path("/proc/self/status").read_text()
    peak = next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM"))
    return took, own.ru_utime + own.ru_stime, peak / 1024


def measure(function, argument) -> tuple[float, float, float]:
    """(seconds, CPU seconds, peak MiB) of a call in a fresh process, imports left out."""
    return fresh(_child, function, argument)


def main(argv: list[str]) -> None:
    del argv
    work = Path(_WORK_DIR.value)
    shutil.rmtree(work, ignore_errors=True)
    path = write_case(work / "raw", _MINUTES.value)
    decoded, prepared = [], []
    for _ in range(_PAIRS.value):
        decoded.append(measure(merely_decode, path))
        shutil.rmtree(work / "out", ignore_errors=True)
        prepared.append(measure(prepare_it, work))
    sides = {"pyav": decoded, "surgzoo": prepared}
    result = {
        "minutes": _MINUTES.value,
        "megabytes": path.stat().st_size / 1e6,
        **{
            f"{name}_{what}": [round(run[place], 3) for run in runs]
            for name, runs in sides.items()
            for place, what in enumerate(("seconds", "cpu_seconds", "peak_mib"))
        },
        "ratio": statistics.median(r[0] for r in prepared)
        / statistics.median(r[0] for r in decoded),
        "cpu_ratio": statistics.median(r[1] for r in prepared)
        / statistics.median(r[1] for r in decoded),
        "cores": os.cpu_count(),
        "machine": platform.processor() or platform.machine(),
        "versions": {"python": sys.version.split()[0], "av": av.__version__},
    }
    print(json.dumps(result, indent=1))
    Path(_OUT.value).write_text(json.dumps(result, indent=1), encoding="utf-8")


if __name__ == "__main__":
    app.run(main)
