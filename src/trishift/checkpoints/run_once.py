"""`python -m trishift.checkpoints.run_once FRAMEWORK WEIGHTS LOGITS DEVICE`: write the logits of a fixed random clip.

The device is printed; an empty DEVICE is the best one that the framework finds.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import cast

import numpy as np

from trishift.backends import find_device, open_session
from trishift.backends.contract import Device, Execution
from trishift.checkpoints import canonical
from trishift.model.relations import prediction_relations
from trishift.model.spec import InputSpec

_SEED = 0


def predict(framework: str, weights: Path, device: Device) -> np.ndarray:
    """Return a canonical file's (1, K) logits for one clip of Gaussian noise of the model's input size."""
    checkpoint = canonical.load(weights)
    spec, size = checkpoint.spec, (checkpoint.input or InputSpec()).crop_size
    assert spec is not None
    shape = (1, spec.num_segments, spec.in_channels, *size)
    clip = np.random.default_rng(_SEED).standard_normal(shape).astype(np.float32)
    session = open_session(framework, spec, Execution(device=device), weights=checkpoint.tensors)
    return session.predict(clip, prediction_relations(spec))


if __name__ == "__main__":
    chosen = cast(Device, sys.argv[4] or find_device(sys.argv[1]))
    np.save(sys.argv[3], predict(sys.argv[1], Path(sys.argv[2]), chosen))
    print(chosen)
