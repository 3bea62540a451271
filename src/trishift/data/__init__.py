"""Clips as arrays: lists, decoding, sampling, transforms, data sets, loader, preparation, built-in gestures."""
