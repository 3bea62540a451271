"""Checkpoints: the canonical file, foreign file formats, and the dialects of foreign code bases."""
