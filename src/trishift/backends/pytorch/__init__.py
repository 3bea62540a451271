"""The PyTorch backend."""

import os

# Threads that wait for a part of an operator would spin for long, and take the cores from those that decode clips.
os.environ.setdefault("GOMP_SPINCOUNT", "10000")  # some ten microseconds; read once, when PyTorch is imported
