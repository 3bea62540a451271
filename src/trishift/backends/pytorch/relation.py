"""The temporal relation heads (TRN, Zhou et al. 2018, arXiv:1711.08496).

Shape legend: N clips, T segments, F pooled features, W relation width, D hidden width, K classes, R relations of
k frames.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from trishift.model.relations import ScaleRelations, evaluation_relations
from trishift.model.spec import ModelSpec


class Relation(nn.Module):
    """The relations of one scale: a two-layer network on k frames at a time, summed over R relations.

    If R is below T, `hidden` projects the concatenations of k frames. Otherwise each frame is projected once per
    position in a relation, and the projections are gathered and added: the same with fewer multiplications. The
    classifier is linear, so it runs once, on the sum of the hidden features.

    Attributes:
        hidden: k * W to D.
        classifier: D to K.
        frames: (R, k) frame indices of the evaluation relations.
        weight: factor on their sum.
    """

    frames: Tensor

    def __init__(self, width: int, hidden_width: int, num_classes: int, evaluation: ScaleRelations) -> None:
        super().__init__()
        self.scale = evaluation.frames.shape[1]
        self.weight = evaluation.weight
        self.hidden = nn.Linear(self.scale * width, hidden_width)
        self.classifier = nn.Linear(hidden_width, num_classes)
        self.register_buffer("frames", torch.from_numpy(evaluation.frames.copy()), persistent=False)

    def forward(self, x: Tensor, frames: Tensor | None = None) -> Tensor:
        """Logits of one scale.

        Args:
            x: (N, T, W) rectified frame features.
            frames: (R, k) frame indices of the relations to sum; None uses the evaluation relations and their weight.

        Returns:
            (N, K).
        """
        weight = 1.0
        if frames is None:
            frames, weight = self.frames, self.weight
        summed = F.relu(self._projected(x, frames)).sum(1)
        return weight * (F.linear(summed, self.classifier.weight) + frames.shape[0] * self.classifier.bias)

    def _projected(self, x: Tensor, frames: Tensor) -> Tensor:
        """`hidden` of every relation: (N, T, W) and (R, k) to (N, R, D)."""
        if frames.shape[0] < x.shape[1]:
            # index_select also takes int32 in ONNX, unlike the GatherND of x[:, frames]
            concatenated: Tensor = self.hidden(
                x.index_select(1, frames.flatten()).unflatten(1, frames.shape).flatten(2)
            )
            return concatenated
        projections = self.hidden.weight.unflatten(1, (self.scale, -1)).unbind(1)  # k matrices of (D, W)
        hidden: Tensor = self.hidden.bias
        for position, matrix in enumerate(projections):
            hidden = hidden + F.linear(x, matrix).index_select(1, frames[:, position])
        return hidden


class RelationHead(nn.Module):
    """Single- or multi-scale TRN: frame features to logits through relations of 2 to T frames.

    Attributes:
        fc: projects pooled features to the relation width.
        relations: one `Relation` per scale, largest scale first.
    """

    def __init__(self, spec: ModelSpec) -> None:
        super().__init__()
        head = spec.head
        self.fc = nn.Linear(spec.feature_width, head.relation_width)
        self.relations = nn.ModuleList(
            Relation(head.relation_width, head.relation_hidden_width, spec.num_classes, evaluation)
            for evaluation in evaluation_relations(head, spec.output_segments)
        )

    def forward(self, features: Tensor, relations: Sequence[Tensor] | None = None) -> Tensor:
        """(N, T, F) to (N, K); `relations` are (R, k) frame indices per scale; None uses the evaluation relations."""
        x = F.relu(self.fc(features))
        chosen: Sequence[Tensor | None] = relations or [None] * len(self.relations)
        scales = [relation(x, frames) for relation, frames in zip(self.relations, chosen, strict=True)]
        return torch.stack(scales).sum(0)
