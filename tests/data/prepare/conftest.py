"""Miniature downloads."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from testing.encoded_clips import encode

from trishift.data.gestures.encoding import write_clip


@pytest.fixture(scope="session")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clip of 6 frames."""
    return encode(tmp_path_factory.mktemp("clips") / "clip.mp4", "libx264", num_frames=6)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "downloads"
    folder.mkdir()
    return folder


@pytest.fixture
def write_noise() -> Callable[..., Path]:
    """Writes a clip of noise that no other seed repeats."""

    def write(path: Path, seed: int, *, frames: int = 8, side: int = 32) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        coarse = np.random.default_rng(seed).integers(0, 256, (frames, 8, 8, 3), np.uint8)
        write_clip(path, coarse.repeat(side // 8, axis=1).repeat(side // 8, axis=2))
        return path

    return write
