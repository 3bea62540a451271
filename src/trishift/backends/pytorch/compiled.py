"""The network as a compiled graph."""

from __future__ import annotations

import torch
from torch import nn


def compile_network(network: nn.Module, wanted: bool | None) -> nn.Module:
    """`torch.compile` of the network where it is asked for; eager is the better default for short runs."""
    compiled: nn.Module = torch.compile(network) if wanted else network
    return compiled
