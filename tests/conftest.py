from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import settings

# The same examples in every run; `--hypothesis-profile default` draws others.
settings.register_profile("repeatable", derandomize=True, deadline=None)
settings.load_profile("repeatable")

LONGEST = (  # files that take minutes begin first, so that parallel processes end together
    "test_mindspore_parity.py",
    "test_checkpoints_golden.py",
    "test_export_parity.py",
    "test_mindspore_session.py",
    "test_paddle_parity.py",
    "test_learning.py",
    "test_distributed.py",
    "test_streaming_step.py",
    "test_mindspore_distributed.py",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    places = {name: place for place, name in enumerate(LONGEST)}
    items.sort(key=lambda item: places.get(item.path.name, len(LONGEST)))


@pytest.fixture(scope="session")
def clips_dir() -> Path:
    """The folder of real clips: TRISHIFT_CLIPS, or shared/clips beside the repository."""
    folder = Path(os.environ.get("TRISHIFT_CLIPS", Path(__file__).parents[2] / "shared" / "clips"))
    if not folder.is_dir():
        pytest.skip(f"no real clips in {folder}; set TRISHIFT_CLIPS")
    return folder
