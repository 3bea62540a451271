"""`python -m trishift.checkpoints.run_once FRAMEWORK DEVICE WEIGHTS...`: write the logits of a fixed random clip.

The logits of each file go into a .npy file beside it. The device is printed; an empty DEVICE is the best one that the
framework finds.
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
    framework, device, *files = sys.argv[1:]
    chosen = cast(Device, device or find_device(framework))
    for file in map(Path, files):
        np.save(file.with_suffix(".npy"), predict(framework, file, chosen))
    print(chosen)
