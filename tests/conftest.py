from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import settings
from tests.support.installed import MISSING
from tests.support.paths import SHARED

from trishift.data.gestures import make_gestures

# Draw the same examples in every run; `--hypothesis-profile default` draws others.
settings.register_profile("repeatable", derandomize=True, deadline=None)
settings.load_profile("repeatable")

LONGEST = (  # files that take half a minute start first, so that parallel processes end together
    "export/test_parity.py",
    "backends/test_parity.py",
    "checkpoints/test_golden.py",
    "backends/contract/test_distributed.py",
    "backends/mindspore/test_session.py",
    "training/test_learning.py",
    "recipe/test_configs.py",
    "backends/contract/test_ranks.py",
    "commands/test_export.py",
    "training/test_run_folder.py",
    "backends/pytorch/test_compile.py",
    "training/test_loop.py",
    "streaming/test_step.py",
)
TESTS = Path(__file__).parent


def pytest_report_header() -> list[str]:
    return [f"{name} is not installed: its tests are skipped" for name in MISSING]


def pytest_ignore_collect(collection_path: Path) -> bool | None:
    """The folder of a framework that is not installed; None leaves the decision to pytest."""
    return True if collection_path in [TESTS / "backends" / name for name in MISSING] else None


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    places = {name: place for place, name in enumerate(LONGEST)}
    for item in items:
        callspec = getattr(item, "callspec", None)
        if callspec and (framework := callspec.params.get("framework")) in MISSING:
            item.add_marker(pytest.mark.skip(reason=f"{framework} is not installed"))
    items.sort(key=lambda item: places.get(item.path.relative_to(TESTS).as_posix(), len(LONGEST)))


@pytest.fixture(scope="session")
def clips_dir() -> Path:
    """The folder of real clips: TRISHIFT_CLIPS, or shared/clips beside the repository."""
    folder = Path(os.environ.get("TRISHIFT_CLIPS", SHARED / "clips"))
    if not folder.is_dir():
        pytest.skip(f"no real clips in {folder}; set TRISHIFT_CLIPS")
    return folder


@pytest.fixture(scope="session")
def gestures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of small gesture clips with one label each; shared, so copy what you change."""
    folder = tmp_path_factory.mktemp("gestures")
    make_gestures(folder, train=36, val=18, size=32, workers=2)
    return folder


@pytest.fixture(scope="session")
def two_hands(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of small gesture clips with one or two labels each; shared, so copy what you change."""
    folder = tmp_path_factory.mktemp("two-hands")
    make_gestures(folder, train=72, val=72, size=32, hands=2, workers=2)
    return folder
