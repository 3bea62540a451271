"""Cost of a model: parameters and multiplications per clip, counted from its tensor table without building it."""

from __future__ import annotations

import math
from collections.abc import Mapping

from trishift.model.architectures import (
    BN_INCEPTION_BLOCKS,
    INCEPTION_LAYERS,
    RESNETS,
    inverted_residuals,
    residual_blocks,
)
from trishift.model.feature_maps import halved, inception_stem_sizes, input_sizes, unpadded
from trishift.model.inception_v3 import INCEPTION_V3_BLOCKS
from trishift.model.mobile import MOBILES
from trishift.model.sizes import Size, WrittenSize, size_of
from trishift.model.spec import ModelSpec
from trishift.model.tensors import TensorInfo, parameters, tensor_table

_BOTH_WAYS = (".excitation.pooled", ".excitation.whole", ".excitation.expand")  # of changes to both neighbors, in TDN


def num_parameters(spec: ModelSpec) -> int:
    """Trainable numbers of a model.

    Example:
        >>> from trishift.model.cost import num_parameters
        >>> from trishift.model.spec import ModelSpec
        >>> num_parameters(ModelSpec("resnet50", num_classes=400))
        24327632
    """
    return sum(math.prod(info.shape) for info in parameters(spec))


def multiplications(spec: ModelSpec, size: WrittenSize = 224) -> int:
    """Multiplications (multiply-adds) of convolutions and matrix products for one view.

    Publications usually call this number FLOPs. Norms, activations, pooling and resampling are not counted.

    Args:
        spec: the model.
        size: size of the frames in pixels, one number for a square.

    Example:
        >>> from trishift.model.cost import multiplications
        >>> from trishift.model.spec import ModelSpec
        >>> round(multiplications(ModelSpec("resnet50", num_classes=400)) / 1e9, 1)  # 8 frames
        32.7
    """
    sizes = _output_sizes(spec, size_of(size))
    kernels = [info for info in tensor_table(spec) if info.role == "weight" and info.layer in ("conv", "linear")]
    total = sum(math.prod(info.shape) * _uses(info, spec, sizes) for info in kernels)
    return total + sum(_pairwise(block, spec, sizes) for block in spec.non_local_blocks)


def _uses(info: TensorInfo, spec: ModelSpec, sizes: Mapping[str, Size]) -> int:
    """How often each number of a kernel is multiplied: positions of the output times frames."""
    name = info.layer_name
    if info.part == "head":
        return 1 if name.endswith(".classifier") else spec.output_segments
    if info.part == "attention":
        return 1
    frames = _frames(name, spec)
    if spec.motion and spec.motion.kind == "tdn":
        frames *= 2 if name.endswith(_BOTH_WAYS) else 1
        return frames * math.prod(sizes[name.removeprefix("backbone.")])
    if name.endswith((".excitation.expand", ".non_local.pair")):
        return frames if name.endswith(".expand") else 0  # pair: see _pairwise
    if ".deformable" in name or name.endswith(".pooled"):  # the last segment of a window has no next one
        frames = frames // spec.motion_window * (spec.motion_window - 1)
    if name == "backbone.pyramid.conv1":
        frames *= 2  # two differences per segment
    return frames * math.prod(sizes[name.removeprefix("backbone.")])


def _frames(name: str, spec: ModelSpec) -> int:
    """Frames that a layer processes per clip."""
    early = not spec.temporal_pool or name.startswith(("backbone.conv1", "backbone.layer1."))
    return spec.num_segments if early else spec.output_segments


