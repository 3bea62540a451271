"""Helpers of several commands: arguments they share, and the models and videos that these name."""
