"""Downloads from a server that fails in every way that servers do."""

from __future__ import annotations

import errno
import re
from collections import namedtuple
from pathlib import Path

import pytest
from tests.support.file_server import (
    Answer,
    FileServer,
    another_version,
    compressed,
    cut_after,
    stalled,
    status,
    too_short,
    web_page,
    without_ranges,
)

from trishift.errors import OutputError
from trishift.zoo import downloading
from trishift.zoo.downloading import DownloadError, download, part_of

CONTENT = bytes(range(256)) * 512
HALF, STEP = len(CONTENT) // 2, downloading._CHUNK


def get(server: FileServer, folder: Path, name: str = "w.pth") -> Path:
    target = folder / name
    download(f"{server.url}/{name}", target, lambda path: None)
    return target


@pytest.mark.parametrize(
    ("answers", "ranges"),
    [
        ([], [None]),
        ([cut_after(HALF)], [None, f"bytes={HALF}-"]),
        ([cut_after(HALF), cut_after(STEP)], [None, f"bytes={HALF}-", f"bytes={HALF + STEP}-"]),
        ([status(503)], [None, None]),
        ([status(429)], [None, None]),
        ([too_short, status(416)], None),
        ([compressed], [None]),
        ([without_ranges], [None]),
        ([stalled(0.5)], [None, None]),
        ([cut_after(HALF), another_version], [None, f"bytes={HALF}-", None]),
    ],
    ids=["plain", "cut", "cut twice", "busy", "too many requests", "short", "gzip", "no ranges", "slow", "no If-Range"],
)
def test_file_arrives(
    answers: list[Answer],
    ranges: list[str | None] | None,
    server: FileServer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(downloading, "_TIMEOUT", (1.0, 0.2))
    server.files["/w.pth"], server.answers["/w.pth"] = CONTENT, list(answers)
    assert get(server, tmp_path).read_bytes() == CONTENT
    assert ranges is None or [wanted for _, wanted in server.requests] == ranges
    assert [path.name for path in tmp_path.iterdir()] == ["w.pth"]


def test_redirects_are_followed(server: FileServer, tmp_path: Path) -> None:
    server.files["/real"] = CONTENT
    server.always["/w.pth"] = status(302, Location="/real")
    assert get(server, tmp_path).read_bytes() == CONTENT


@pytest.mark.parametrize(
    ("answer", "message", "requests"),
    [
        (status(404), "the server answers 404", 1),
        (status(403), "the server answers 403", 1),
        (web_page, "sends a web page instead of a file", 1),
        (status(500), "the server answers 500 Internal Server Error$", 4),
        (status(503, Retry_After="3600"), "503 Service Unavailable and asks to wait 3,600 s", 1),
        (cut_after(0), "cut", 4),
        (status(302, Location="/w.pth"), "redirects", None),
        (status(302, Location="ftp://example.com/w.pth"), "ftp", 1),
    ],
    ids=["404", "403", "web page", "500", "busy for an hour", "always cut", "redirect loop", "redirect elsewhere"],
)
def test_failure_leaves_no_file(
    answer: Answer, message: str, requests: int | None, server: FileServer, tmp_path: Path
) -> None:
    server.files["/w.pth"], server.always["/w.pth"] = CONTENT, answer
    with pytest.raises(DownloadError, match=message):
        get(server, tmp_path)
    assert not (tmp_path / "w.pth").exists()
    assert requests is None or len(server.requests) == requests


@pytest.mark.parametrize(("asked", "least"), [("3", 3.0), ("soon", 0.0)])
def test_busy_server_sets_the_pause(
    asked: str, least: float, server: FileServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pauses: list[float] = []
    server.files["/w.pth"], server.answers["/w.pth"] = CONTENT, [status(429, Retry_After=asked)]
    monkeypatch.setattr(downloading.time, "sleep", pauses.append)
    assert get(server, tmp_path).read_bytes() == CONTENT
    assert max(pauses) == least


def test_next_call_continues_and_never_mixes_versions(server: FileServer, tmp_path: Path) -> None:
    server.files["/w.pth"] = CONTENT
    server.answers["/w.pth"] = [cut_after(STEP), status(500), status(500), status(500)]
    with pytest.raises(DownloadError, match="continues after 16,384 bytes"):
        get(server, tmp_path)
    server.files["/w.pth"] = CONTENT[::-1]  # same size, another version
    assert get(server, tmp_path).read_bytes() == CONTENT[::-1]
    assert server.requests[-1] == ("/w.pth", f"bytes={STEP}-")


def test_bytes_without_a_version_are_not_continued(server: FileServer, tmp_path: Path) -> None:
    server.files["/w.pth"] = CONTENT
    part_of(tmp_path / "w.pth").write_bytes(b"leftover")
    assert get(server, tmp_path).read_bytes() == CONTENT
    assert server.requests == [("/w.pth", None)]


def test_unreachable_server_and_untrusted_certificate(
    server: FileServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.files["/w.pth"] = CONTENT
    with pytest.raises(DownloadError, match=r"certificate is not trusted .* REQUESTS_CA_BUNDLE"):
        download(server.url.replace("http", "https") + "/w.pth", tmp_path / "w.pth", lambda path: None)
    with pytest.raises(DownloadError, match="the connection failed"):
        download("http://127.0.0.1:9/w.pth", tmp_path / "w.pth", lambda path: None)
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    with pytest.raises(DownloadError, match=r"the proxy failed .* check HTTP_PROXY"):
        download("http://example.com/w.pth", tmp_path / "w.pth", lambda path: None)


def test_full_disk_is_reported_and_keeps_what_arrived(
    server: FileServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.files["/w.pth"], server.answers["/w.pth"] = CONTENT, [cut_after(HALF)]
    usage = namedtuple("usage", "free")
    with monkeypatch.context() as patch:
        patch.setattr(downloading.shutil, "disk_usage", lambda path: usage(len(CONTENT) - 1))
        with pytest.raises(OutputError, match=r"no space left on the disk .* TRISHIFT_HOME"):
            get(server, tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(downloading, "track_bytes", full)
        with pytest.raises(OutputError, match=re.escape(f"{tmp_path}: no space left on the disk; free some")):
            get(server, tmp_path)
    assert get(server, tmp_path).read_bytes() == CONTENT


def full(*arguments: object) -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


def test_local_addresses_are_copied(tmp_path: Path) -> None:
    (tmp_path / "a b.pth").write_bytes(CONTENT)
    download((tmp_path / "a b.pth").as_uri(), tmp_path / "w.pth", lambda path: None)
    assert (tmp_path / "w.pth").read_bytes() == CONTENT
    with pytest.raises(DownloadError, match="no such file"):
        download((tmp_path / "c.pth").as_uri(), tmp_path / "x.pth", lambda path: None)
    with pytest.raises(DownloadError, match="is a directory"):
        download(tmp_path.as_uri(), tmp_path / "x.pth", lambda path: None)
