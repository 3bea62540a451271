"""Members of tar files through the index beside them, and damaged shards."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trishift.errors import DataError
from trishift.io.storage import read_bytes
from trishift.io.storage.shards import _index, _line, split_member, write_index


@pytest.fixture
def shard(tmp_path: Path) -> Path:
    path = tmp_path / "train-000000.tar"
    write(path, {f"jump/{number}.mp4": bytes([number]) * (number * 700) for number in range(20)})
    assert write_index(path) == 20
    _index.cache_clear()
    return path


def write(path: Path, members: dict[str, bytes]) -> None:
    with tarfile.open(path, "w") as tar:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))


def test_every_member_is_read(shard: Path) -> None:
    for number in range(20):
        assert read_bytes(shard / f"jump/{number}.mp4") == bytes([number]) * (number * 700)
    with pytest.raises(DataError, match=r"jump/20\.mp4: the shard has no such member"):
        read_bytes(shard / "jump/20.mp4")


@settings(max_examples=50, deadline=None)
@given(st.sets(st.text(st.characters(exclude_characters="\t\n\0", exclude_categories=["Cs"]), min_size=1, max_size=9)))
def test_search_finds_the_first_name_that_is_not_before(names: set[str]) -> None:
    encoded = sorted(name.encode() for name in names)
    index = b"trishift-index 1 9\n" + b"".join(b"%s\t1\t2\t3\n" % name for name in encoded)
    for wanted in (*encoded, *(name + b"\x01" for name in encoded), b"\x00", b"\xff"):
        start, end = _line(index, wanted)
        first = next((name + b"\t1\t2\t3" for name in encoded if name >= wanted), b"")
        assert index[start:end] == first


def test_folders_named_like_shards_are_folders(tmp_path: Path) -> None:
    (tmp_path / "old.tar").mkdir()
    (tmp_path / "old.tar/a.txt").write_text("x")
    assert split_member(tmp_path / "old.tar/a.txt") is None
    assert read_bytes(tmp_path / "old.tar/a.txt") == b"x"


def test_damage_is_named_with_a_remedy(shard: Path) -> None:
    member = shard / "jump/7.mp4"
    data = bytearray(shard.read_bytes())
    place = bytes(data).index(bytes([7]) * 100)
    data[place + 50] ^= 1
    shard.write_bytes(data)
    with pytest.raises(DataError, match=r"000000\.tar/jump/7\.mp4: the shard is damaged here.*copy the shard again"):
        read_bytes(member)
    assert read_bytes(shard / "jump/8.mp4") == bytes([8]) * 5600  # only this member is lost
    shard.write_bytes(data[:-1024])
    with pytest.raises(DataError, match=r"according to its index; the shard is truncated or was replaced"):
        read_bytes(member)


def test_a_shard_without_its_index_is_named(shard: Path) -> None:
    index = Path(f"{shard}.index")
    index.write_bytes(index.read_bytes()[:-5])
    with pytest.raises(DataError, match=r"not an index, or cut off; write it with: trishift prepare index"):
        read_bytes(shard / "jump/7.mp4")
    index.unlink()
    with pytest.raises(DataError, match=r"train-000000\.tar: has no index; write it with: trishift prepare index"):
        read_bytes(shard / "jump/7.mp4")
    shard.unlink()
    with pytest.raises(DataError, match=r"train-000000\.tar: .*No such file"):
        read_bytes(shard / "jump/7.mp4")


def test_places_outside_the_shard_are_refused(shard: Path) -> None:
    index = Path(f"{shard}.index")
    lines = index.read_text().splitlines()
    place = next(number for number, line in enumerate(lines) if line.startswith("jump/7.mp4"))
    for text in ("999999999\t10\t1", "-5\t10\t1", "10\t-1\t1", "10\tten\t1", "10", "1\t2\t3\t4"):
        lines[place] = f"jump/7.mp4\t{text}"
        index.write_text("\n".join(lines) + "\n")
        _index.cache_clear()
        with pytest.raises(DataError, match=r"\.tar\.index: damaged at jump/7\.mp4; write it with: trishift"):
            read_bytes(shard / "jump/7.mp4")


def test_files_that_are_no_shards_get_no_index(tmp_path: Path) -> None:
    (tmp_path / "a.tar").write_bytes(b"nothing" * 1000)
    with pytest.raises(DataError, match="not a tar file"):
        write_index(tmp_path / "a.tar")
    write(tmp_path / "b.tar", {"a.mp4": bytes(5000)})
    (tmp_path / "b.tar").write_bytes((tmp_path / "b.tar").read_bytes()[:3000])
    with pytest.raises(DataError, match="damaged"):
        write_index(tmp_path / "b.tar")
    assert not list(tmp_path.glob("*.index"))
