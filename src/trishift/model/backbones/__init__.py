"""The backbones: networks on single frames, each described by one object in the file of its family.

Everything else asks these objects and names no network: the tensor table, cost, sizes of feature maps, streaming,
stages, explanations, the backends. A new family is a file here, its networks in `BACKBONES`, and a file per backend.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

from trishift.model.backbones.bn_inception import BNInception
from trishift.model.backbones.inception_v3 import InceptionV3
from trishift.model.backbones.mobile import MOBILES
from trishift.model.backbones.mobilenet_v2 import MobileNetV2
from trishift.model.backbones.network import Network
from trishift.model.backbones.resnet import RESNETS
from trishift.model.layers import Layer, Maps
from trishift.model.sizes import Size

if TYPE_CHECKING:
    from trishift.model.spec import ModelSpec

BACKBONES: dict[str, Network] = {
    **RESNETS,
    "mobilenet_v2": MobileNetV2("mobilenet_v2"),
    **MOBILES,
    "bn_inception": BNInception("bn_inception"),
    "inception_v3": InceptionV3("inception_v3"),
}


@dataclass(frozen=True, eq=False)
class Layout:
    """A backbone for frames of a size.

    Attributes:
        layers: in network order.
        inputs: of its blocks, by name and in network order.
        features: before the mean over pixels.
    """

    layers: tuple[Layer, ...]
    inputs: dict[str, Maps]
    features: Maps


@lru_cache(maxsize=64)
def layout(spec: ModelSpec, frame: Size | None = None) -> Layout:
    """Walk through a backbone; without a size, with one that suits it."""
    network = BACKBONES[spec.backbone]
    walk = network.walk(spec, frame or network.small)
    layers, inputs = list[Layer](), dict[str, Maps]()
    while True:
        try:
            found = next(walk)
        except StopIteration as end:
            return Layout(tuple(layers), inputs, end.value)
        if isinstance(found, Layer):
            layers.append(found)
        else:
            inputs[found.block] = found.maps
