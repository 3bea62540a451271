"""The memory format of predictions that nobody chose."""

from __future__ import annotations

import argparse

import pytest

from trishift.backends import prefers_channels_last
from trishift.commands.shared.arguments import add_execution, execution_of


@pytest.mark.parametrize(
    ("words", "framework", "expected"),
    [
        ([], "pytorch", True),
        (["--no-channels-last"], "pytorch", False),
        (["--channels-last"], "paddle", True),
        ([], "paddle", False),
        ([], "mindspore", False),
    ],
)
def test_command_line_decides_and_cpus_prefer_nhwc(words: list[str], framework: str, expected: bool) -> None:
    parser = argparse.ArgumentParser()
    add_execution(parser)
    options = parser.parse_args([*words, "--device", "cpu"])
    options.framework = framework
    assert execution_of(options).channels_last is expected


def test_gpus_keep_their_format() -> None:
    assert not prefers_channels_last("pytorch", "gpu")
