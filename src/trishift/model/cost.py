"""Cost of a model: parameters and multiplications per clip, counted from its layers without building it."""

from __future__ import annotations

import math

from trishift.model.backbones import layout
from trishift.model.sizes import WrittenSize, size_of
from trishift.model.spec import ModelSpec
from trishift.model.tensors import head_layers, parameters


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
    layers = (*layout(spec, size_of(size)).layers, *head_layers(spec))
    return sum(layer.multiplications for layer in layers)
