"""Unpacking: every archive format, damage, resuming, and untrusted archives."""

from __future__ import annotations

import hashlib
import json
import os
import tarfile
import zipfile
from pathlib import Path

import pytest
from testing.downloads import parts, tar_bytes, write_parts, write_zip

from trishift.data.prepare.unpacking import require_complete, unpack
from trishift.errors import DataError

FILES = {f"20bn-jester-v1/{clip}/{n:05d}.jpg": os.urandom(9000) for clip in (7, 34) for n in (1, 2, 3)}


def contents(folder: Path) -> dict[str, bytes]:
    files = (path for path in folder.rglob("*") if path.is_file() and path.name != "unpacked.json")
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


@pytest.mark.parametrize("form", ["bare", "zipped", "misnamed"])
def test_split_archive_unpacks_as_one(tmp_path: Path, form: str) -> None:
    paths = write_parts(tmp_path / "in", form, tar_bytes(FILES))
    before = [path.read_bytes() for path in paths]
    assert unpack(tmp_path / "in", tmp_path / "out") == {}
    assert contents(tmp_path / "out") == FILES
    assert [path.read_bytes() for path in paths] == before
    assert json.loads((tmp_path / "out" / "unpacked.json").read_text())["20bn-jester-v1-??"]["files"] == len(FILES)


@pytest.mark.parametrize(("suffix", "mode"), [(".tar", "w"), (".tar.gz", "w:gz"), (".tgz", "w:gz")])
def test_tars_and_zips_unpack_into_their_folder(tmp_path: Path, suffix: str, mode: str) -> None:
    (tmp_path / "in" / "train").mkdir(parents=True)
    (tmp_path / "in" / "train" / f"part_0{suffix}").write_bytes(tar_bytes({"a.mp4": b"a"}, mode))
    write_zip(tmp_path / "in" / "val" / "part_0.zip", {"b.mp4": b"b"})
    assert unpack(tmp_path / "in", tmp_path / "out") == {}
    assert contents(tmp_path / "out") == {"train/a.mp4": b"a", "val/b.mp4": b"b"}


@pytest.mark.parametrize(
    ("lost", "message"), [(1, "part 01 is missing"), (2, "damaged or incomplete in 20bn-jester-v1-01")]
)
def test_missing_part_can_be_added_later(tmp_path: Path, lost: int, message: str) -> None:
    paths = write_parts(tmp_path / "in", "bare", tar_bytes(FILES))
    piece = paths[lost].read_bytes()
    paths[lost].unlink()
    problems = unpack(tmp_path / "in", tmp_path / "out")
    assert len(problems) == 1 and message in problems["20bn-jester-v1-??"]
    with pytest.raises(DataError, match=r"--incomplete"):
        require_complete(problems, incomplete=False)
    paths[lost].write_bytes(piece)
    assert unpack(tmp_path / "in", tmp_path / "out") == {}
    assert contents(tmp_path / "out") == FILES


def test_md5_identifies_damaged_part(tmp_path: Path) -> None:
    data = tar_bytes(FILES)
    paths = write_parts(tmp_path / "in", "zipped", data)
    good = paths[1].read_bytes()
    piece = bytearray(parts(data)[1])
    piece[50] ^= 1
    sums = hashlib.md5(parts(data)[1]).hexdigest().encode()
    write_zip(
        tmp_path / "in" / "20bn-jester-v1-01.zip", {"20bn-jester-v1-01": bytes(piece), "20bn-jester-v1-01.md5": sums}
    )
    problem = unpack(tmp_path / "in", tmp_path / "out")["20bn-jester-v1-??"]
    assert "20bn-jester-v1-01" in problem and "\n" not in problem
    paths[1].write_bytes(good)
    assert unpack(tmp_path / "in", tmp_path / "out") == {}
    assert contents(tmp_path / "out") == FILES  # including the files changed by the damage


@pytest.mark.parametrize("kept", [3 * 9728, 3 * 9728 + 512, 31000, 50000])  # 9728 bytes per member
@pytest.mark.parametrize("mode", ["w", "w:gz"])
def test_truncated_tar_yields_complete_files(tmp_path: Path, mode: str, kept: int) -> None:
    (tmp_path / "in").mkdir()
    path = tmp_path / "in" / ("clips.tar" if mode == "w" else "clips.tar.gz")
    data = tar_bytes(FILES, mode)
    path.write_bytes(data[:kept])
    problems = unpack(tmp_path / "in", tmp_path / "out")
    assert "damaged or incomplete" in problems[path.name] and "\n" not in problems[path.name]
    found = contents(tmp_path / "out")
    assert found and found.items() <= FILES.items()
    path.write_bytes(data)
    assert unpack(tmp_path / "in", tmp_path / "out") == {}
    assert contents(tmp_path / "out") == FILES


@pytest.mark.parametrize("damage", ["cut", "flip"])
def test_trailing_checksum_is_verified(tmp_path: Path, damage: str) -> None:
    data = bytearray(tar_bytes(FILES))
    data[-6] ^= 1 if damage == "flip" else 0  # in the checksum
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "clips.tgz").write_bytes(data if damage == "flip" else data[:-2])
    assert "6 files could be read" in unpack(tmp_path / "in", tmp_path / "out")["clips.tgz"]


def test_broken_zip_member_is_skipped(tmp_path: Path) -> None:
    path = write_zip(tmp_path / "in" / "videos.zip", {f"{n}.mp4": bytes([n]) * 300 for n in range(5)})
    path.write_bytes(path.read_bytes().replace(bytes([3]) * 300, bytes([9]) * 300))
    problem = unpack(tmp_path / "in", tmp_path / "out")["videos.zip"]
    assert "1 of 5 files" in problem and "3.mp4" in problem
    assert set(contents(tmp_path / "out")) == {"0.mp4", "1.mp4", "2.mp4", "4.mp4"}


