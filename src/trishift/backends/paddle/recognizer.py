"""The whole network: a backbone on every frame and a head over the frames.

Shape legend: N clips, T segments, T' segments at the head, C channels, H x W pixels, F pooled features, K classes.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module

from paddle import Tensor, nn

from trishift.backends.paddle.backbone import Backbone
from trishift.backends.paddle.relation import RelationHead
from trishift.model.backbones import BACKBONES
from trishift.model.spec import ModelSpec


class AverageHead(nn.Layer):
    """Mean over time of per-frame logits (TSN, Wang et al. 2016, arXiv:1608.00859)."""

    def __init__(self, spec: ModelSpec) -> None:
        super().__init__()
        self.fc = nn.Linear(spec.feature_width, spec.num_classes)

    def forward(self, features: Tensor, relations: Sequence[Tensor] | None = None) -> Tensor:
        """(N, T', F) to (N, K); `relations` is not used."""
        logits = self.fc(features)
        return logits.sum(1) / logits.shape[1]  # compiled, `mean` prints a debugging line of Paddle's to stdout


def build_backbone(spec: ModelSpec) -> Backbone:
    """Build the network from frames (N * T, C, H, W) to pooled features (N * T', F)."""
    file, name = BACKBONES[spec.backbone].built_by(spec).split(".")
    backbone: Backbone = getattr(import_module(f"trishift.backends.paddle.{file}"), name)(spec)
    return backbone


class Recognizer(nn.Layer):
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
        features = features.reshape([-1, self.spec.output_segments, self.spec.feature_width])
        if dropout is not None:
            features = features * dropout
        return self.head(features, relations)
