"""Shared by tests and benchmarks: generated clips, downloads and weights, and records of the originals."""
