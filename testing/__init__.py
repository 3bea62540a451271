"""Shared by tests and benchmarks: clips, downloads and weights made on the spot, and records of the originals."""
