"""The list of settings that frameworks do not support."""

from __future__ import annotations

import dataclasses

import pytest

from trishift.backends import FRAMEWORKS
from trishift.backends.contract import Execution
from trishift.backends.limits import UNSUPPORTED, Unsupported, check_execution
from trishift.errors import FrameworkError


@pytest.mark.parametrize("entry", UNSUPPORTED, ids=lambda entry: f"{entry.framework}-{entry.setting}-{entry.value}")
def test_limits_state_reason_and_remedy(entry: Unsupported) -> None:
    execution = dataclasses.replace(Execution(device=entry.device), **{entry.setting: entry.value})
    with pytest.raises(FrameworkError) as error:
        check_execution(entry.framework, execution)
    assert entry.setting in str(error.value)
    assert entry.reason in str(error.value)
    remedies = [f"Execution({setting}={value!r})" for setting, value in entry.remedies]
    assert str(error.value).endswith(f"; set {' or '.join(remedies)}")
    for setting, value in entry.remedies:
        check_execution(entry.framework, dataclasses.replace(execution, **{setting: value}))


@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_default_execution_works_everywhere(framework: str) -> None:
    check_execution(framework, Execution())


def test_limits_name_execution_settings() -> None:
    settings = {field.name for field in dataclasses.fields(Execution)}
    assert {entry.setting for entry in UNSUPPORTED} <= settings
