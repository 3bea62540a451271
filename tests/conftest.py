from __future__ import annotations

import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def clips_dir() -> Path:
    """The folder of real clips: TRISHIFT_CLIPS, or shared/clips beside the repository."""
    folder = Path(os.environ.get("TRISHIFT_CLIPS", Path(__file__).parents[2] / "shared" / "clips"))
    if not folder.is_dir():
        pytest.skip(f"no real clips in {folder}; set TRISHIFT_CLIPS")
    return folder
