"""The whole network: a backbone on every frame and a head over the frames.

Shape legend: N clips, T segments, T' segments at the head, C channels, H x W pixels, F pooled features, K classes.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from trishift.backends.pytorch.bn_inception import BNInception
from trishift.backends.pytorch.difference import DifferenceResNet
from trishift.backends.pytorch.inception_v3 import InceptionV3
from trishift.backends.pytorch.mobile import MobileNetwork
from trishift.backends.pytorch.mobilenet_v2 import MobileNetV2
from trishift.backends.pytorch.motion import MotionResNet
from trishift.backends.pytorch.relation import RelationHead
from trishift.backends.pytorch.resnet import ResNet
from trishift.model.mobile import MOBILES
from trishift.model.spec import ModelSpec


class AverageHead(nn.Module):
    """Mean over time of per-frame logits (TSN, Wang et al. 2016, arXiv:1608.00859)."""

    def __init__(self, spec: ModelSpec) -> None:
        super().__init__()
        self.fc = nn.Linear(spec.feature_width, spec.num_classes)

    def forward(self, features: Tensor, relations: Sequence[Tensor] | None = None) -> Tensor:
        """(N, T', F) to (N, K); `relations` is not used."""
        return self.fc(features).mean(1)


Backbone = MobileNetV2 | MobileNetwork | BNInception | InceptionV3 | ResNet


def build_backbone(spec: ModelSpec) -> Backbone:
    """Build the network from frames (N * T, C, H, W) to pooled features (N * T', F)."""
    if spec.backbone == "mobilenet_v2":
        return MobileNetV2(spec)
    if spec.backbone in MOBILES:
        return MobileNetwork(spec)
    if spec.backbone == "bn_inception":
        return BNInception(spec)
    if spec.backbone == "inception_v3":
        return InceptionV3(spec)
    if spec.motion is None:
        return ResNet(spec)
    return DifferenceResNet(spec) if spec.motion.kind == "tdn" else MotionResNet(spec)


class Recognizer(nn.Module):
    """TSN, TSM, TRN, MSN or TDN from clips to logits, as described by its spec.

    Attributes:
        backbone: runs on every frame; shifts mix in neighboring frames.
        head: `AverageHead` or `RelationHead`.
    """

    def __init__(self, spec: ModelSpec) -> None:
        super().__init__()
        self.spec = spec
        self.backbone = build_backbone(spec)
        self.head: AverageHead | RelationHead = (
            AverageHead(spec) if spec.head.consensus == "average" else RelationHead(spec)
        )

    def forward(
        self,
        clips: Tensor,
        dropout: Tensor | None = None,
        relations: Sequence[Tensor] | None = None,
        survival: Tensor | None = None,
    ) -> Tensor:
        """Logits of clips.

        Args:
            clips: (N, T, C, H, W).
            dropout: (N, T', F) factors on the pooled features, or None for no dropout.
            relations: (R, k) frame indices per scale for a relation head; None uses the evaluation relations.
            survival: (N, B) factors on the branches of a ResNet's blocks, or None to keep all.

        Returns:
            (N, K).
        """
        frames = clips.flatten(0, 1)
        features = self.backbone(frames) if survival is None else self.backbone(frames, survival)
        features = features.unflatten(0, (-1, self.spec.output_segments))
        if dropout is not None:
            features = features * dropout
        return self.head(features, relations)
