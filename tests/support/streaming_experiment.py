"""Streams and clips in one framework, as compared by `tests/streaming/test_step.py`.

    python -m tests.support.streaming_experiment FRAMEWORK RESULTS WEIGHTS

Writes an npz with the logits of every frame of a stream and of the clip, for every case, and the logits of the
published online model, loaded from a file in its original format.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from testing import golden_records, originals

import trishift
from trishift.backends import open_session
from trishift.backends.contract import Execution
from trishift.backends.session import Session
from trishift.model.spec import ModelSpec, ShiftSpec
from trishift.streaming.stream import Stream

STREAMS = 2


def _online(backbone: str, frames: int, placement: object, div: int = 8, **options: object) -> ModelSpec:
    shift = ShiftSpec(div, "unidirectional", placement=placement)  # type: ignore[arg-type]
    return ModelSpec(backbone, 5, frames, shift=shift, **options)  # type: ignore[arg-type]


CASES = {
    "resnet10_64_frames": (_online("resnet10", 64, "blockres", width=8), (32, 33)),
    "resnet18_block": (_online("resnet18", 4, "block", div=4, width=4), (32, 40)),
    "resnet50_narrow": (_online("resnet50", 3, "blockres", width=4), (33, 32)),  # layer1.0 has too few channels
    "mobilenet_v2_listed": (_online("mobilenet_v2", 3, ("features.1", "features.7")), (32, 32)),
    "pp_mobilenet_v3": (_online("pp_mobilenet_v3", 3, "blockres"), (32, 32)),
    "pp_lcnet_v2": (_online("pp_lcnet_v2", 3, "blockres"), (32, 40)),
    "bn_inception": (_online("bn_inception", 3, "block"), (32, 64)),
    "tsn": (ModelSpec("resnet10", 5, 3, width=4), (32, 32)),
}


def clips(name: str) -> np.ndarray:
    spec, size = CASES[name]
    shape = (STREAMS, spec.num_segments, 3, *size)
    return np.random.default_rng(3).standard_normal(shape).astype(np.float32)


def lively_session(framework: str, spec: ModelSpec, execution: Execution | None = None) -> Session:
    """A network whose weights make every channel matter, equal in all frameworks."""
    session = open_session(framework, spec, execution)
    rng = np.random.default_rng(5)
    tensors = session.dump_tensors()
    for name, array in tensors.items():
        if name.endswith("running_mean") or name == "head.fc.weight":
            tensors[name] = array + rng.normal(0, 0.1, array.shape).astype(np.float32)
    session.load_tensors(tensors)
    return session


def run_case(framework: str, name: str) -> dict[str, np.ndarray]:
    spec, size = CASES[name]
    session, videos = lively_session(framework, spec), clips(name)
    stream = Stream(session, input_spec=None)  # type: ignore[arg-type]
    rows = np.stack([stream.step(videos[:, t]) for t in range(spec.num_segments)], axis=1)  # (N, T, K)
    stream.reset()
    again = stream.step(videos[:, 0])
    shapes = np.array(list(session.state_shapes(*size).values()), int).reshape(-1, 3)
    _, state = session.step(videos[:, 0])
    real = np.array([tuple(buffer.shape) for buffer in state], int).reshape(-1, 4)
    return {
        "rows": rows,
        "after_reset": again,
        "frames": frame_logits(session, videos),
        "clip": session.predict(videos),
        "state_shapes": shapes,
        "real_state_shapes": real,
    }


def run_published(framework: str, weights: Path) -> dict[str, np.ndarray]:
    """Logits (6, 27) of the online demo's model, frame by frame and from the clip network."""
    model = trishift.load(weights, framework, num_segments=6)
    name = "tsm_mobilenetv2_online"
    videos = golden_records.clips(originals.record(name), golden_records.SPECS[name])
    stream = model.stream()
    return {
        "published": np.concatenate([stream.step(frame[None]) for frame in videos[0]]),
        "published_frames": frame_logits(model.session, videos)[0],
    }


def frame_logits(session: Session, videos: np.ndarray) -> np.ndarray:
    """Logits (N, T, K) of every frame in the clip network."""
    pooled = session.features(videos, ["pooled"])["pooled"]  # (N, T, F)
    weights = session.dump_tensors()
    return pooled @ weights["head.fc.weight"].T + weights["head.fc.bias"]


def main(framework: str, results: str, weights: str) -> None:
    arrays = {f"{name}/{key}": array for name in CASES for key, array in run_case(framework, name).items()}
    np.savez(results, **arrays, **run_published(framework, Path(weights)))


if __name__ == "__main__":
    main(*sys.argv[1:])
