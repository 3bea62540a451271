"""Errors a user can act on. Each message is one line: what is wrong, where, and what to do."""

from __future__ import annotations


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


class TrainingError(TrishiftError):
    """Training cannot go on, for instance because the loss is not finite."""
