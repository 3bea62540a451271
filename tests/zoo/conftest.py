from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support import small_zoo
from tests.support.file_server import FileServer, serving

from trishift.zoo import downloading


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[FileServer]:
    """A loopback server, and downloads that do not wait between attempts."""
    monkeypatch.setattr(downloading, "_PAUSE", 0.0)
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    with serving() as server:
        yield server


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty home folder for downloads."""
    for name in ("TRISHIFT_OFFLINE", "TRISHIFT_MIRROR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TRISHIFT_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


@pytest.fixture(scope="session")
def weights(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """Small published files by address path."""
    return small_zoo.write(tmp_path_factory.mktemp("published"))


@pytest.fixture
def zoo(server: FileServer, home: Path, weights: dict[str, bytes], monkeypatch: pytest.MonkeyPatch) -> FileServer:
    """The server with the small weights, whose table replaces the package's, and an empty home folder."""
    server.files |= weights
    small_zoo.serve(server, monkeypatch)
    return server
