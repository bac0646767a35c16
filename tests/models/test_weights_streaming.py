"""Weights in and out part by part: what is held, what is read, what a stopped save leaves."""

import dataclasses
import json
import os
import resource
import socket
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pytest
from qwen_small import random_params, small_config
from test_qwen2_5_vl_weights import assert_equal, untied

from surgzoo.core import parallel
from surgzoo.models import assemble, tensor_files
from surgzoo.models.qwen2_5_vl import weights

MESHES = [
    {"data": 8},
    {"data": 1, "fsdp": 8},
    {"data": 2, "fsdp": 2, "tensor": 2},
    {"data": 1, "fsdp": 2, "tensor": 4},
]


def two_layers():
    """Untied, with layers that two devices can share."""
    config = untied(small_config())
    text, vision = (dataclasses.replace(c, depth=2) for c in (config.text, config.vision))
    return dataclasses.replace(config, text=text, vision=vision)


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """An untied model in several files: config, parameters, folder."""
    config = two_layers()
    folder = tmp_path_factory.mktemp("saved")
    weights.save(config, random_params(config), folder, max_file_bytes=4 * 10**5)
    return config, random_params(config), folder


@pytest.fixture
def small_parts(monkeypatch):
    monkeypatch.setattr(tensor_files, "PART_BYTES", 20_000)


@pytest.fixture
def as_accelerators(monkeypatch):
    """Kernels are filled on the device although it is a CPU."""
    kind = assemble._OnDevice
    monkeypatch.setattr(kind, "uses", 0, raising=False)

    def on_host(bounds, dtype, devices):
        small = assemble.math.prod(stop - start for start, stop in bounds) < 2000
        kind.uses += not small
        return small

    monkeypatch.setattr(assemble, "_fits_host", on_host)
    yield
    assert kind.uses


def placed(config, mesh, rules=parallel.RULES, dtype="float32"):
    model = config.build()
    shapes = model.abstract()
    specs = parallel.param_specs(shapes, model.logical_axes(), mesh, rules)
    return jax.tree.map(
        lambda leaf, s: jax.ShapeDtypeStruct(leaf.shape, dtype, sharding=s),
        shapes,
        parallel.shardings(specs, mesh),
    )


def counted(monkeypatch):
    """Bytes of every read."""
    reads = []
    plain = tensor_files.TensorFile.read

    def read(self, *args):
        out = plain(self, *args)
        reads.append(out.nbytes)
        return out

    monkeypatch.setattr(tensor_files.TensorFile, "read", read)
    return reads


@pytest.mark.parametrize("sizes", MESHES, ids=str)
@pytest.mark.parametrize("layers_axis", [None, "fsdp"])
def test_sharded(saved, small_parts, monkeypatch, sizes, layers_axis):
    """Every shard holds what it should, and nothing is read twice, whoever holds it."""
    config, params, folder = saved
    mesh = parallel.make_mesh(**sizes)
    abstract = placed(config, mesh, {**parallel.RULES, "layers": layers_axis})
    reads = counted(monkeypatch)
    loaded = weights.load(config, folder, abstract)
    assert sum(reads) == sum(leaf.nbytes for leaf in jax.tree.leaves(params))
    assert max(reads) <= max(
        20_000, params["vision"]["layers"]["attention"]["qkv"]["kernel"][0].nbytes
    )
    jax.tree.map(lambda a, b: a.sharding == b.sharding or pytest.fail(), loaded, abstract)
    assert_equal(jax.device_get(loaded), params)


@pytest.mark.parametrize("sizes", [{"data": 2}, {"data": 1, "fsdp": 2}], ids=str)
def test_filled_on_the_device(saved, small_parts, as_accelerators, sizes):
    config, params, folder = saved
    mesh = parallel.make_mesh(**sizes, devices=jax.devices()[:2])
    abstract = placed(config, mesh, dtype="bfloat16")
    loaded = weights.load(config, folder, abstract)
    jax.tree.map(lambda a, b: a.sharding == b.sharding or pytest.fail(), loaded, abstract)
    rounded = jax.tree.map(lambda a: a.astype(jax.numpy.bfloat16), params)
    assert_equal(jax.device_get(loaded), rounded)


def test_filled_on_the_default_device(saved, small_parts, as_accelerators):
    config, params, folder = saved
    assert_equal(jax.device_get(weights.load(config, folder)), params)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_dtypes_and_back(saved, small_parts, tmp_path, dtype):
    """From sharded arrays to files and back: the same numbers, rounded once."""
    config, params, folder = saved
    mesh = parallel.make_mesh(data=1, fsdp=4, tensor=2)
    loaded = weights.load(config, folder, placed(config, mesh, dtype=dtype))
    rounded = jax.tree.map(lambda a: a.astype(jax.numpy.dtype(dtype)), params)
    assert_equal(jax.device_get(loaded), rounded)
    weights.save(config, loaded, tmp_path, dtype=dtype, max_file_bytes=4 * 10**5)
    plain = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, dtype), params)
    assert_equal(jax.device_get(weights.load(config, tmp_path, plain)), rounded)


