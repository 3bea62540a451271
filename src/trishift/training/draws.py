"""Random draws of a training step, made in numpy for all frameworks and ranks.

They depend only on the seed and the iteration: a resumed run, a run in another framework and a run on more
processes draw the same numbers for the same clips.
"""

from __future__ import annotations

import numpy as np

from trishift.backends.contract import Draws
from trishift.model.backbones import layout
from trishift.model.relations import draw_relations
from trishift.model.spec import ModelSpec


def draw_step(spec: ModelSpec, batch_size: int, seed: int, iteration: int, stochastic_depth: float = 0.0) -> Draws:
    """Draw dropout factors (batch_size, T', F), relations and survival factors for the whole batch of an iteration."""
    rng = np.random.default_rng((seed, iteration))
    relations = draw_relations(spec.head, spec.output_segments, rng)
    dropout = survival = None
    if spec.dropout:
        dropout = _factors(rng, (batch_size, spec.output_segments, spec.feature_width), np.float32(spec.dropout))
    if stochastic_depth:
        blocks = len(layout(spec).inputs)
        rates = np.linspace(0, stochastic_depth, blocks + 1, dtype=np.float32)[1:]
        survival = _factors(rng, (batch_size, blocks), rates)
    return Draws(dropout, relations, survival)


def take(draws: Draws, clips: slice) -> Draws:
    """Select the draws of some clips of a batch."""
    dropout = None if draws.dropout is None else draws.dropout[clips]
    survival = None if draws.survival is None else draws.survival[clips]
    return Draws(dropout, draws.relations, survival)


def _factors(rng: np.random.Generator, shape: tuple[int, ...], rates: np.ndarray | np.float32) -> np.ndarray:
    """Zeros, with probability `rates`, and 1 / (1 - rates): their mean is 1."""
    keep = rng.random(shape, np.float32) >= rates
    factors: np.ndarray = keep.astype(np.float32) / (1 - rates)
    return factors
