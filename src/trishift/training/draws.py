"""The random choices of a training step, drawn once in numpy for all frameworks and all ranks.

They depend on nothing but the seed and the iteration: a resumed run, a run in another framework and a run on
more processes draw the same numbers for the same clips.
"""

from __future__ import annotations

import numpy as np

from trishift.backends.contract import Draws
from trishift.model.relations import draw_relations
from trishift.model.spec import ModelSpec


def draw_step(spec: ModelSpec, batch_size: int, seed: int, iteration: int) -> Draws:
    """Dropout factors (batch_size, T', F) and relations for the whole batch of one iteration."""
    rng = np.random.default_rng((seed, iteration))
    relations = draw_relations(spec.head, spec.output_segments, rng)
    if not spec.dropout:
        return Draws(None, relations)
    keep = rng.random((batch_size, spec.output_segments, spec.feature_width), np.float32) >= spec.dropout
    return Draws(keep.astype(np.float32) / np.float32(1 - spec.dropout), relations)


def take(draws: Draws, clips: slice) -> Draws:
    """The part of a batch's draws that belongs to some of its clips."""
    return Draws(None if draws.dropout is None else draws.dropout[clips], draws.relations)
