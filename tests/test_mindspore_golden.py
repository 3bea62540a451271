"""The MindSpore networks compute what the published implementations compute, from the same weights."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests import isolated

FILE = Path(__file__).with_name("mindspore_golden.py")


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    return isolated.outcomes(FILE, tmp_path_factory.mktemp("mindspore"))


@pytest.mark.parametrize("name", isolated.test_names(FILE))
def test_in_a_process_of_its_own(name, outcomes):
    assert not outcomes[name], outcomes[name]
