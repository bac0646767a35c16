"""Features of a prepared source by encoders of the zoo."""

import dataclasses
import json
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from surgzoo.core import config as config_lib
from surgzoo.data.features import FeatureStore, FeatureWriter
from surgzoo.data.jpeg import decode_jpeg
from surgzoo.db.store import Store
from surgzoo.evaluate import extract, findings
from surgzoo.evaluate.predictors.local import from_weights
from surgzoo.models.build import model_config
from surgzoo.train.checkpoint import Checkpointer
from surgzoo.train.experiment import ModelConfig
from tests.train.toy_run import OVERRIDES, experiment

NOTHING = findings.of_videos([], ["unknown"])


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory, small_data):
    folder = tmp_path_factory.mktemp("extracted")
    (folder / "synthsurg").symlink_to(small_data / "synthsurg")
    return folder


@pytest.fixture(scope="module")
def store(data_dir):
    return Store.open(data_dir, "synthsurg", "small")


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    """clip-tiny with the weights of a folder."""
    config = model_config("clip-tiny")
    folder = tmp_path_factory.mktemp("clip")
    config.save_weights(config.build().init(jax.random.key(0)), folder)
    return from_weights(ModelConfig("clip-tiny", weights=str(folder)))


def test_every_frame_has_the_vector_that_it_has_alone(clip, data_dir, store):
    done = extract.extract(clip, NOTHING, store, data_dir, "clip", split="test", batch_size=10)
    videos = store.select("test")
    assert (done.videos, done.kept) == (len(videos), 0)
    assert done.frames == sum(stored.count for stored in videos)
    found = FeatureStore(store, data_dir, "clip")
    assert found.meta.encoder.model == "clip-tiny" and found.meta.unclear == ("unknown",)
    assert found.meta.encoder.card["licence"] and found.meta.encoder.config["embed"] == done.width
    assert [found.has(stored.video.id) for stored in store.videos] == [
        stored in videos for stored in store.videos
    ]
    embed = jax.jit(clip.model.embed_frames)
    for index in (0, 9, 10, videos[1].count - 1):
        image = decode_jpeg(store.frame(videos[1].video.id, index).image, "test")
        (alone,) = embed(clip.params, clip.processor.frames([image]))
        rows = found.read(videos[1].video.id)
        np.testing.assert_allclose(rows[index], alone, atol=1e-5)
    # The other splits are added, what is there stays.
    more = extract.extract(clip, NOTHING, store, data_dir, "clip", batch_size=10)
    assert more.kept == len(videos) and more.videos == len(store.videos) - len(videos)


def test_a_killed_extraction_goes_on_where_it_stopped(clip, data_dir, store, monkeypatch):
    original, written = FeatureWriter.write, []

    def write(self, stored, features):
        if len(written) == 2:
            raise KeyboardInterrupt
        original(self, stored, features)
        written.append(stored.video.id)

    monkeypatch.setattr(FeatureWriter, "write", write)
    with pytest.raises(KeyboardInterrupt):
        extract.extract(clip, NOTHING, store, data_dir, "killed")
    found = FeatureStore(store, data_dir, "killed")
    kept = {v: (found.path / f"{v}.array_record").stat().st_mtime_ns for v in written}
    monkeypatch.setattr(FeatureWriter, "write", original)
    done = extract.extract(clip, NOTHING, store, data_dir, "killed")
    assert (done.kept, done.videos) == (2, len(store.videos) - 2)
    for video, time in kept.items():
        assert (found.path / f"{video}.array_record").stat().st_mtime_ns == time
    whole = extract.extract(clip, NOTHING, store, data_dir, "whole")
    for stored in store.videos:
        name = f"{stored.video.id}.array_record"
        assert (found.path / name).read_bytes() == (whole.folder / name).read_bytes()


def test_shards_make_together_what_one_process_makes(clip, data_dir, store):
    whole = extract.extract(clip, NOTHING, store, data_dir, "one")
    assert whole.lacking == 0
    count = len(store.videos)
    lacking, written = count, 0
    for index in (3, 1, 2):
        done = extract.extract(clip, NOTHING, store, data_dir, "three", shard=(index, 3))
        assert done.videos == len(store.videos[index - 1 :: 3]) and done.kept == 0
        lacking -= done.videos
        written += done.frames
        assert done.lacking == lacking
    assert lacking == 0 and written == whole.frames
    for stored in store.videos:
        name = f"{stored.video.id}.array_record"
        assert (done.folder / name).read_bytes() == (whole.folder / name).read_bytes()
    # More processes than videos: the last has nothing to do, and says what there is.
    idle = extract.extract(clip, NOTHING, store, data_dir, "three", shard=(count + 1, count + 1))
    assert (idle.videos, idle.kept, idle.lacking) == (0, 0, 0)


