"""Explanations of small networks in one framework, on the same weights and noise in every framework."""

from __future__ import annotations

import sys

import numpy as np

from trishift.backends import open_session
from trishift.evaluation.explaining import explain_clip
from trishift.model.initialization import initial_tensors
from trishift.model.motion import MotionSpec, tdn
from trishift.model.spec import HeadSpec, ModelSpec, ShiftSpec

SPECS = {
    "tsm": ModelSpec("resnet10", 4, num_segments=4, width=4, shift=ShiftSpec(div=4)),
    "pooled": ModelSpec("resnet10", 4, num_segments=4, width=4, temporal_pool=True),
    "trn": ModelSpec("resnet10", 4, num_segments=3, width=4, head=HeadSpec("multiscale_relation", 16, 16)),
    "msn": ModelSpec("resnet14", 4, num_segments=2, in_channels=15, width=4, motion=MotionSpec(window=None)),
    "tdn": ModelSpec("resnet14", 4, num_segments=2, in_channels=15, width=8, motion=tdn(2)),
    "mobilenet": ModelSpec("mobilenet_v2", 4, num_segments=2),
    "paddle mobilenet": ModelSpec("pp_mobilenet_v2", 4, num_segments=2),
    "paddle mobilenet v3": ModelSpec("pp_mobilenet_v3", 4, num_segments=2, dropout=0.2),
    "paddle lcnet": ModelSpec("pp_lcnet_v2", 4, num_segments=2, dropout=0.2),
    "inception": ModelSpec("bn_inception", 4, num_segments=2),
}


def main(framework: str, output: str) -> None:
    """Write the maps and contributions of all networks to an npz file."""
    arrays = {}
    for name, spec in SPECS.items():
        session = open_session(framework, spec, weights=initial_tensors(spec, 1))
        shape = (spec.num_segments, spec.in_channels, 64, 64)
        found = explain_clip(session, np.random.default_rng(0).standard_normal(shape).astype(np.float32), label=2)
        values = np.array([each.contribution for scale in found.relations for each in scale])
        parts = {"maps": found.maps, "gradient": found.by_gradient, "left_out": found.left_out, "relations": values}
        arrays |= {f"{name}-{part}": array for part, array in parts.items()}
        arrays[f"{name}-logits"] = found.logits
    np.savez(output, **arrays)


if __name__ == "__main__":
    main(*sys.argv[1:])
