"""Folders and archives as one tree, and what is refused."""

import io
import pickle
import tarfile
import zipfile

import pytest

from surgzoo.datasets.layout import LayoutError, Tree


def write(path, data=b"x"):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)


def write_zip(path, members, compression=zipfile.ZIP_DEFLATED):
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, data in members.items():
            archive.writestr(name, data)


def write_tar(path, members, mode="w"):
    with tarfile.open(path, mode) as archive:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))


def test_members_stand_where_unpacking_would_put_them(tmp_path):
    write(tmp_path / "labels" / "a.txt", b"unpacked")
    write_zip(tmp_path / "all.zip", {"labels/a.txt": b"packed", "labels/b.txt": b"zip"})
    write_tar(tmp_path / "more.tar", {"./labels/c.txt": b"tar", "labels/d.txt": b"second"})
    tree = Tree.open(tmp_path)
    found = {file.name: file.read() for file, _ in tree.match(r"labels/.*\.txt")}
    assert found == {"a.txt": b"unpacked", "b.txt": b"zip", "c.txt": b"tar", "d.txt": b"second"}
    for file, _ in tree.match(r"labels/.*"):
        copy = pickle.loads(pickle.dumps(file))
        with copy.open() as opened:
            assert opened.read() == file.read()
            opened.seek(1)
            assert opened.read() == file.read()[1:]


def test_an_archive_alone_is_a_tree(tmp_path):
    write_zip(tmp_path / "release.zip", {"release/videos/a.mp4": b"v"})
    tree = Tree.open(tmp_path / "release.zip").descend("videos")
    assert tree["videos/a.mp4"].read() == b"v"


def test_paths_compare_without_case_and_litter_is_left_out(tmp_path):
    write(tmp_path / "Videos" / "VID01.MP4")
    for name in ("__MACOSX/x.mp4", "Videos/._VID01.mp4", ".DS_Store", "Thumbs.db"):
        write(tmp_path / name)
    write_zip(tmp_path / "a.zip", {"__MACOSX/b": b"", "c/._d": b"", "c/d": b"1"})
    tree = Tree.open(tmp_path)
    assert list(tree.files) == ["Videos/VID01.MP4", "a.zip", "c/d"]
    assert tree["videos/vid01.mp4"].name == "VID01.MP4"
    assert [m[1] for _, m in tree.match(r"videos/vid(\d+)\.mp4")] == ["01"]
    assert len(tree.below("VIDEOS")) == 1 and tree.folders() == ("Videos", "c")


def test_descend_finds_the_shallowest_folder(tmp_path):
    write(tmp_path / "wrap" / "wrap" / "labels" / "a.txt")
    write(tmp_path / "wrap" / "wrap" / "old" / "labels" / "a.txt")
    assert next(iter(Tree.open(tmp_path).descend("videos", "LABELS").files)) == "labels/a.txt"
    with pytest.raises(LayoutError, match="there is no videos and no frames"):
        Tree.open(tmp_path).descend("videos", "frames")


@pytest.mark.parametrize(
    "name", ["../evil.txt", "/etc/evil", "a/../../evil", "C:/evil", "..\\evil"]
)
@pytest.mark.parametrize("kind", ["zip", "tar"])
def test_a_member_that_leads_outside_is_refused(tmp_path, kind, name):
    if kind == "zip":
        write_zip(tmp_path / "bad.zip", {name: b"x"})
    else:
        write_tar(tmp_path / "bad.tar", {name: b"x"})
    with pytest.raises(LayoutError, match=r"bad\.(zip|tar) cannot be used: the member .* outside"):
        Tree.open(tmp_path)


def test_links_in_a_tar_are_not_followed(tmp_path):
    with tarfile.open(tmp_path / "a.tar", "w") as archive:
        info = tarfile.TarInfo("passwd")
        info.type, info.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(info)
        archive.addfile(tarfile.TarInfo("empty"), io.BytesIO())
    assert list(Tree.open(tmp_path).files) == ["a.tar", "empty"]


def test_broken_and_compressed_archives_say_what_to_do(tmp_path):
    (tmp_path / "a").mkdir()
    write_zip(tmp_path / "a" / "cut.zip", {"x": bytes(5000)}, zipfile.ZIP_STORED)
    data = (tmp_path / "a" / "cut.zip").read_bytes()
    (tmp_path / "a" / "cut.zip").write_bytes(data[:3000])
    with pytest.raises(LayoutError, match=r"cut\.zip cannot be used"):
        Tree.open(tmp_path / "a")
    (tmp_path / "b").mkdir()
    write_tar(tmp_path / "b" / "frames.tar.gz", {"x": b""}, "w:gz")
    with pytest.raises(LayoutError, match=r"frames\.tar\.gz cannot be read in place: unpack it"):
        Tree.open(tmp_path / "b", "sample", "frames/").descend("frames")


def test_errors_show_expected_beside_found(tmp_path):
    for number in range(6):
        write(tmp_path / "pictures" / f"{number}.png")
    with pytest.raises(LayoutError) as caught:
        Tree.open(tmp_path, "sample", "labels/a.txt\nvideos/a.mp4")["labels/a.txt"]
    lines = str(caught.value).splitlines()
    assert lines[0] == "sample: labels/a.txt is missing"
    assert lines[2:4] == ["    labels/a.txt", "    videos/a.mp4"]
    assert lines[5:] == [
        "    pictures/",
        "      0.png",
        "      1.png",
        "      2.png",
        "      … 3 more",
    ]
    with pytest.raises(LayoutError, match="is not a folder"):
        Tree.open(tmp_path / "nowhere")
