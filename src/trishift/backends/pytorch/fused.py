"""The fast forms of a network: the same function with the same weights, made for prediction.

In the fused form, the network's graph (torch.fx) is rewritten. Batch norms become part of the convolutions before them,
and activations and residual sums part of the convolutions' kernels, so that each feature map is written once. On CPUs,
temporal shifts exchange channels in place, and the identity path takes the exchange back: this moves half as much as a
copy. On GPUs, convolutions read shifted features where they lie, and the kernels are recorded and launched together.

Shape legend: N clips, T segments, C channels, H x W pixels; frames of a clip are adjacent on the batch axis.
"""

from __future__ import annotations

import operator
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from copy import deepcopy
from functools import partial
from itertools import accumulate, pairwise
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, fx, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from trishift.backends.contract import Device
from trishift.backends.pytorch.deformable import DeformableConv
from trishift.backends.pytorch.kernels.cuda import CudaConv
from trishift.backends.pytorch.kernels.onednn import OneDNNConv
from trishift.backends.pytorch.recognizer import Recognizer
from trishift.backends.pytorch.relation import RelationHead
from trishift.backends.pytorch.resnet import TemporalPool
from trishift.backends.pytorch.streaming import StreamingRecognizer
from trishift.backends.pytorch.temporal_shift import TemporalShift
from trishift.model.spec import ShiftSpec

_OPAQUE = (TemporalShift, TemporalPool, DeformableConv, RelationHead)  # Python code that fx cannot follow
_CONVS = (OneDNNConv, CudaConv)
_Node = Any  # an fx.Node, whose arguments may be anything by its type
_SUMS = (operator.add, "add_")
_RELU6 = ("hardtanh", [0.0, 6.0])  # in oneDNN's terms


def fuse(
    network: Recognizer, streaming: bool, precision: str, device: Device = "cpu", layers: Sequence[str] = ()
) -> Callable[..., Any]:
    """Make the fused form of a network, or of its step on streams, from its present weights.

    Args:
        network: in evaluation mode.
        streaming: a step (frames and state) instead of clips.
        precision: `fp32`, `tf32`, `bf16` or `fp16`; of convolutions and feature maps.
        device: the kind of device that the form is for, `cpu` or `gpu`.
        layers: paths of modules whose outputs replace the logits.

    Returns:
        A function of tensors without gradients: clips (N, T, C, H, W) to logits (N, K), or frames (N, C, H, W) and
        state to logits and new state, or clips to the outputs of the layers.

    Raises:
        KeyError: a layer is inside a module that is not rewritten.
    """
    fusion = _traced(network, streaming, layers, {"bf16": torch.bfloat16, "fp16": torch.float16}.get(precision))
    fusion.fold_norms()
    if device == "cpu":
        fusion.use_onednn()
    else:
        fusion.use_cuda(reduced=precision != "fp32")
    return fusion.finished()


def compiled_form(network: Recognizer, streaming: bool) -> Callable[..., Any]:
    """Make the compiled form of a network in evaluation mode, or of its step on streams, from its present weights.

    Returns:
        A function of tensors without gradients: clips (N, T, C, H, W) to logits (N, K), or frames (N, C, H, W) and
        state to logits and new state.
    """
    from torch._inductor import config

    fusion = _traced(deepcopy(network), streaming, (), None)  # code and weights of its own, which the compiler keeps
    fusion.fold_norms()
    run = torch.compile(fusion.finished())

    def frozen(*inputs: Tensor) -> Any:
        with config.patch(freezing=True):  # the weights are constants
            return run(*inputs)

    return frozen


def _traced(network: Recognizer, streaming: bool, layers: Sequence[str], dtype: torch.dtype | None) -> _Fusion:
    root: nn.Module = StreamingRecognizer(network).eval() if streaming else network
    absent = {} if streaming else {"dropout": None, "relations": None, "survival": None}
    tracer = _Tracer({network.get_submodule(path): path for path in layers})
    with torch.no_grad():
        graph = tracer.trace(root, absent)
    fusion = _Fusion(fx.GraphModule(root, graph), dtype or torch.float32)
    if layers:
        fusion.observe([tracer.outputs[path] for path in layers])
    return fusion


