"""The fast forms of a network: the same function with the same weights, made for prediction.

A copy of the network has batch norms folded into the convolutions before them. It runs like the network, as a graph
once that pays off; compiled, from its first call.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from mindspore import Tensor, nn

from trishift.backends.contract import Device
from trishift.backends.mindspore import tensors as naming
from trishift.backends.mindspore.compiled import Pass
from trishift.backends.mindspore.recognizer import Recognizer
from trishift.backends.mindspore.streaming import StreamingRecognizer
from trishift.model.folding import FoldedConv, folded_convs


def fuse(
    network: Recognizer, streaming: bool, precision: str, device: Device = "cpu", layers: Sequence[str] = ()
) -> Callable[..., Any]:
    """Make the fused form of a network, or of its step on streams, from its present weights.

    Args:
        network: in evaluation mode.
        streaming: a step (frames and state) instead of clips.
        precision: `fp32`; of convolutions and feature maps.
        device: the kind of device that the form is for.
        layers: paths of modules whose outputs replace the logits. Graphs have no hooks, so these run eagerly.

    Returns:
        A function of tensors without gradients: clips (N, T, C, H, W) to logits (N, K), or frames (N, C, H, W) and
        state to logits and new state, or clips to the outputs of the layers.
    """
    if layers:
        return _observed(_folded(network, kept=layers), layers)
    return Pass(_as_function(_folded(network), streaming), None)


def compiled_form(network: Recognizer, streaming: bool) -> Callable[..., Any]:
    """Make the compiled form of a network in evaluation mode, or of its step on streams, from its present weights.

    Returns:
        A function of tensors without gradients: clips (N, T, C, H, W) to logits (N, K), or frames (N, C, H, W) and
        state to logits and new state.
    """
    return Pass(_as_function(_folded(network), streaming), compiled=True)


def _as_function(network: Recognizer, streaming: bool) -> Callable[..., Any]:
    """A network, or its step on streams, without arguments that are optional, which graphs refuse in cells."""
    root = StreamingRecognizer(network) if streaming else network

    def run(*inputs: Tensor) -> Any:
        return root(*inputs)

    return run


def _observed(network: Recognizer, layers: Sequence[str]) -> Callable[[Tensor], list[Tensor]]:
    """A function of clips to the outputs of cells, by path, of a network that nobody else uses."""
    found: dict[str, Tensor] = {}
    cells = dict(network.cells_and_names())

    def keep(path: str) -> Callable[..., None]:
        def hook(cell: nn.Cell, inputs: Any, output: Tensor) -> None:
            found[path] = output

        return hook

    for path in layers:
        cells[path].register_forward_hook(keep(path))

    def run(clips: Tensor) -> list[Tensor]:
        found.clear()
        network(clips)
        return [found[path] for path in layers]

    return run


def _folded(network: Recognizer, kept: Sequence[str] = ()) -> Recognizer:
    """A copy of a network with norms folded into the convolutions before them, except for kept ones (by path)."""
    weights = {name: naming.read(tensor) for name, tensor in naming.tensors(network).items()}
    with naming.undrawn():
        copy = Recognizer(network.spec)
    for name, tensor in naming.tensors(copy).items():
        naming.write(tensor, weights[name])
    cells = dict(copy.cells_and_names())
    for entry in folded_convs(network.spec, weights):
        if type(cells[entry.conv.module]) is nn.Conv2d and entry.conv.module not in kept:  # 3-D ones keep their norms
            _put(cells, entry.conv.module, _conv(cells[entry.conv.module], entry))
            _put(cells, entry.norm.module, nn.Identity())
    for number, parameter in enumerate(copy.get_parameters()):
        parameter.name = f"folded.{number}"  # graphs refuse equal names
    copy.set_train(False)
    return copy


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
