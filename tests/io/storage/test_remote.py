"""Objects by address: ranges, the bounded cache, and stores that fail. Traffic stays on the loopback address."""

from __future__ import annotations

import io
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support.file_server import FileServer, Handler, serving
from tests.support.object_store import BUCKET, forget_stores, object_store

from trishift.errors import DataError, SettingError
from trishift.io.storage import open_stored, ranges, read_bytes, remote
from trishift.io.storage.block_cache import BlockCache, _cache
from trishift.io.storage.ranges import RangeFile
from trishift.io.storage.remote import RemoteFile

CONTENT = bytes(range(256)) * 400


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[FileServer]:
    pytest.importorskip("aiohttp")
    monkeypatch.setattr(remote, "_PAUSE", 0.01)
    with serving() as running:
        running.files["/clip.mp4"] = CONTENT
        yield running


def url(server: FileServer, path: str = "/clip.mp4") -> Path:
    return Path(f"http://127.0.0.1:{server.server_address[1]}{path}")


def failure(path: Path) -> str:
    with pytest.raises(DataError) as error:
        read_bytes(path)
    assert "\n" not in str(error.value)
    return str(error.value)


def test_seeking_reads_ranges(server: FileServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ranges, "_BLOCK", 1000)
    stored = open_stored(url(server))
    assert stored is not None and stored.size == len(CONTENT)
    file = io.BufferedReader(RangeFile(stored), 100)
    file.seek(-50, io.SEEK_END)
    assert file.read() == CONTENT[-50:]
    file.seek(5990)
    assert file.read(20) == CONTENT[5990:6010]
    asked = {header for _, header in server.requests if header}
    assert {"bytes=5000-5999", "bytes=6000-6999"} <= asked and not any("bytes=0-" in header for header in asked)


def test_a_server_without_ranges_serves_whole_objects(server: FileServer) -> None:
    server.always["/clip.mp4"] = lambda handler, content: handler.reply(200, content or b"")
    assert RemoteFile.of(url(server)).read(10, 20) == CONTENT[10:20]


def test_cut_connections_are_tried_again_and_then_named(server: FileServer) -> None:
    def cut(handler: Handler, content: bytes | None) -> None:
        handler.reply(200, content or b"", cut=0 if handler.command == "HEAD" else 100)

    stored = RemoteFile.of(url(server))
    server.answers["/clip.mp4"] = [cut, cut]
    assert stored.read(0, stored.size) == CONTENT
    server.always["/clip.mp4"] = cut
    with pytest.raises(DataError, match=r"^http://127.*/clip\.mp4: 3 attempts failed: .+; check network and store"):
        stored.read(0, stored.size)


def test_refusals_are_named_at_once(server: FileServer) -> None:
    for status, message in (
        (403, r"access is denied \(403"),
        (401, r"denied \(401"),
        (404, "does not exist"),
    ):
        server.always["/clip.mp4"] = lambda handler, content, status=status: handler.reply(status, b"")
        with pytest.raises(DataError, match=message):
            RemoteFile.of(url(server)).read(0, 1)
    assert "3 attempts failed" in failure(Path("http://127.0.0.1:1/clip.mp4"))


def test_a_slow_store_is_given_up(server: FileServer, monkeypatch: pytest.MonkeyPatch) -> None:
    stored = RemoteFile.of(url(server))
    monkeypatch.setenv("TRISHIFT_REMOTE_TIMEOUT", "0.3")
    server.chunk, server.pause = 1000, 0.5
    with pytest.raises(DataError, match=r"3 attempts failed: no answer within 0\.3 s"):
        stored.read(0, stored.size)


def test_missing_packages_and_credentials_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    with object_store() as client:
        client.put_object(Bucket=BUCKET, Key="a/b.txt", Body=b"hello")
        address = Path(f"s3://{BUCKET}/a/b.txt")
        assert read_bytes(address) == b"hello"
        assert failure(Path(f"s3://{BUCKET}/a/c.txt")) == f"s3://{BUCKET}/a/c.txt: does not exist; check the address"
        assert failure(Path(f"s3://{BUCKET}/a")).startswith(f"s3://{BUCKET}/a: is a folder in a store")
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            monkeypatch.delenv(name)
        forget_stores()
        assert "no credentials were found" in failure(address) and "AWS_PROFILE" in failure(address)
    forget_stores()
    monkeypatch.setitem(remote.PACKAGES, "s3", "no_such_package")
    assert "needs the package no_such_package; " in failure(address) and "[remote]" in failure(address)
    forget_stores()


def test_a_store_that_denies_access_is_named(server: FileServer, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("s3fs")
    names = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")
    for name, value in (*((name, "x") for name in names), ("AWS_DEFAULT_REGION", "us-east-1")):
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{server.server_address[1]}")
    server.always["/bucket/clip.mp4"] = lambda handler, content: handler.reply(403)
    server.always["/bucket"] = lambda handler, content: handler.reply(403)
    forget_stores()
    message = failure(Path("s3://bucket/clip.mp4"))
    assert message.startswith("s3://bucket/clip.mp4: access is denied (403") and "AWS_ACCESS_KEY_ID" in message
    forget_stores()


def test_the_cache_is_used_and_bounded(server: FileServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRISHIFT_REMOTE_CACHE", str(tmp_path / "cache"))
    _cache.cache_clear()
    assert read_bytes(url(server)) == CONTENT
    asked = [header for _, header in server.requests if header]
    assert read_bytes(url(server)) == CONTENT
    assert [header for _, header in server.requests if header] == asked
    server.files["/clip.mp4"] = CONTENT[::-1]
    assert read_bytes(url(server)) == CONTENT[::-1]  # another version


@pytest.mark.parametrize("value", ["ten", "nan", "0", "-1", "inf"])
@pytest.mark.parametrize("name", ["TRISHIFT_REMOTE_CACHE_GB", "TRISHIFT_REMOTE_TIMEOUT"])
def test_settings_that_are_no_numbers_are_named(
    server: FileServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv("TRISHIFT_REMOTE_CACHE", str(tmp_path))
    monkeypatch.setenv(name, value)
    with pytest.raises(SettingError, match=rf"^{name}={value}: set it to a positive number, such as"):
        read_bytes(url(server))


def test_reading_goes_on_without_a_cache_that_cannot_be_written(
    server: FileServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("TRISHIFT_REMOTE_CACHE", str(tmp_path / "file" / "cache"))
    assert [read_bytes(url(server)) for _ in range(2)] == [CONTENT] * 2
    assert caplog.text.count("ranges cannot be kept") == 1


def test_blocks_used_longest_ago_are_removed(tmp_path: Path) -> None:
    cache = BlockCache(tmp_path / "cache", 1000)
    for number in range(50):
        assert cache.get((number,), lambda: bytes(100)) == bytes(100)
        for age, path in enumerate(sorted((tmp_path / "cache").iterdir(), key=lambda path: path.stat().st_mtime_ns)):
            os.utime(path, ns=(age, age))
    sizes = [path.stat().st_size for path in (tmp_path / "cache").iterdir()]
    assert 900 <= sum(sizes) <= 1000
    fetched: list[int] = []
    cache.get((49,), lambda: fetched.append(1) or b"")  # type: ignore[func-returns-value]
    cache.get((0,), lambda: fetched.append(1) or b"")  # type: ignore[func-returns-value]
    assert len(fetched) == 1