class _Tracer(fx.Tracer):
    """Follows the code of a network.

    Attributes:
        outputs: the last outputs of the watched modules by path.
    """

    def __init__(self, watched: dict[nn.Module, str]) -> None:
        super().__init__()
        self._watched, self.outputs = watched, dict[str, _Node]()

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        return isinstance(m, _OPAQUE) or super().is_leaf_module(m, module_qualified_name)

    def call_module(self, m: nn.Module, forward: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        output = super().call_module(m, forward, args, kwargs)
        if m in self._watched:  # a copy, since later modules may write to its memory
            copy: Any = torch.clone(output)
            self.outputs[self._watched[m]] = copy.node
        return output

    def to_bool(self, obj: fx.Proxy) -> bool:
        if obj.node.args[1:] == ("is_cuda",):  # the only condition in the networks, which concerns gradients
            return False
        return super().to_bool(obj)


class _Fusion:
    """Rewrites the graph of a network.

    Attributes:
        module: the network; it shares modules that are not rewritten, and no others, with the original.
    """

    def __init__(self, module: fx.GraphModule, dtype: torch.dtype) -> None:
        self.module = module
        self._graph = module.graph
        self._dtype = dtype

    def observe(self, nodes: Sequence[_Node]) -> None:
        """Return the values of some nodes, and compute nothing else. Comes first: later rules write in place."""
        [output] = [node for node in self._graph.nodes if node.op == "output"]
        output.args = (list(nodes),)
        self._graph.eliminate_dead_code()

    def fold_norms(self) -> None:
        """Let convolutions do the work of the norms after them."""
        for identity in self._calls(nn.Identity):
            self._replace(identity, identity.args[0])
        for norm in self._calls(nn.BatchNorm2d):
            self._fold(norm)

    def use_onednn(self) -> None:
        """Use oneDNN's convolutions, with sums and activations, and shift in place; after `fold_norms`."""
        self._fuse_convs(partial(OneDNNConv, dtype=self._dtype))
        for shift in self._calls(TemporalShift):
            self._exchange_in_place(shift)

    def use_cuda(self, *, reduced: bool) -> None:
        """Use the convolutions of GPUs, with sums, activations and shifts; after `fold_norms`.

        `reduced`: in reduced precision.
        """
        self._fuse_convs(partial(CudaConv, dtype=self._dtype, reduced=reduced))
        for shift in self._calls(TemporalShift):
            user = _only_user(shift)
            if self._is_call(user, CudaConv) and self._get(user).absorb(self._get(shift)):
                self._replace(shift, shift.args[0])

    def finished(self) -> fx.GraphModule:
        """The module with code that follows the rewritten graph."""
        self._graph.lint()
        self.module.delete_all_unused_submodules()
        self.module.recompile()
        return self.module

    def _fold(self, norm: _Node) -> None:
        conv = norm.args[0]
        if self._is_call(conv, nn.Conv2d) and len(conv.users) == 1:
            self._set(conv, fuse_conv_bn_eval(self._get(conv), self._get(norm)))
            self._replace(norm, conv)

    def _fuse_convs(self, make: Callable[[nn.Conv2d], nn.Module]) -> None:
        """Let convolutions compute activations and sums, too."""
        for conv in self._calls(nn.Conv2d):
            self._set(conv, make(self._get(conv)))
            self._absorb_activation(conv, conv)
        for conv in reversed(list(self._calls(*_CONVS))):  # of two terms, the later one adds itself to the other
            self._absorb_sum(conv)

    def _absorb_activation(self, conv: _Node, node: _Node) -> None:
        """Let a convolution compute the activation that alone reads `node`."""
        user = _only_user(node)
        if user is None:
            return
        if user.target is F.relu:
            self._get(conv).activation = ("relu", [])
        elif user.target is F.relu6 or self._is_call(user, nn.ReLU6):
            self._get(conv).activation = _RELU6
        else:
            return
        self._replace(user, node)

    def _absorb_sum(self, conv: _Node) -> None:
        """Let a convolution add its result to the other term of a sum, in the memory of that term."""
        total = _only_user(conv)
        if total is None or total.target not in _SUMS or self._get(conv).activation[0] != "none":
            return
        [term] = [term for term in total.args if term is not conv] or [None]
        if not isinstance(term, fx.Node):
            return
        self._get(conv).overwrites = self._is_new(term) and all(
            user is total or (user < total and self._copies(user)) for user in term.users
        )
        conv.args = (*conv.args, term)
        total.append(conv)  # the other term may be computed after the convolution
        self._replace(total, conv)
        self._absorb_activation(conv, conv)

    def _exchange_in_place(self, shift: _Node) -> None:
        """Shift in the memory of the input, and take it back before the identity path reads it."""
        x, layer = shift.args[0], self._get(shift)
        readers = [user for user in x.users if user is not shift]
        early = [
            user
            for user in readers
            if user.target is torch.clone or (self._is_call(user, *_CONVS) and user.args == (x,))
        ]
        late = [user for user in readers if user not in early]
        is_over = all(user < late[0] and self._copies(user) for user in shift.users) if late else True
        if not self._is_new(x) or len(late) > 1 or not is_over:
            return
        for reader in early:
            shift.prepend(reader)
        shift.replace_all_uses_with(x)
        self._set(shift, _Exchange(layer.segments, layer.spec))
        if late:
            name = f"{shift.name}_back"
            self.module.add_submodule(name, _TakeBack(layer.segments, layer.spec))
            with self._graph.inserting_before(late[0]):
                self._graph.call_module(name, (x, shift))

    def _is_new(self, node: Any) -> bool:
        """Whether a feature map has memory of its own."""
        return node.target in (F.max_pool2d, torch.clone) or self._is_call(node, *_CONVS, TemporalShift)

    def _copies(self, node: _Node) -> bool:
        """Whether a result shares no memory with what it was computed from."""
        return self._is_new(node) and not (node.op == "call_module" and getattr(self._get(node), "overwrites", False))

    def _calls(self, *kinds: type[nn.Module]) -> Iterator[_Node]:
        """The nodes of modules of these types that are called once."""
        calls = Counter(node.target for node in self._graph.nodes)
        return (node for node in list(self._graph.nodes) if calls[node.target] == 1 and self._is_call(node, *kinds))

    def _is_call(self, node: Any, *kinds: type[nn.Module]) -> bool:
        """Whether a node calls a module of one of these types; subclasses are something else (deformable ones)."""
        return isinstance(node, fx.Node) and node.op == "call_module" and type(self._get(node)) in kinds

    def _get(self, node: _Node) -> Any:
        return self.module.get_submodule(str(node.target))

    def _set(self, node: _Node, module: nn.Module) -> None:
        parent, _, name = str(node.target).rpartition(".")
        setattr(self.module.get_submodule(parent), name, module)

    def _replace(self, node: _Node, other: Any) -> None:
        """Let all readers of a node read another one."""
        node.replace_all_uses_with(other)
        self._graph.erase_node(node)


def _only_user(node: _Node) -> _Node | None:
    return next(iter(node.users)) if len(node.users) == 1 else None


class _Exchange(nn.Module):
    """`temporal_shift` in place."""

    def __init__(self, segments: int, shift: ShiftSpec) -> None:
        super().__init__()
        self.segments, self.shift = segments, shift

    def forward(self, x: Tensor) -> list[Tensor]:
        """Shift (N * T, C, H, W); returns the channels that leave the clip."""
        edges = []
        for channels, order in _moving(x, self.segments, self.shift):
            edges.append(channels[:, order[0]].clone())
            for target, source in pairwise(order):
                channels[:, target].copy_(channels[:, source])
            channels[:, order[-1]].zero_()
        return edges


class _TakeBack(nn.Module):
    """The inverse of an exchange."""

    def __init__(self, segments: int, shift: ShiftSpec) -> None:
        super().__init__()
        self.segments, self.shift = segments, shift

    def forward(self, x: Tensor, edges: list[Tensor]) -> None:
        """Undo the shift of (N * T, C, H, W), with the channels that left the clip."""
        for edge, (channels, order) in zip(edges, _moving(x, self.segments, self.shift), strict=True):
            for target, source in pairwise(order[::-1]):
                channels[:, target].copy_(channels[:, source])
            channels[:, order[0]].copy_(edge)


def _moving(x: Tensor, segments: int, shift: ShiftSpec) -> Iterator[tuple[Tensor, range]]:
    """The channels that move, (N, T, H, W, fold), and the segments in the order in which they are overwritten."""
    clips = x.permute(0, 2, 3, 1).unflatten(0, (-1, segments))
    ends = accumulate(shift.folds(x.shape[1]), initial=0)
    to_past, to_future = range(segments), range(segments - 1, -1, -1)
    orders = [to_future]
    if shift.direction == "bidirectional":
        orders = [to_past, to_future] if shift.order == "future_first" else [to_future, to_past]
    for (start, end), order in zip(pairwise(ends), orders, strict=True):
        yield clips[..., start:end], order