def _output_sizes(spec: ModelSpec, frame: Size) -> dict[str, Size]:
    """Name of every convolution, without `backbone.`, to the size of its output."""
    if spec.backbone in MOBILES:
        return _mobile_sizes(spec, frame)
    if spec.backbone == "inception_v3":
        inputs = input_sizes(spec, frame)
        within = {
            f"{block.name}.{layer.name}": unpadded(inputs[block.name]) if layer.stride == 2 else inputs[block.name]
            for block in INCEPTION_V3_BLOCKS
            for layer in block.layers
        }
        return {f"{name}.conv": size for name, size in (inception_stem_sizes(frame) | within).items()}
    sizes = {
        name: (math.ceil(frame[0] / stride), math.ceil(frame[1] / stride)) for name, stride in _strides(spec).items()
    }
    if spec.motion and spec.motion.kind == "tdn":
        halves = {name: (h // 2, w // 2) for name, (h, w) in sizes.items() if name.endswith(".excitation.pooled")}
        return sizes | halves
    return sizes


def _mobile_sizes(spec: ModelSpec, frame: Size) -> dict[str, Size]:
    sizes, size = {"first.conv": halved(frame), "widen": (1, 1)}, halved(frame)
    for block in MOBILES[spec.backbone].blocks:
        sizes[f"{block.name}.expand.conv"] = size
        size = halved(size) if block.stride == 2 else size
        sizes |= {f"{block.name}.depthwise.{k}.conv": size for k in range(len(block.kernels))}
        sizes |= {f"{block.name}.squeeze.{layer}": (1, 1) for layer in ("reduce", "expand")}
        sizes |= {f"{block.name}.pointwise.{k}.conv": size for k in range(len(block.pointwise))}
    return {**sizes, "last.conv": size}


def _pairwise(block: str, spec: ModelSpec, sizes: Mapping[str, Size]) -> int:
    """Multiplications between the positions of a clip in the non-local block after a residual block."""
    output = next(b for b in residual_blocks(spec.backbone, spec.width) if b.name == block).channels
    inner, (height, width) = output // 2, sizes[f"{block}.non_local.g"]
    frames = _frames(f"backbone.{block}.", spec)
    queries, keys = frames * height * width, frames * (height // 2) * (width // 2)
    if spec.non_local_form == "dot_product":  # in the cheaper order of products
        return (queries + keys) * inner**2
    if spec.non_local_form == "concatenation":
        return (queries + keys + queries * keys) * inner
    return queries * keys * ((output if spec.non_local_form == "gaussian" else inner) + inner)


def _strides(spec: ModelSpec) -> dict[str, int]:
    """Name of every convolution, without `backbone.`, to the stride of its output in pixels of the frame."""
    names = [
        info.layer_name.removeprefix("backbone.")
        for info in tensor_table(spec)
        if info.layer == "conv" and info.role == "weight"
    ]
    if spec.backbone in RESNETS:
        return {name: _resnet_stride(name, spec) for name in names}
    if spec.backbone == "mobilenet_v2":
        return _mobilenet_strides(names)
    return _inception_strides()


def _resnet_stride(name: str, spec: ModelSpec) -> int:
    if name.startswith("conv1") or name in ("pyramid.conv1", "pyramid.conv2"):
        return 2
    if name.startswith(("pyramid.", "short_term.")):
        return 4
    if name.startswith("motion_layer1."):
        return 8 if spec.motion and spec.motion.kind == "tdn" else 4
    block = next(b for b in residual_blocks(spec.backbone, spec.width) if name.startswith(f"{b.name}."))
    output, rest = 2 ** (block.stage + 1), name.removeprefix(f"{block.name}.")
    at_input = rest.startswith(("excitation.", "learned_shift"))
    at_input |= rest == "conv1" and RESNETS[spec.backbone].block == "bottleneck"
    return output // block.stride if at_input else output


def _mobilenet_strides(names: list[str]) -> dict[str, int]:
    strides, stride = {"features.0.0": 2}, 2
    for block in inverted_residuals():
        inside = [name for name in names if name.startswith(f"{block.name}.")]
        expand = inside[: len(inside) - 2]
        strides |= dict.fromkeys(expand, stride)
        stride *= block.stride
        strides |= dict.fromkeys(inside[len(expand) :], stride)
    return {**strides, "features.18.0": stride}


def _inception_strides() -> dict[str, int]:
    strides, stride = {"conv1_7x7_s2": 2, "conv2_3x3_reduce": 4, "conv2_3x3": 4}, 8
    for block in BN_INCEPTION_BLOCKS:
        for branch, layer in INCEPTION_LAYERS.items():
            at_output = branch in ("three", "double_2")
            strides[f"{block.name}_{layer}"] = stride * block.stride if at_output else stride
        stride *= block.stride
    return strides
