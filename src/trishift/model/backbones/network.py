"""What the rest of Trishift asks of a backbone: one object answers it, see `Network`."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

import numpy as np

from trishift.model.layers import Maps, Walk
from trishift.model.sizes import Size

if TYPE_CHECKING:  # it asks these objects which networks there are
    from trishift.model.spec import ModelSpec


@dataclass(frozen=True)
class Widening:
    """A linear layer without bias and an activation that turn the means of maps into pooled features.

    Attributes:
        layer: name of the layer.
        activation: of the two.
        factor: on the features in evaluation.
    """

    layer: str
    activation: Literal["relu", "hardswish"]
    factor: float = 1.0

    def gradients(self, weight: np.ndarray, means: np.ndarray, gradients: np.ndarray) -> np.ndarray:
        """Gradients (N, C) at the means (N, C) of maps, from those (N, F) at the pooled features.

        Args:
            weight: (F, C).
            means: of the maps.
            gradients: at the pooled features.
        """
        x = means @ weight.T
        slopes = x > 0 if self.activation == "relu" else np.where(np.abs(x) < 3, x / 3 + 0.5, x > 0)
        return np.asarray(self.factor * (gradients * slopes) @ weight)


@dataclass(frozen=True)
class Network(ABC):
    """A backbone: its facts, and a walk through its layers. A family is a subclass in a file of its own.

    Attributes:
        name: name in recipes.
        module: file and class of every backend, `resnet.ResNet`, unless `built_by` says otherwise.
        title: what errors call networks with these options; None: `name`.
        options: fields of a `ModelSpec` that only some networks know.
        stages: names of its stages, by distance from the input, see `model.stages`.
        early: distance from the input of the last early stage, which still has a high resolution.
        residual_blocks: blocks that the original TSM's `blockres` rule shifts; none: it has no residual blocks, and
            its shifted features have several readers.
        last_maps: the layer whose feature maps are averaged over their pixels. The means are the pooled features,
            unless a layer follows (`widening`).
        widening: the layer after the mean, or None.
        skips_blocks: whether its blocks can be skipped in training (stochastic depth).
        caffe_pixels: whether it was trained by Caffe, and so expects BGR pixels from 0 to 255.
        resize, crop: size of the frames that published weights expect.
        small: a small size that suits it, with which forms for all sizes are proven.
    """

    name: str
    module: ClassVar[str]
    title: ClassVar[str | None] = None
    options: ClassVar[frozenset[str]] = frozenset()
    stages: ClassVar[tuple[tuple[str, ...], ...]] = (("stem",), ("layer1",), ("layer2",), ("layer3",), ("layer4",))
    early: ClassVar[int] = 2
    skips_blocks: ClassVar[bool] = False
    caffe_pixels: ClassVar[bool] = False
    resize: ClassVar[int] = 256
    crop: ClassVar[int] = 224
    small: ClassVar[Size] = (64, 64)

    @property
    def widening(self) -> Widening | None:
        """See the attributes."""
        return None

    @abstractmethod
    def walk(self, spec: ModelSpec, frame: Size) -> Walk:
        """Yield layers and block inputs in network order, for frames of a size; return the pooled maps."""

    @property
    @abstractmethod
    def residual_blocks(self) -> tuple[str, ...]:
        """See the attributes."""

    @property
    @abstractmethod
    def last_maps(self) -> str:
        """See the attributes."""

    def built_by(self, spec: ModelSpec) -> str:
        """File and class of every backend."""
        return self.module

    def stage_of(self, layer: str) -> str:
        """The stage of a layer by its name."""
        return next((stage for stages in self.stages for stage in stages if layer.startswith(stage)), "stem")

    def check(self, spec: ModelSpec) -> None:  # noqa: B027  (most have nothing to refuse)
        """Refuse options that it knows, but cannot combine.

        Raises:
            RecipeError: names the option and the remedy.
        """

    def misfit(self, spec: ModelSpec, inputs: Mapping[str, Maps]) -> str | None:
        """Why frames do not suit it, and which do, from the inputs of its blocks; None: they do."""
        return None
