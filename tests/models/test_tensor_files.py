"""Safetensors files against the library of that name, and what is said of broken ones."""

import json
import re

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from surgzoo.models import tensor_files
from surgzoo.models.tensor_files import INDEX, TensorFile, TensorFolder, row_ranges, write_file


def tensors(dtype):
    rng = np.random.default_rng(0)
    return {
        "matrix": rng.normal(size=(7, 5)).astype(dtype),
        "vector": rng.normal(size=3).astype(dtype),
        "block": rng.normal(size=(2, 3, 4)).astype(dtype),
        "empty": np.zeros((0, 4), dtype),
        "number": np.array(2.5, dtype),
    }


@pytest.mark.parametrize("dtype", tensor_files.DTYPES.values(), ids=str)
def test_reads_what_the_library_wrote(tmp_path, dtype):
    save_file(tensors(dtype), tmp_path / "a.safetensors", metadata={"format": "pt"})
    with TensorFolder(tmp_path) as files:
        assert files.shapes == {key: value.shape for key, value in tensors(dtype).items()}
        for key, value in tensors(dtype).items():
            read = files.read(key)
            assert read.dtype == dtype
            np.testing.assert_array_equal(read, value)
        np.testing.assert_array_equal(files.read("matrix", 2, 6), tensors(dtype)["matrix"][2:6])
        assert files.row_bytes("matrix") == 5 * np.dtype(dtype).itemsize


@pytest.mark.parametrize("dtype", tensor_files.DTYPES.values(), ids=str)
def test_the_library_reads_what_is_written(tmp_path, dtype):
    content = tensors(dtype)
    shapes = {key: value.shape for key, value in content.items()}

    def parts(key):
        value = content[key]
        return [value] if value.ndim == 0 else [value[:1], value[1:].T.copy().T]  # any layout

    write_file(tmp_path / "a.safetensors", shapes, np.dtype(dtype), parts)
    read = load_file(tmp_path / "a.safetensors")
    assert set(read) == set(content)
    for key, value in content.items():
        assert read[key].dtype == dtype
        np.testing.assert_array_equal(read[key], value)


@pytest.mark.parametrize(
    "part, message",
    [
        (np.zeros((3, 5), np.float32), "has 60 bytes"),
        (np.zeros((7, 4), np.float32), r"got float32 \(7, 4\)"),
        (np.zeros((7, 5), np.float64), "got float64"),
    ],
)
def test_wrong_parts_are_not_written(tmp_path, part, message):
    with pytest.raises(ValueError, match=message):
        write_file(tmp_path / "a", {"m": (7, 5)}, np.dtype(np.float32), lambda _: [part])


def test_a_file_system_that_cannot_reserve(tmp_path, monkeypatch):
    """Then a full disk is told of by the writing."""
    monkeypatch.setattr(tensor_files.ctypes, "CDLL", lambda *args, **options: object())
    part = np.ones((7, 5), np.float32)
    write_file(tmp_path / "a", {"m": (7, 5)}, part.dtype, lambda _: [part])
    np.testing.assert_array_equal(load_file(tmp_path / "a")["m"], part)
    with pytest.raises(OSError, match="No space left"):
        write_file("/dev/full", {"m": (7, 5)}, part.dtype, lambda _: [part])


def test_row_ranges_cover_once(monkeypatch):
    monkeypatch.setattr(tensor_files, "PART_BYTES", 100)
    assert list(row_ranges(3, 30, 10)) == [(3, 12), (12, 21), (21, 30)]
    assert list(row_ranges(0, 11, 10)) == [(0, 6), (6, 11)]
    assert list(row_ranges(4, 4, 10)) == []
    assert list(row_ranges(0, 2, 1000)) == [(0, 1), (1, 2)]


def written(folder):
    path = folder / "model.safetensors"
    save_file({"a": np.arange(6.0, dtype=np.float32).reshape(2, 3)}, path)
    return path


def cut_short(path):
    path.write_bytes(path.read_bytes()[:-4])


def cut_in_header(path):
    path.write_bytes(path.read_bytes()[:30])


def nothing_in_it(path):
    path.write_bytes(b"")


def pointer(path):
    path.write_bytes(b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 5\n")


def no_json(path):
    content = bytearray(path.read_bytes())
    content[8:12] = b"\xff\xff\xff\xff"
    path.write_bytes(bytes(content))


def other_shape(path):
    path.write_bytes(path.read_bytes().replace(b"[2,3]", b"[2,4]"))


@pytest.mark.parametrize(
    "harm, message",
    [
        (cut_short, r"is damaged: its header tells of \d+ bytes, it has \d+. Download"),
        (cut_in_header, "header cannot be read. Download"),
        (nothing_in_it, r"\(0 bytes\) is no whole safetensors file"),
        (pointer, "Git LFS pointer, not weights. Run `git lfs pull`"),
        (no_json, "header cannot be read"),
        (other_shape, "is damaged: a, F32"),
    ],
)
def test_broken_files_are_named(tmp_path, harm, message):
    path = written(tmp_path)
    harm(path)
    with pytest.raises(ValueError, match=f"{re.escape(str(path))}.*{message}"):
        TensorFolder(tmp_path)


def test_a_file_that_shrinks_while_it_is_read(tmp_path):
    path = written(tmp_path)
    file = TensorFile(path)
    cut_short(path)
    with pytest.raises(ValueError, match="became shorter"):
        file.read("a")
    file.close()


def test_quantised_tensors_are_refused(tmp_path):
    save_file({"a": np.zeros(3, np.int8)}, tmp_path / "model.safetensors")
    with (
        TensorFolder(tmp_path) as files,
        pytest.raises(ValueError, match="a is stored as I8"),
    ):
        files.read("a")


def several(folder, index=True):
    names = {key: f"model-0000{i}-of-00002.safetensors" for i, key in ((1, "a"), (2, "b"))}
    for key, name in names.items():
        save_file({key: np.zeros(2, np.float32)}, folder / name)
    if index:
        (folder / INDEX).write_text(json.dumps({"weight_map": names}))
    return list(names.values())


def test_a_missing_file_is_named(tmp_path):
    names = several(tmp_path)
    (tmp_path / names[1]).unlink()
    with pytest.raises(FileNotFoundError, match=f"1 of the 2 files .* not there: {names[1]}. Get"):
        TensorFolder(tmp_path)


def test_a_missing_or_broken_index_is_named(tmp_path):
    names = several(tmp_path, index=False)
    with pytest.raises(ValueError, match=f"has {names[0]} but no {INDEX}: the download or save"):
        TensorFolder(tmp_path)
    for content in ("{", "[]", '{"weight_map": 3}'):
        (tmp_path / INDEX).write_text(content)
        with pytest.raises(ValueError, match=f"{INDEX} is no index of safetensors"):
            TensorFolder(tmp_path)


def test_files_without_an_index_must_not_share_a_key(tmp_path):
    for name, key in (("one", "a"), ("two", "a"), ("three", "b")):
        save_file({key: np.zeros(2, np.float32)}, tmp_path / f"{name}.safetensors")
    with pytest.raises(ValueError, match="are the same parameter"):
        TensorFolder(tmp_path)
    (tmp_path / "two.safetensors").unlink()
    with TensorFolder(tmp_path) as files:
        assert set(files.shapes) == {"a", "b"}


def test_a_single_file_goes_before_an_index(tmp_path):
    """As in transformers."""
    several(tmp_path)
    written(tmp_path)
    with TensorFolder(tmp_path) as files:
        assert files.shapes == {"a": (2, 3)}
