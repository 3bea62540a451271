"""Layers of fused forms, each a single kernel of the device: oneDNN's on CPUs, cuDNN's and our own on NVIDIA GPUs."""