def test_truncated_zip_does_not_stop_other_archives(tmp_path: Path) -> None:
    path = write_zip(tmp_path / "in" / "a.zip", FILES)
    path.write_bytes(path.read_bytes()[:-100])
    write_zip(tmp_path / "in" / "b.zip", {"b.txt": b"b"})
    (tmp_path / "in" / "._b.zip").write_bytes(b"metadata left by macOS")
    assert "complete zip" in unpack(tmp_path / "in", tmp_path / "out").pop("a.zip")
    assert contents(tmp_path / "out") == {"b.txt": b"b"}


@pytest.mark.parametrize("name", ["../evil.txt", "/evil.txt", "a/../../evil.txt", "C:\\evil.txt"])
@pytest.mark.parametrize("form", ["tar.gz", "zip"])
def test_rejects_paths_outside_the_folder(tmp_path: Path, form: str, name: str) -> None:
    (tmp_path / "in").mkdir()
    if form == "zip":
        write_zip(tmp_path / "in" / "bad.zip", {name: b"evil"})
    else:
        (tmp_path / "in" / "bad.tar.gz").write_bytes(tar_bytes({name: b"evil"}))
    with pytest.raises(DataError, match="outside"):
        unpack(tmp_path / "in", tmp_path / "out" / "deep")
    assert not list(tmp_path.rglob("evil*"))


@pytest.mark.parametrize("form", ["tar", "zip"])
@pytest.mark.parametrize(("name", "message"), [("", "outside"), ("a/" * 2000 + "x", "nested too deeply")])
def test_rejects_impossible_names(tmp_path: Path, form: str, name: str, message: str) -> None:
    path = tmp_path / "in" / f"bad.{form}"
    path.parent.mkdir()
    if form == "tar":
        path.write_bytes(tar_bytes({name: b"x"}, "w"))
    else:
        with zipfile.ZipFile(path, "w") as archive, archive.open(zipfile.ZipInfo(name), "w") as file:
            file.write(b"x")
    with pytest.raises(DataError, match=message) as caught:
        unpack(tmp_path / "in", tmp_path / "out")
    assert len(str(caught.value)) < 500 and not list((tmp_path / "out").rglob("*x"))


@pytest.mark.parametrize("name", ["a.zip", "a.tar", "a.tar.gz", "20bn-x-00", "20bn-x-00.zip"])
def test_devices_are_not_read(tmp_path: Path, name: str) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / name).symlink_to("/dev/zero")
    assert "not a regular file" in unpack(tmp_path / "in", tmp_path / "out")[name]


@pytest.mark.parametrize("compression", [zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_every_compression_can_be_damaged(tmp_path: Path, compression: int) -> None:
    path = tmp_path / "in" / "a.zip"
    path.parent.mkdir()
    with zipfile.ZipFile(path, "w", compression) as archive:
        archive.writestr("a.txt", bytes(range(256)))
        archive.writestr("20bn-x-00.md5", b"")
    good = path.read_bytes()
    for place in (35, 40, 60, 90):  # in the packed bytes of the first member
        path.write_bytes(good[:place] + b"\xff\xff" + good[place + 2 :])
        problems = unpack(tmp_path / "in", tmp_path / "out")
        assert "\n" not in problems.get("a.zip", "") and not list((tmp_path / "out").rglob(".*"))
        assert compression == zipfile.ZIP_DEFLATED or "is not supported, only deflate" in problems["a.zip"]


def test_rejects_links_in_tars(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    with tarfile.open(tmp_path / "in" / "links.tar.gz", "w:gz") as tar:
        link = tarfile.TarInfo("link")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc"
        tar.addfile(link)
    with pytest.raises(DataError, match="link"):
        unpack(tmp_path / "in", tmp_path / "out")


def test_unpacking_resumes(tmp_path: Path) -> None:
    write_zip(tmp_path / "in" / "a.zip", {"x/1.txt": b"one", "x/2.txt": b"two"})
    half = tmp_path / "out" / "x" / "1.txt"
    half.parent.mkdir(parents=True)
    half.write_bytes(b"o")
    unpack(tmp_path / "in", tmp_path / "out")
    assert half.read_bytes() == b"one"
    half.unlink()  # recorded archives are not unpacked again
    unpack(tmp_path / "in", tmp_path / "out")
    assert not half.exists()
    write_zip(tmp_path / "in" / "a.zip", {"x/1.txt": b"new one", "x/2.txt": b"two"})
    unpack(tmp_path / "in", tmp_path / "out")
    assert half.read_bytes() == b"new one"


def test_rar_needs_an_installed_program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A stub replaces unrar, which is not free software: it unpacks tars named rar."""
    inner = tar_bytes({"wave/a.avi": b"a", "wave/b.avi": b"b"}, "w")
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "hmdb51_org.rar").write_bytes(tar_bytes({"wave.rar": inner}, "w"))
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    with pytest.raises(DataError, match="install unrar"):
        unpack(tmp_path / "in", tmp_path / "out")
    tool = tmp_path / "bin" / "unrar"
    tool.parent.mkdir()
    tool.write_text('#!/bin/sh\nPATH=/usr/bin:/bin exec tar -x -f "$5" -C "$6"\n')
    tool.chmod(0o755)
    assert unpack(tmp_path / "in", tmp_path / "out") == {}
    assert contents(tmp_path / "out") == {"wave/a.avi": b"a", "wave/b.avi": b"b"}
    (tmp_path / "in" / "cut.rar").write_bytes(b"nothing")
    assert "unrar cannot unpack" in unpack(tmp_path / "in", tmp_path / "out")["cut.rar"]
