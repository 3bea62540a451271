"""Verification of an export: the program in its runtime matches the checkpoint, for several batch sizes.

Inputs are random frames. The program's outputs are compared: logits, or probabilities if it ends in a softmax or
sigmoid. Streaming programs run several steps from zero state.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from trishift.backends.contract import Predictor
from trishift.backends.program import ProgramSpec
from trishift.data.transforms import normalize
from trishift.errors import CheckpointError
from trishift.evaluation.metrics import to_probabilities
from trishift.model.spec import InputSpec

BATCHES = (1, 3)
_SEED = 0
_STEPS = 8
_TINY = np.finfo(np.float32).tiny


@dataclass(frozen=True)
class Trial:
    """A batch of frames and the checkpoint's scores.

    Attributes:
        clips: (N, T, C, H, W) float32, as the program's session takes them.
        scores: (N, K), or (T, N, K) for the steps of a stream.
    """

    clips: np.ndarray
    scores: np.ndarray


def make_trials(session: Predictor, program: ProgramSpec, pixels: InputSpec) -> list[Trial]:
    """Run the checkpoint on random clips for every batch size; `pixels` describes its input.

    Raises:
        CheckpointError: its logits are not finite.
    """
    rng = np.random.default_rng(_SEED)
    trials = []
    for batch in BATCHES:
        clips = _random_clips(rng, batch, program)
        normalized = clips if program.pixels is None else _normalized(clips, pixels)
        scores = _scores(session, normalized, program)
        if not np.isfinite(scores).all():
            raise CheckpointError("the checkpoint returns logits that are not finite; train it again before exporting")
        trials.append(Trial(clips, to_probabilities(scores, program.model.multi_label) if program.pixels else scores))
    return trials


def lossy_trial(session: Predictor, clips: Sequence[np.ndarray]) -> Trial:
    """Run the checkpoint on real clips, for programs that only approximate it."""
    batch = np.stack([clips[index] for index in range(len(clips))])
    return Trial(batch, _predict(session, batch))


def agreement(session: Predictor, trial: Trial) -> float:
    """Share of clips for which program and checkpoint predict the same class."""
    return float(np.mean(_predict(session, trial.clips).argmax(1) == trial.scores.argmax(1)))


def _predict(session: Predictor, clips: np.ndarray) -> np.ndarray:
    """Logits of many clips, a few at a time."""
    starts = range(0, len(clips), max(BATCHES))
    return np.concatenate([session.predict(clips[start : start + max(BATCHES)]) for start in starts])


def differences(session: Predictor, program: ProgramSpec, trials: Sequence[Trial]) -> dict[str, float]:
    """Batch size to max |a - b| / max |a| between the checkpoint's scores and the program's."""
    result = {}
    for trial in trials:
        scores = _scores(session, trial.clips, program)
        found = to_probabilities(scores, program.model.multi_label) if program.pixels else scores
        peak = max(float(np.abs(trial.scores).max()), float(_TINY))
        result[str(len(trial.clips))] = float(np.abs(found - trial.scores).max()) / peak
    return result


def _scores(session: Predictor, clips: np.ndarray, program: ProgramSpec) -> np.ndarray:
    if not program.streaming:
        return _predict(session, clips)
    state, scores = None, []
    for frames in clips.swapaxes(0, 1):
        logits, state = session.step(np.ascontiguousarray(frames), state)
        scores.append(logits)
    return np.stack(scores)


def _random_clips(rng: np.random.Generator, batch: int, program: ProgramSpec) -> np.ndarray:
    """Normal noise, or integers 0..255 for a program that takes pixels."""
    model = program.model
    segments = _STEPS if program.streaming else model.num_segments
    shape = (batch, segments, model.in_channels, *program.size)
    if program.pixels:
        return rng.integers(0, 256, shape).astype(np.float32)
    return rng.standard_normal(shape, np.float32)


def _normalized(clips: np.ndarray, pixels: InputSpec) -> np.ndarray:
    """Normalize clips (N, T, 3, H, W) of RGB 0..255 as the network expects."""
    return np.stack([normalize(np.moveaxis(clip, 1, -1).astype(np.uint8), pixels) for clip in clips])
