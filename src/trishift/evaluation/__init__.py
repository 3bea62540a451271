"""Scores of videos under a protocol, metrics, predictions, and the files that hold them."""
