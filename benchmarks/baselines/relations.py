"""The multi-scale relation head in PyTorch, as published (Zhou et al. 2018, arXiv:1711.08496).

Every scale concatenates the features of three drawn relations, one relation at a time, and applies its two layers to
each of them.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn


class PublishedRelations(nn.Module):
    """Frame features (N, T, W) to logits (N, K).

    Args:
        width: W.
        hidden: width of the hidden layers.
        classes: K.
        scales: frames per relation of every scale.
    """

    def __init__(self, width: int, hidden: int, classes: int, scales: Sequence[int]) -> None:
        super().__init__()
        self.scales = nn.ModuleList(
            nn.Sequential(nn.ReLU(), nn.Linear(scale * width, hidden), nn.ReLU(), nn.Linear(hidden, classes))
            for scale in scales
        )

    def forward(self, features: Tensor, relations: Sequence[Sequence[Sequence[int]]]) -> Tensor:
        """Sum over the relations (tuples of frames) of every scale."""
        parts = [
            layers(features[:, list(frames)].flatten(1))
            for layers, drawn in zip(self.scales, relations, strict=True)
            for frames in drawn
        ]
        return torch.stack(parts).sum(0)
