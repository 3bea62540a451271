"""Errors a user can act on. Each message is one line: what is wrong, where, and what to do."""

from __future__ import annotations

import re
from collections.abc import Callable

LONGEST_MESSAGE = 4_000  # characters; messages quote untrusted files
_END = 1_000  # characters of a longer message's end, where the remedy is
_SINGLE_SLASH = re.compile(r"\b(s3|gs|az|https?|hf):/(?!/)", re.IGNORECASE)  # of an address in a `Path`
_USER = re.compile(r"((?:\b(?:s3|gs|az|https?|hf):/|://))[^/?#\s\0\"]*@", re.IGNORECASE)
_TOKEN = re.compile(r"([?&][\w.-]*(?:auth|credential|key|passw|secret|sig|token)[\w.-]*=)[^&#\s\0'\"]+", re.IGNORECASE)


class TrishiftError(Exception):
    """Base of every error that Trishift raises on purpose; the command line prints it without a traceback.

    The middle of a text longer than `LONGEST_MESSAGE` is left out, and so are passwords in addresses. Addresses that
    were a `Path` get their second slash back.
    """

    def __init__(self, text: object = "") -> None:
        """`text` is the message."""
        whole = named(text)
        if len(whole) > LONGEST_MESSAGE:
            whole = shortened(whole, LONGEST_MESSAGE - _END - 4) + " " + whole[-_END:]
        super().__init__(whole)


class RecipeError(TrishiftError):
    """A recipe file or an override is wrong."""


class EntryError(RecipeError):
    """An entry that no recipe can have: it is misspelled, unknown, or its value has another type."""


class DataError(TrishiftError):
    """A list, a video or a frame folder cannot be used."""


class SettingError(TrishiftError):
    """An environment variable holds something that it cannot mean."""


class OutputError(TrishiftError):
    """A file or folder cannot be written."""


class CheckpointError(TrishiftError):
    """A weight file cannot be read or matched to a model, or a format cannot hold it."""


class FrameworkError(TrishiftError):
    """A framework, a device or an optional package is missing or unsuitable."""


class ExecutionError(FrameworkError):
    """A setting of `Execution` that is not supported here, and the setting to use instead.

    The text addresses callers of the Python API, `Execution(device='cpu')`; commands rephrase it with their options.
    """

    def __init__(self, problem: str, *remedies: tuple[str, object]) -> None:
        """`problem` ends with "set"; the remedies, pairs of (setting, value), follow it. Any one of them suffices."""
        self._problem, self._remedies = problem, remedies
        super().__init__(self.phrased(lambda setting, value: f"Execution({setting}={value!r})"))

    def phrased(self, spell: Callable[[str, object], str]) -> str:
        """Return the text with each (setting, value) spelled the way the caller writes it."""
        return f"{self._problem} {' or '.join(spell(setting, value) for setting, value in self._remedies)}"


class TrainingError(TrishiftError):
    """Training cannot continue, for example because the loss is not finite."""


def brief(error: BaseException, length: int = 200) -> str:
    """The text of an error about untrusted content in one short line; its type if it has none."""
    return shortened(" ".join(str(error).split()), length) or type(error).__name__


def shortened(text: object, length: int = 200) -> str:
    """The beginning of a text from outside, for a message."""
    whole = str(text)
    return whole if len(whole) <= length else whole[:length] + "..."


def without_secrets(text: object) -> str:
    """A text without the user names, passwords and tokens of the addresses in it: for messages, logs and files.

    Example:
        >>> from trishift.errors import without_secrets
        >>> without_secrets("https://ann:pw@example.org/tsm.pth?token=abc&part=2: not found")
        'https://example.org/tsm.pth?token=...&part=2: not found'
    """
    return _TOKEN.sub(r"\1...", _USER.sub(r"\1", str(text)))


def spelled_addresses(text: object) -> str:
    """A text in which addresses that were a `Path`, and lost a slash by that, have both.

    Example:
        >>> from pathlib import Path
        >>> from trishift.errors import spelled_addresses
        >>> spelled_addresses(Path("s3://bucket/clip.mp4"))
        's3://bucket/clip.mp4'
    """
    return _SINGLE_SLASH.sub(r"\1://", str(text))


def named(path: object) -> str:
    """A path, or a text with paths, as results, files and messages name it: addresses whole and without secrets.

    Example:
        >>> from pathlib import Path
        >>> from trishift.errors import named
        >>> named(Path("https://ann:pw@example.org/clip.mp4"))
        'https://example.org/clip.mp4'
    """
    return without_secrets(spelled_addresses(path))


def install_hint(extra: str) -> str:
    """Tell the user how to install an optional dependency group, in the README's form."""
    return f"in the Trishift repository, run: pip install '.[{extra}]'"
