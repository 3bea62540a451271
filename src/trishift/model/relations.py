"""Frame tuples of temporal relation networks (TRN, Zhou et al. 2018, arXiv:1711.08496).

This module only makes index tables in numpy; the backends do the arithmetic. The published head draws
`relations_per_scale` random relations per scale (except the largest) in every forward pass, even in evaluation. Here,
evaluation is deterministic and the draw in training is seeded.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from itertools import combinations

import numpy as np

from trishift.model.spec import HeadSpec, ModelSpec, RelationMode


@dataclass(frozen=True)
class ScaleRelations:
    """The relations of one scale.

    Attributes:
        frames: (R, k) int32, ascending frame indices of R relations of k frames.
        weight: factor on the sum of the R relations.
    """

    frames: np.ndarray
    weight: float


@lru_cache(maxsize=64)
def all_relations(num_segments: int, scale: int) -> np.ndarray:
    """Every ascending `scale`-tuple of `num_segments` frames in lexicographic order: (R, scale) int32."""
    table = np.array(list(combinations(range(num_segments), scale)), np.int32).reshape(-1, scale)
    table.setflags(write=False)
    return table


def evaluation_relations(head: HeadSpec, num_segments: int, mode: RelationMode | None = None) -> list[ScaleRelations]:
    """The deterministic relations of every scale, largest first.

    `expected` weights all R relations by min(n, R) / R, where n is `relations_per_scale`: the expectation of the
    published random head. For `sampled`, use `draw_relations`.

    Example:
        >>> from trishift.model.relations import evaluation_relations
        >>> from trishift.model.spec import HeadSpec
        >>> for scale in evaluation_relations(HeadSpec("multiscale_relation"), 4):
        ...     print(scale.frames.shape, scale.weight)
        (1, 4) 1.0
        (4, 3) 0.75
        (6, 2) 0.5
    """
    mode = mode or head.relations
    result = []
    for scale in head.scales(num_segments):
        table = all_relations(num_segments, scale)
        drawn = min(head.relations_per_scale, len(table))
        if mode == "first":
            result.append(ScaleRelations(table[:drawn], 1.0))
        else:
            result.append(ScaleRelations(table, drawn / len(table) if mode == "expected" else 1.0))
    return result


def draw_relations(head: HeadSpec, num_segments: int, rng: np.random.Generator) -> list[np.ndarray]:
    """Draw relations of every scale without replacement: arrays of (min(n, R), k) int32, all of weight 1.

    Example:
        >>> from trishift.model.relations import draw_relations
        >>> from trishift.model.spec import HeadSpec
        >>> draws = draw_relations(HeadSpec("multiscale_relation"), 4, np.random.default_rng(0))
        >>> [draw.shape for draw in draws]  # the relations of 4, 3 and 2 frames
        [(1, 4), (3, 3), (3, 2)]
    """
    draws = []
    for scale in head.scales(num_segments):
        table = all_relations(num_segments, scale)
        chosen = rng.permutation(len(table))[: min(head.relations_per_scale, len(table))]
        draws.append(table[chosen])
    return draws


def prediction_relations(spec: ModelSpec, seed: int = 0) -> list[np.ndarray] | None:
    """The seeded draw of a head in `sampled` mode; None if the network has fixed relations or none."""
    if spec.head.relations != "sampled" or spec.head.consensus == "average":
        return None
    return draw_relations(spec.head, spec.output_segments, np.random.default_rng(seed))
