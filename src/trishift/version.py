"""The version of this package, which checkpoints, run folders and exports record."""

__version__ = "0.1.0"
