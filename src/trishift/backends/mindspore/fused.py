"""The fused form of a network: the same function with the same weights, made for prediction on CPUs.

A copy of the network has batch norms folded into the convolutions before them. It runs like the network, as a graph
once that pays off.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from mindspore import Tensor, nn

from trishift.backends.mindspore import tensors as naming
from trishift.backends.mindspore.compiled import Pass
from trishift.backends.mindspore.recognizer import Recognizer
from trishift.backends.mindspore.streaming import StreamingRecognizer
from trishift.model.folding import FoldedConv, folded_convs


def fuse(network: Recognizer, streaming: bool, precision: str) -> Callable[..., Any]:
    """Make the fused form of a network, or of its step on streams, from its present weights.

    Args:
        network: on the CPU, in evaluation mode.
        streaming: a step (frames and state) instead of clips.
        precision: `fp32`; of convolutions and feature maps.

    Returns:
        A function of tensors without gradients: clips (N, T, C, H, W) to logits (N, K), or frames (N, C, H, W) and
        state to logits and new state.
    """
    folded = _folded(network)
    root = StreamingRecognizer(folded) if streaming else folded

    def run(*inputs: Tensor) -> Any:  # graphs cannot be cells whose arguments are optional
        return root(*inputs)

    return Pass(run, None)


def _folded(network: Recognizer) -> Recognizer:
    weights = {name: naming.read(tensor) for name, tensor in naming.tensors(network).items()}
    with naming.undrawn():
        folded = Recognizer(network.spec)
    for name, tensor in naming.tensors(folded).items():
        naming.write(tensor, weights[name])
    cells = dict(folded.cells_and_names())
    for entry in folded_convs(network.spec, weights):
        if type(cells[entry.conv.module]) is nn.Conv2d:  # 3-D convolutions keep their norms
            _put(cells, entry.conv.module, _conv(cells[entry.conv.module], entry))
            _put(cells, entry.norm.module, nn.Identity())
    for number, parameter in enumerate(folded.get_parameters()):
        parameter.name = f"folded.{number}"  # graphs refuse equal names
    folded.set_train(False)
    return folded


def _conv(conv: nn.Conv2d, entry: FoldedConv) -> nn.Conv2d:
    sizes = (conv.in_channels, conv.out_channels, conv.kernel_size, conv.stride)
    layout = (conv.pad_mode, conv.padding, conv.dilation, conv.group)
    return nn.Conv2d(*sizes, *layout, has_bias=True, weight_init=Tensor(entry.weight), bias_init=Tensor(entry.bias))


def _put(cells: dict[str, nn.Cell], path: str, cell: nn.Cell) -> None:
    """Replace the cell at a path."""
    parent, _, name = path.rpartition(".")
    if isinstance(cells[parent], nn.SequentialCell):
        cells[parent][int(name)] = cell
    else:
        setattr(cells[parent], name, cell)
