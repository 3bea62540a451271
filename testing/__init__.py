"""Shared by tests, benchmarks and experiments: generated clips, downloads and weights, and records of the originals."""