def test_a_killed_shard_goes_on_and_leaves_the_other_alone(clip, data_dir, store, monkeypatch):
    original, written = FeatureWriter.write, []

    def write(self, stored, features):
        if written:
            raise KeyboardInterrupt
        original(self, stored, features)
        written.append(stored.video.id)

    mine, theirs = store.videos[0::2], store.videos[1::2]
    other = extract.extract(clip, NOTHING, store, data_dir, "cut", shard=(2, 2))
    assert other.lacking == len(mine)
    monkeypatch.setattr(FeatureWriter, "write", write)
    with pytest.raises(KeyboardInterrupt):
        extract.extract(clip, NOTHING, store, data_dir, "cut", shard=(1, 2))
    files = [other.folder / f"{v}.array_record" for v in written]
    files += [other.folder / f"{stored.video.id}.array_record" for stored in theirs]
    times = [file.stat().st_mtime_ns for file in files]
    monkeypatch.setattr(FeatureWriter, "write", original)
    done = extract.extract(clip, NOTHING, store, data_dir, "cut", shard=(1, 2))
    assert (done.kept, done.videos, done.lacking) == (1, len(mine) - 1, 0)
    assert [file.stat().st_mtime_ns for file in files] == times


def test_shards_that_cannot_be(clip, data_dir, store, monkeypatch):
    def go(**options):
        return extract.extract(clip, NOTHING, store, data_dir, "none", **options)

    for shard in ((0, 2), (3, 2)):
        with pytest.raises(ValueError, match=rf"shard {shard[0]}/2: write i/n"):
            go(shard=shard)
    with pytest.raises(ValueError, match=r"would remove what other shards.*remove .*synthsurg\.sm"):
        go(shard=(1, 2), overwrite=True)
    monkeypatch.setattr(jax, "process_count", lambda: 4)
    with pytest.raises(ValueError, match=r"group of 4 processes.*--shard=i/4"):
        go()
    assert not (data_dir / "features" / "none").exists()


def test_parameters_have_a_hash_of_their_own(clip):
    params = clip.params
    again = jax.tree.map(np.asarray, params)
    assert extract.parameters_hash(params) == extract.parameters_hash(again)
    again["vision"]["norm"]["bias"] = again["vision"]["norm"]["bias"] + 1e-6
    assert extract.parameters_hash(params) != extract.parameters_hash(again)


def test_who_cannot_and_what_cannot_be(clip, data_dir, store):
    planner = dataclasses.replace(clip, model=model_config("bsa-planner").build(), name="planner")
    with pytest.raises(ValueError, match=r"no encoder of single frames; these are: .*surgvlp"):
        extract.extract(planner, NOTHING, store, data_dir, "x")
    with pytest.raises(ValueError, match="becomes the name of a folder"):
        extract.extract(clip, NOTHING, store, data_dir, "../x")
    with pytest.raises(ValueError, match="has no video in the split 'validation'"):
        extract.extract(clip, NOTHING, store, data_dir, "x", split="validation")
    with pytest.raises(ValueError, match="has no weights"):
        from_weights(ModelConfig("clip-tiny"))


def test_the_command_knows_what_a_run_was_trained_on(data_dir, store, tmp_path):
    """A run folder as the loop leaves it, the weights of nobody."""
    config = experiment(data_dir)
    (tmp_path / "config.json").write_text(config_lib.dump(config))
    params = model_config("surgvlm-tiny", OVERRIDES).build().init(jax.random.key(0))
    checkpoints = Checkpointer(tmp_path / "checkpoints")
    checkpoints.save(3, {"params": params, "step": jnp.int32(3)}, {})
    checkpoints.close()

    line = (
        *(sys.executable, "-m", "surgzoo.tools.main", "extract_features"),
        *("--source=synthsurg.small", f"--data_dir={data_dir}"),
    )

    def command(*more):
        return subprocess.run([*line, "--out_name=run", *more], capture_output=True, text=True)

    done = command(f"--run_dir={tmp_path}", "--dtype=float16", "--split=val")
    assert done.returncode == 0, done.stderr
    assert "192 numbers a frame" in done.stdout and "features=192" in done.stdout
    meta = json.loads((data_dir / "features" / "run" / "synthsurg.small" / "meta.json").read_text())
    trained = {stored.video.canonical for stored in store.select("train")}
    assert set(meta["trained_on"]) == trained and "unclear" not in meta
    assert meta["encoder"]["name"] == "surgvlm-tiny/toy@3" and meta["dtype"] == "float16"
    assert meta["encoder"]["config"]["text"]["depth"] == 2
    for arguments, message in (
        ((), "say which encoder"),
        ((f"--run_dir={tmp_path}", "--trained_on=cholec80"), "--trained_on is for --model"),
        ((f"--run_dir={tmp_path}", "--shard=two"), "--shard=two: write i/n"),
    ):
        wrong = command(*arguments)
        assert wrong.returncode != 0 and message in wrong.stderr, wrong.stderr

    # Two processes at once, each its share; one of them finds the other's done, or both.
    shards = [f"--shard={index}/2" for index in (1, 2)]
    started = [
        subprocess.Popen(
            [*line, "--out_name=shared", f"--run_dir={tmp_path}", shard],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for shard in shards
    ]
    said = [process.communicate(timeout=300) for process in started]
    assert [process.returncode for process in started] == [0, 0], said
    assert any("in a config: data.features='shared'" in out for out, _ in said)
    shared = FeatureStore(store, data_dir, "shared")
    assert shared.meta == dataclasses.replace(
        FeatureStore(store, data_dir, "run").meta, dtype="float32"
    )
    for stored in store.videos:
        shared.check(stored.video.id)
    assert not list(shared.path.glob("*.part"))
