"""The command line, run in this process."""

from __future__ import annotations

import pytest

from trishift.cli import main


def command(*arguments: object) -> int:
    """The exit status of `trishift ARGUMENTS`."""
    with pytest.raises(SystemExit) as stop:
        main([str(argument) for argument in arguments])
    return int(stop.value.code or 0)
