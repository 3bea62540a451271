"""Google Cloud Storage, on an emulator if it is installed (pip install gcp-storage-emulator)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from trishift.errors import DataError
from trishift.io.storage import read_bytes, remote, stored_files
from trishift.io.storage.folders import FolderCopy
from trishift.io.storage.remote import RemoteFile

CONTENT = bytes(range(256)) * 40


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    emulator = pytest.importorskip(
        "gcp_storage_emulator.server", reason="needs an emulator: pip install gcp-storage-emulator"
    )
    gcsfs = pytest.importorskip("gcsfs")
    server = emulator.create_server("localhost", 0, in_memory=True, default_bucket="clips")
    server.start()
    host, port = server._api._httpd.socket.getsockname()[:2]
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", f"http://{host}:{port}")
    monkeypatch.setenv("GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT", "false")
    monkeypatch.setattr(remote, "_PAUSE", 0.01)
    remote._filesystem.cache_clear()
    gcsfs.GCSFileSystem.clear_instance_cache()
    yield "gs://clips"
    server.stop()
    remote._filesystem.cache_clear()
    gcsfs.GCSFileSystem.clear_instance_cache()


def test_a_folder_is_sent_listed_and_read(bucket: str, tmp_path: Path) -> None:
    copy = FolderCopy(f"{bucket}/runs/tsm", tmp_path, ("last.safetensors",), lambda name: name.startswith("kept/"))
    copy.open()
    (tmp_path / "kept").mkdir()
    for name in ("last.safetensors", "metrics.jsonl", "kept/one.safetensors"):
        (tmp_path / name).write_bytes(CONTENT)
    assert copy.send()
    (tmp_path / "kept/one.safetensors").unlink()
    (tmp_path / "metrics.jsonl").write_bytes(b"more")
    assert copy.send()
    assert sorted(stored_files(Path(copy.address))) == ["last.safetensors", "metrics.jsonl"]
    assert read_bytes(Path(f"{copy.address}/metrics.jsonl")) == b"more"
    stored = RemoteFile.of(f"{copy.address}/last.safetensors")
    assert stored.size == len(CONTENT) and stored.read(100, 110) == CONTENT[100:110]
    with pytest.raises(DataError, match=r"^gs://clips/gone\.mp4: does not exist; check the address"):
        read_bytes(Path(f"{bucket}/gone.mp4"))
    with pytest.raises(DataError, match=r"^gs://clips/runs: is a folder in a store"):
        read_bytes(Path(f"{bucket}/runs"))
