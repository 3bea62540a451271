"""The memory format in the arguments of commands."""

from __future__ import annotations

import argparse

import pytest

from trishift.commands.shared.arguments import add_execution, execution_of


@pytest.mark.parametrize(
    ("words", "expected"), [([], None), (["--no-channels-last"], False), (["--channels-last"], True)]
)
def test_backends_choose_unless_told(words: list[str], expected: bool | None) -> None:
    parser = argparse.ArgumentParser()
    add_execution(parser)
    options = parser.parse_args([*words, "--device", "cpu"])
    options.framework = "pytorch"
    assert execution_of(options).channels_last is expected