def test_blocks_must_cover_the_array():
    blocks = [((0, 0), np.ones((2, 3))), ((2, 0), np.ones((1, 2)))]
    with pytest.raises(ValueError, match="1 elements of"):
        assemble.assemble((3, 3), np.float32, None, blocks)


def test_an_error_while_reading_comes_through():
    def blocks():
        yield (0,), np.ones(2)
        raise OSError("the disk is gone")

    with pytest.raises(OSError, match="the disk is gone"):
        assemble.assemble((4,), np.float32, None, blocks())


def test_transformers_loads_several_files(saved, tmp_path):
    """Every tensor bit for bit in a model of transformers, none missing, none left over."""
    transformers = pytest.importorskip("transformers")
    config, params, _ = saved
    files = weights.save(config, params, tmp_path, max_file_bytes=4 * 10**5)
    assert sum(file.suffix == ".safetensors" for file in files) > 3
    model, info = transformers.Qwen2_5_VLForConditionalGeneration.from_pretrained(
        tmp_path, output_loading_info=True
    )
    assert not any(info[kind] for kind in info), info
    theirs = {key: value.numpy() for key, value in model.state_dict().items()}
    with tensor_files.TensorFolder(tmp_path) as ours:
        assert set(theirs) == set(ours.shapes)
        for key, value in theirs.items():
            np.testing.assert_array_equal(value, ours.read(key), err_msg=key)
    model.save_pretrained(tmp_path / "theirs", max_shard_size=4 * 10**5)
    assert_equal(weights.load(config, tmp_path / "theirs"), params)


PROCESS = """
import json, sys
import jax
import numpy as np
rank, port, folder = int(sys.argv[1]), sys.argv[2], sys.argv[3]
jax.config.update("jax_num_cpu_devices", 4)
jax.distributed.initialize(f"localhost:{port}", num_processes=2, process_id=rank)
from qwen_small import random_params
from test_weights_streaming import placed, two_layers
from surgzoo.core import parallel
from surgzoo.models import tensor_files
from surgzoo.models.qwen2_5_vl import weights

tensor_files.PART_BYTES = 5000
reads = []
plain = tensor_files.TensorFile.read
def read(self, *args):
    reads.append(plain(self, *args))
    return reads[-1]
tensor_files.TensorFile.read = read

config = two_layers()
# Everything that can be is cut over their rows: what a process reads is then what it holds.
rules = {**dict.fromkeys(parallel.RULES), "heads": "fsdp", "kv_heads": "fsdp", "mlp": "fsdp",
         "vocab": "fsdp"}
abstract = placed(config, parallel.make_mesh(data=1, fsdp=8), rules)
loaded = weights.load(config, folder, abstract)
def check(path, leaf, whole):
    for shard in leaf.addressable_shards:
        np.testing.assert_array_equal(np.asarray(shard.data), whole[shard.index], err_msg=str(path))
jax.tree_util.tree_map_with_path(check, loaded, random_params(config))
refused = ""
try:
    weights.save(config, loaded, folder + "/out")
except ValueError as error:
    refused = str(error)
read = sum(r.nbytes for r in reads)
print(json.dumps({"processes": jax.process_count(), "read": read, "refused": refused}))
"""


def test_each_process_reads_what_it_holds(saved, tmp_path):
    """Two processes of four devices each."""
    _, params, folder = saved
    with socket.socket() as probe:
        probe.bind(("localhost", 0))
        port = probe.getsockname()[1]
    here = Path(__file__).parent
    env = {key: value for key, value in os.environ.items() if key != "XLA_FLAGS"}
    env["PYTHONPATH"] = os.pathsep.join([str(here), *sys.path])
    command = [sys.executable, "-c", PROCESS]
    started = [
        subprocess.Popen(
            [*command, str(rank), str(port), str(folder)],
            stdout=subprocess.PIPE,
            text=True,
            env=env,
        )
        for rank in range(2)
    ]
    outputs = [process.communicate(timeout=120)[0] for process in started]
    assert [process.returncode for process in started] == [0, 0]
    results = [json.loads(output.splitlines()[-1]) for output in outputs]
    whole = sum(leaf.nbytes for leaf in jax.tree.leaves(params))
    # Half of every kernel that lies in rows, all of the rest.
    rows = ("gate", "up", "q", "k", "v", "embedding", "head")
    cut = 0
    for path, leaf in jax.tree_util.tree_leaves_with_path(params["text"]):
        names = [entry.key for entry in path]
        if set(names) & set(rows) and names[-1] != "bias":
            cut += leaf.nbytes
    for result in results:
        assert result["processes"] == 2
        assert result["read"] <= whole - cut / 2
        assert "several hosts" in result["refused"]


