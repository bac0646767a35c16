"""The input path: JPEG records to batches of 224 x 224, beside torch's DataLoader and the bound.

    python tools/bench/loader.py --out=loader.json

A thousand JPEGs of 854 x 480 (quality 90, smooth shapes with grain, about 80 kB) are written into
an ArrayRecord file. Rows:

  decode exact, decode fast   one core: `data/jpeg.py` against PIL (open, convert to RGB, resize, as
                              users of the reference processor do), bilinear on both sides, PIL as
                              it comes; "also" has exact against a PIL that keeps its memory as
                              ours does, and against PIL with the reference's own bicubic filter,
                              whose resize, the same code on both sides, is most of the time
  loader against torch        images a second of batches of 32: Grain as `data/pipeline.py` runs
                              it, with `--threads` (data.threads), against torch's DataLoader with
                              two workers, the better of its two usual ways to collate; both call
                              the same decode function on the same records
  loader against the bound    the same against two processes, each pinned to a core, that at the
                              same time decode the same records from memory and do nothing else

Loaders run in processes of their own, interleaved, and the first batches, which start workers, are
not counted. All run on two cores.
"""

from __future__ import annotations

import functools
import io
import multiprocessing
import os
import statistics
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np
import simplejpeg
from absl import app, flags
from array_record.python.array_record_data_source import ArrayRecordDataSource
from array_record.python.array_record_module import ArrayRecordWriter
from PIL import Image

from surgzoo.data.jpeg import Decode, decode_resized, keep_memory
from surgzoo.tools.bench.fresh import fresh
from surgzoo.tools.bench.rows import Row, save

_DECODE = flags.DEFINE_enum("decode", "exact", ["exact", "fast"], "What the loaders decode with.")
_RECORDS = flags.DEFINE_integer("records", 1000, "JPEGs; an epoch of the loaders.")
_EPOCHS = flags.DEFINE_integer("epochs", 2, "Over the records, in every run of a loader.")
_PAIRS = flags.DEFINE_integer("pairs", 3, "Interleaved measurements of all sides.")
_WORK_DIR = flags.DEFINE_string("work_dir", "/tmp/bench_loader", "Scratch.")
_THREADS = flags.DEFINE_integer("threads", 4, "Of Grain: two for each core.")
_OUT = flags.DEFINE_string("out", "loader.json", "Where the numbers go.")

HEIGHT, WIDTH, SIZE, BATCH, WORKERS = 480, 854, 224, 32, 2
WARM = 4  # batches


