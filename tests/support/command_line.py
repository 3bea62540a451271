"""Runs the command line in this process."""

from __future__ import annotations

import argparse
import importlib

import pytest

from trishift.cli import main


def command(*arguments: object) -> int:
    """The exit status of `trishift ARGUMENTS`."""
    with pytest.raises(SystemExit) as stop:
        main([str(argument) for argument in arguments])
    return int(stop.value.code or 0)


def error_line(capsys: pytest.CaptureFixture[str]) -> str:
    """The one error that a command printed, after lines about its work."""
    *status, line = capsys.readouterr().err.strip().splitlines()
    assert not any(earlier.startswith(("error", "Traceback", " ")) for earlier in status), status
    assert line.startswith("error: ")
    return line


class Parsed(Exception):
    """Stops a command after its parser."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.options = options


def parse(monkeypatch: pytest.MonkeyPatch, words: list[str]) -> argparse.Namespace:
    """The options of `trishift WORDS`, from the command's parser; a wrong option raises SystemExit."""
    for name in ("parse_args", "parse_intermixed_args"):
        original = getattr(argparse.ArgumentParser, name)

        def stop(self: argparse.ArgumentParser, arguments: list[str], original: object = original) -> None:
            raise Parsed(original(self, arguments))  # type: ignore[operator]

        monkeypatch.setattr(argparse.ArgumentParser, name, stop)
    with pytest.raises(Parsed) as parsed:
        importlib.import_module(f"trishift.commands.{words[0].replace('-', '_')}").main(words[1:])
    return parsed.value.options