MEMORY = """
import dataclasses, json, re, sys
from pathlib import Path
import jax
import numpy as np
from qwen_small import small_config
from safetensors.numpy import load_file
from surgzoo.models.qwen2_5_vl import weights

def memory(key):
    return 1024 * int(re.search(key + r":\\s+(\\d+)", Path("/proc/self/status").read_text())[1])

def beside(call, kept):
    "Peak of the process, less what it had, less what stays."
    Path("/proc/self/clear_refs").write_text("5")
    before = memory("VmRSS")
    result = call()
    return memory("VmHWM") - before - kept(result)

tiny = small_config()
text = dataclasses.replace(tiny.text, vocab=20000, width=768, heads=6, mlp=3072, depth=6,
                           tied=False, mrope_sections=(16, 24, 24))
config = dataclasses.replace(tiny, text=text)
folder, out = Path(sys.argv[1]), Path(sys.argv[1]) / "out"
params = jax.tree.map(lambda s: np.ones(s.shape, s.dtype), config.build().abstract())
weights.save(config, params, folder, dtype="bfloat16", max_file_bytes=80_000_000)
del params
jax.block_until_ready(jax.numpy.zeros(1))
size = lambda tree: sum(leaf.nbytes for leaf in jax.tree.leaves(tree))
kept = []
read = beside(lambda: kept.append(weights.load(config, folder)), lambda _: size(kept[0]))
write = beside(lambda: weights.save(config, kept[0], out, max_file_bytes=80_000_000), lambda _: 0)
files = sorted(folder.glob("*.safetensors"))
whole = beside(lambda: [load_file(file) for file in files], lambda _: 0)
largest = max(file.stat().st_size for file in files)
print(json.dumps({"read": read / largest, "write": write / largest, "whole": whole / largest,
                  "files": len(files), "largest": largest}))
"""


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="Linux keeps the peak")
def test_memory_beside_the_parameters(tmp_path):
    """Reading and writing need less than 1.3 of the largest file beside the parameters.

    `whole`, all files read at once, shows that the measure sees what is held.
    """
    env = {**os.environ, "XLA_FLAGS": "", "PYTHONPATH": os.pathsep.join(sys.path)}
    process = subprocess.run(
        [sys.executable, "-c", MEMORY, str(tmp_path)], env=env, capture_output=True, text=True
    )
    assert process.returncode == 0, process.stderr
    found = json.loads(process.stdout.splitlines()[-1])
    assert found["files"] > 1
    assert found["whole"] > 1.5
    assert found["read"] < 1.3 and found["write"] < 1.3, found


def test_a_full_disk_leaves_the_old_weights(tmp_path, saved):
    """The limit on the size of a file stands for the end of the disk."""
    config, params, _ = saved
    old = jax.tree.map(lambda a: a + 1, params)
    weights.save(config, old, tmp_path, max_file_bytes=4 * 10**5)
    before = {file.name: file.read_bytes() for file in tmp_path.iterdir()}
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (5 * 10**5, limits[1]))
        with pytest.raises(OSError, match="bytes of weights"):
            weights.save(config, params, tmp_path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert {file.name: file.read_bytes() for file in tmp_path.iterdir()} == before
    assert_equal(weights.load(config, tmp_path), old)


@pytest.mark.parametrize("old_bytes", [10**9, 4 * 10**5, 5 * 10**5])
@pytest.mark.parametrize("new_bytes", [10**9, 4 * 10**5])
def test_stopped_while_files_are_replaced(tmp_path, saved, monkeypatch, old_bytes, new_bytes):
    """Wherever it stops: the old weights, the new ones, or an error; never some of both."""
    config, params, _ = saved
    old = jax.tree.map(lambda a: a + 1, params)
    seen = set()
    for stop in range(40):
        folder = tmp_path / str(stop)
        weights.save(config, old, folder, max_file_bytes=old_bytes)
        done = 0

        def stopping(step, stop=stop):
            def act(*args, **options):
                nonlocal done
                if done == stop:
                    raise KeyboardInterrupt
                done += 1
                return step(*args, **options)

            return act

        with monkeypatch.context() as patch:
            for name in ("replace", "unlink"):
                patch.setattr(Path, name, stopping(getattr(Path, name)))
            try:
                weights.save(config, params, folder, max_file_bytes=new_bytes)
                break
            except KeyboardInterrupt:
                pass
        try:
            found = weights.load(config, folder)
        except ValueError as error:
            assert "the download or save did not end" in str(error)
            seen.add("error")
            continue
        scale = found["text"]["norm"]["scale"][0] - params["text"]["norm"]["scale"][0]
        seen.add(["new", "old"][round(float(scale))])
        assert_equal(found, old if round(float(scale)) else params)
    else:
        pytest.fail("it never ended")
    assert "old" in seen
    assert_equal(weights.load(config, folder), params)
    assert {f.name for f in folder.glob("*.safetensors")} == {
        f.name for f in weights.save(config, params, tmp_path / "x", max_file_bytes=new_bytes)
        if f.suffix == ".safetensors"
    }  # fmt: skip


def test_what_a_killed_save_left_is_cleared(tmp_path, saved):
    config, params, _ = saved
    (tmp_path / ".unfinished").mkdir()
    (tmp_path / ".unfinished" / "model-00001-of-00009.safetensors").write_bytes(b"half")
    weights.save(config, params, tmp_path)
    assert not (tmp_path / ".unfinished").exists()
    assert sorted(file.name for file in tmp_path.glob("*.safetensors")) == ["model.safetensors"]
