"""Errors a user can act on. Each message is one line: what is wrong, where, and what to do."""

from __future__ import annotations

from collections.abc import Callable


class TrishiftError(Exception):
    """Base of every error that Trishift raises on purpose; the command line prints it without a traceback."""


class RecipeError(TrishiftError):
    """A recipe file or an override is wrong."""


class DataError(TrishiftError):
    """A list, a video or a frame folder cannot be used."""


class OutputError(TrishiftError):
    """A file or folder cannot be written."""


class CheckpointError(TrishiftError):
    """A weight file cannot be read or matched to a model, or a format cannot hold it."""


class FrameworkError(TrishiftError):
    """A framework, a device or an optional package is missing or unsuitable."""


class ExecutionError(FrameworkError):
    """A setting of `Execution` that cannot be served here, and what to set instead.

    The text is for callers of the Python API, `Execution(device='cpu')`; commands phrase it in their own options.
    """

    def __init__(self, problem: str, *remedies: tuple[str, object]) -> None:
        """`problem` ends with "set", after which the remedies follow: (setting, value), one of which suffices."""
        self._problem, self._remedies = problem, remedies
        super().__init__(self.phrased(lambda setting, value: f"Execution({setting}={value!r})"))

    def phrased(self, spell: Callable[[str, object], str]) -> str:
        """The text, with (setting, value) spelled as the caller writes them."""
        return f"{self._problem} {' or '.join(spell(setting, value) for setting, value in self._remedies)}"


class TrainingError(TrishiftError):
    """Training cannot go on, for instance because the loss is not finite."""
