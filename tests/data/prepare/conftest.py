"""Miniature downloads."""

from __future__ import annotations

from pathlib import Path

import pytest
from testing.encoded_clips import encode


@pytest.fixture(scope="session")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clip of 6 frames."""
    return encode(tmp_path_factory.mktemp("clips") / "clip.mp4", "libx264", num_frames=6)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "downloads"
    folder.mkdir()
    return folder
