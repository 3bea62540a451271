"""The MindSpore session: names, initial weights, optimizer steps, momentum, graphs, precision, features, errors."""

from __future__ import annotations

import pytest
from tests.support import isolated
from tests.support.paths import SUPPORT

FILE = SUPPORT / "mindspore_session.py"


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    return isolated.outcomes(FILE, tmp_path_factory.mktemp("mindspore"))


@pytest.mark.parametrize("name", isolated.names_of_tests(FILE))
def test_in_a_process_of_its_own(name, outcomes):
    assert not outcomes[name], outcomes[name]
