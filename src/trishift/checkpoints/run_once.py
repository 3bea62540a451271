"""`python -m trishift.checkpoints.run_once FRAMEWORK WEIGHTS LOGITS`: write the logits of a fixed random clip."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

from trishift.backends import open_session
from trishift.checkpoints import canonical
from trishift.model.relations import prediction_relations
from trishift.model.spec import InputSpec

_SEED = 0


def predict(framework: str, weights: Path) -> np.ndarray:
    """Return a canonical file's (1, K) logits for one clip of Gaussian noise of the model's input size."""
    checkpoint = canonical.load(weights)
    spec, side = checkpoint.spec, (checkpoint.input or InputSpec()).crop
    assert spec is not None
    shape = (1, spec.num_segments, spec.in_channels, side, side)
    clip = np.random.default_rng(_SEED).standard_normal(shape).astype(np.float32)
    session = open_session(framework, spec)
    session.load_tensors(checkpoint.tensors)
    return session.predict(clip, prediction_relations(spec))


if __name__ == "__main__":
    np.save(sys.argv[3], predict(sys.argv[1], Path(sys.argv[2])))
