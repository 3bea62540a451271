"""Random draws of a training step, made in numpy for all frameworks and ranks.

They depend only on the seed and the iteration: a resumed run, a run in another framework and a run on more
processes draw the same numbers for the same clips.
"""

from __future__ import annotations

import numpy as np

from trishift.backends.contract import Draws
from trishift.model.relations import draw_relations
from trishift.model.spec import ModelSpec


def draw_step(spec: ModelSpec, batch_size: int, seed: int, iteration: int) -> Draws:
    """Draw dropout factors (batch_size, T', F) and relations for the whole batch of an iteration."""
    rng = np.random.default_rng((seed, iteration))
    relations = draw_relations(spec.head, spec.output_segments, rng)
    if not spec.dropout:
        return Draws(None, relations)
    keep = rng.random((batch_size, spec.output_segments, spec.feature_width), np.float32) >= spec.dropout
    return Draws(keep.astype(np.float32) / np.float32(1 - spec.dropout), relations)


def take(draws: Draws, clips: slice) -> Draws:
    """Select the draws of some clips of a batch."""
    return Draws(None if draws.dropout is None else draws.dropout[clips], draws.relations)