def picture(seed: int) -> np.ndarray:
    """uint8 [HEIGHT, WIDTH, 3]: shapes of four sizes, the finest like grain."""
    random = np.random.default_rng(seed)
    out = np.full((HEIGHT, WIDTH, 3), 110, np.float32)
    for size, strength in ((160, 60), (40, 40), (10, 15), (3, 5)):
        coarse = random.normal(size=(HEIGHT // size + 2, WIDTH // size + 2, 3))
        shapes = cv2.resize(
            coarse.astype(np.float32), (WIDTH, HEIGHT), interpolation=cv2.INTER_CUBIC
        )
        out += strength * shapes
    return np.clip(out, 0, 255).astype(np.uint8)


def write_records(path: Path, count: int) -> None:
    """Fifty pictures, each shifted and encoded anew as often as it takes."""
    drawn = [picture(seed) for seed in range(min(count, 50))]
    writer = ArrayRecordWriter(str(path), "group_size:1,uncompressed")
    for number in range(count):
        pixels = np.roll(drawn[number % len(drawn)], 7 * (number // len(drawn)), axis=1)
        writer.write(simplejpeg.encode_jpeg(np.ascontiguousarray(pixels), 90, "RGB", "420"))
    writer.close()


def decode(
    data: bytes, how: Decode, resample: Image.Resampling = Image.Resampling.BILINEAR
) -> np.ndarray:
    def resize(pixels: np.ndarray, height: int, width: int) -> np.ndarray:
        return np.asarray(Image.fromarray(pixels).resize((width, height), resample))

    return decode_resized(data, SIZE, SIZE, how, resize, "a record")


def with_pil(data: bytes, resample: Image.Resampling = Image.Resampling.BILINEAR) -> np.ndarray:
    image = Image.open(io.BytesIO(data)).convert("RGB")
    return np.asarray(image.resize((SIZE, SIZE), resample))


def rate_of(function: Callable[[bytes], np.ndarray], data: list[bytes]) -> float:
    """Calls a second on one core."""
    begun = time.perf_counter()
    for item in data:
        function(item)
    return len(data) / (time.perf_counter() - begun)


def grain_batches(path: str, how: Decode, epochs: int, threads: int) -> Iterator[np.ndarray]:
    import grain

    dataset = grain.MapDataset.source(ArrayRecordDataSource(path)).seed(0).shuffle().repeat(epochs)
    dataset = dataset.map(functools.partial(decode, how=how)).batch(BATCH)
    options = grain.ReadOptions(num_threads=threads, prefetch_buffer_size=64)
    return iter(dataset.to_iter_dataset(options))


class Records:
    """torch's map-style dataset; every worker opens the file for itself."""

    def __init__(self, path: str, how: Decode, epochs: int):
        self.path, self.how, self.source = path, how, None
        self.count = len(ArrayRecordDataSource(path))
        self.epochs = epochs

    def __len__(self) -> int:
        return self.count * self.epochs

    def __getitem__(self, index: int) -> np.ndarray:
        self.source = self.source or ArrayRecordDataSource(self.path)
        return decode(self.source[index % self.count], self.how)


def torch_batches(path: str, how: Decode, epochs: int, collate: Callable | None) -> Iterator:
    from torch.utils.data import DataLoader

    # One pass over the records `epochs` times, so that workers start once.
    data = Records(path, how, epochs)
    return iter(DataLoader(data, BATCH, shuffle=True, num_workers=WORKERS, collate_fn=collate))


LOADERS: dict[str, Callable[..., Iterator]] = {
    "grain": grain_batches,
    "torch, tensors": functools.partial(torch_batches, collate=None),
    "torch, arrays": functools.partial(torch_batches, collate=np.stack),
}


def _run(name: str, arguments: tuple) -> float:
    keep_memory()  # of both sides; torch's workers are forked from here
    cv2.setNumThreads(0)  # one image a thread or worker; OpenCV's own threads would compete
    batches = LOADERS[name](*arguments)
    for _ in range(WARM):
        next(batches)
    begun, images = time.perf_counter(), 0
    for batch in batches:
        assert tuple(batch.shape[1:]) == (SIZE, SIZE, 3), batch.shape
        images += len(batch)
    return images / (time.perf_counter() - begun)


def measure(name: str, *arguments) -> float:
    """Images a second of a loader in a fresh process."""
    return fresh(_run, name, arguments)


def _decode_only(core: int, data: list[bytes], how: Decode, start, answer) -> None:
    os.sched_setaffinity(0, {core})
    keep_memory()
    cv2.setNumThreads(0)
    function = functools.partial(decode, how=how)
    rate_of(function, data[:20])
    start.wait()
    answer.put(len(data) / rate_of(function, data))  # seconds


def bound(data: list[bytes], how: Decode, cores: list[int]) -> float:
    """Images a second of processes that only decode, one a core, all of them at the same time.

    Not one core's rate times their number: cores share their memory's bandwidth and their clock.
    """
    context = multiprocessing.get_context("spawn")
    start, answer = context.Barrier(len(cores)), context.Queue()
    processes = [
        context.Process(target=_decode_only, args=(core, data, how, start, answer))
        for core in cores
    ]
    for process in processes:
        process.start()
    took = [answer.get(timeout=600) for _ in processes]  # an error where one died
    for process in processes:
        process.join()
    return len(cores) * len(data) / max(took)


def on_one_core(functions: dict[str, Callable], data: list[bytes]) -> dict[str, float]:
    """Calls a second of each, pinned to one core."""
    cores = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(cores)})
    try:
        found = {}
        for name, function in functions.items():
            as_it_comes = name in ("pil", "pil, bicubic")
            Image.core.set_blocks_max(0)
            Image.core.clear_cache()
            if not as_it_comes:
                keep_memory()
            rate_of(function, data[:20])
            found[name] = rate_of(function, data)
        return found
    finally:
        os.sched_setaffinity(0, cores)


def main(argv: list[str]) -> None:
    del argv
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) < WORKERS:
        raise SystemExit(f"this measures {WORKERS} workers on as many cores; here is {len(cores)}")
    os.sched_setaffinity(0, cores[:WORKERS])
    cv2.setNumThreads(0)
    work = Path(_WORK_DIR.value)
    work.mkdir(parents=True, exist_ok=True)
    path = work / f"{_RECORDS.value}.array_record"
    if not path.exists():
        write_records(path.with_suffix(".part"), _RECORDS.value)
        path.with_suffix(".part").rename(path)
    source = ArrayRecordDataSource(str(path))
    many = [source[n] for n in range(len(source))]
    data = many[:200]
    functions = {
        "exact": functools.partial(decode, how="exact"),
        "fast": functools.partial(decode, how="fast"),
        "pil": with_pil,
        "exact, bicubic": functools.partial(decode, how="exact", resample=Image.Resampling.BICUBIC),
        "pil, bicubic": functools.partial(with_pil, resample=Image.Resampling.BICUBIC),
        "pil, memory kept": with_pil,
    }
    differences = {
        how: statistics.mean(
            float(np.abs(functions[how](item).astype(float) - with_pil(item)).mean())
            for item in data[:50]
        )
        for how in ("exact", "fast")
    }
    rounds = []
    for _ in range(_PAIRS.value):
        numbers = on_one_core(functions, data)
        for name in LOADERS:
            threads = (_THREADS.value,) if name == "grain" else ()
            numbers[name] = measure(name, str(path), _DECODE.value, _EPOCHS.value, *threads)
        numbers["bound"] = bound(many, _DECODE.value, cores[:WORKERS])
        rounds.append(numbers)
        print({name: round(value, 1) for name, value in numbers.items()}, flush=True)
    middle = {name: statistics.median(r[name] for r in rounds) for name in rounds[0]}
    torch_best = max(("torch, tensors", "torch, arrays"), key=middle.__getitem__)

    def also(ours: str, peer: str) -> float:
        return statistics.median(r[ours] / r[peer] for r in rounds)

    def row(name: str, ours: str, peer: str, must: str, aim: str | None = None) -> Row:
        return Row(name, middle[ours], middle[peer], "images/s", also(ours, peer), must, aim)

    batches = "ArrayRecord JPEG to 224 batches"
    save(
        _OUT.value,
        [
            row("decode exact, one core, against PIL", "exact", "pil", ">= 1.5"),
            row("decode fast, one core, against PIL", "fast", "pil", ">= 3.5"),
            row(f"{batches}, {torch_best}", "grain", torch_best, ">= 1.15", ">= 1.25"),
            row(f"{batches}, decode bound", "grain", "bound", ">= 0.9", ">= 0.95"),
        ],
        exact_against_pil_memory_kept=also("exact", "pil, memory kept"),
        exact_against_pil_bicubic=also("exact, bicubic", "pil, bicubic"),
        decode=_DECODE.value,
        threads=_THREADS.value,
        mean_abs_difference_to_pil=differences,
        bytes_an_image=statistics.mean(map(len, data)),
        rounds=rounds,
    )


if __name__ == "__main__":
    app.run(main)
