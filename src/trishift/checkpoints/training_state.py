"""Training state: what resuming a run needs beyond the weights, in any framework.

Weights and training state share one file, which is replaced in a single rename, so that no crash can combine the
weights of one step with the momentum of another. The file stays an ordinary canonical checkpoint: `canonical.load`
and every other reader of weights skip the tensors named `training.*`.
"""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from trishift.checkpoints.canonical import DESCRIPTION_KEY, TRAINING_PREFIX, Checkpoint, decode, encode_description
from trishift.checkpoints.formats.safetensors import looks_like_safetensors, read_safetensors, write_safetensors
from trishift.checkpoints.formats.stored import reading
from trishift.errors import CheckpointError, brief

FORMAT_VERSION = 1
_GROUPS = {"average": f"{TRAINING_PREFIX}ema.", "peer": f"{TRAINING_PREFIX}peer.", "optimizer": TRAINING_PREFIX}
"""Fields of arrays, and what their names start with in the file; the first match counts."""
_ENTRY = f"{DESCRIPTION_KEY}.training"


@dataclass(frozen=True)
class TrainingState:
    """A point in a training run.

    Attributes:
        epoch: epoch in progress, or the next one if `batch` is 0; counted from 0.
        batch: completed batches of that epoch: the position in the (seeded) data order.
        iteration: optimizer steps since the start: the position in the learning-rate schedule.
        seed: seed of the run, from which every random choice derives.
        optimizer: the optimizer's state, by kind and canonical name: `momentum.head.fc.weight`.
        best: best metric so far, for example `{"epoch": 3, "top1": 0.71}`.
        kept: the same of all evaluations whose weights are kept, best first.
        average: the running mean of the weights, if the run has one.
        peer: weights and optimizer state of the second student of mutual learning, if there is one.
    """

    epoch: int
    batch: int
    iteration: int
    seed: int
    optimizer: dict[str, np.ndarray] = field(default_factory=dict)
    best: dict[str, Any] = field(default_factory=dict)
    kept: list[dict[str, Any]] = field(default_factory=list)
    average: dict[str, np.ndarray] = field(default_factory=dict)
    peer: dict[str, np.ndarray] = field(default_factory=dict)


def save_state(path: str | Path, checkpoint: Checkpoint, state: TrainingState) -> None:
    """Write weights and training state as one file, atomically.

    Raises:
        CheckpointError: `best` is not plain JSON.
        OutputError: the file cannot be written.
    """
    values = {f.name: getattr(state, f.name) for f in dataclasses.fields(state)}
    arrays = {prefix + name: array for field, prefix in _GROUPS.items() for name, array in values.pop(field).items()}
    if not state.kept:
        del values["kept"]
    try:
        position = json.dumps({"format": FORMAT_VERSION, **values}, ensure_ascii=False)
    except (TypeError, ValueError) as error:
        raise CheckpointError(f"training state: only plain JSON types can be stored ({error})") from error
    metadata = {DESCRIPTION_KEY: encode_description(checkpoint), _ENTRY: position}
    write_safetensors(path, {**checkpoint.tensors, **arrays}, metadata)


def load_state(path: str | Path) -> tuple[Checkpoint, TrainingState]:
    """Read a file written by `save_state`.

    Raises:
        CheckpointError: the file is damaged, of a newer version, or contains only weights.
    """
    if Path(path).is_file() and not _starts_like_safetensors(Path(path)):
        raise CheckpointError(
            f"{path}: not the last.safetensors of a run, so it cannot be resumed; to start a new run from these "
            f"weights, set train.initial_weights={path}"
        )
    tensors, metadata = read_safetensors(path)
    weights: dict[str, np.ndarray] = {}
    groups: dict[str, dict[str, np.ndarray]] = {field: {} for field in _GROUPS}
    for name, array in tensors.items():
        group = next((field for field, prefix in _GROUPS.items() if name.startswith(prefix)), None)
        if group is None:
            weights[name] = array
        else:
            groups[group][name.removeprefix(_GROUPS[group])] = array
    checkpoint = decode(path, weights, metadata)
    if _ENTRY not in metadata:
        raise CheckpointError(f"{path}: contains weights but no training state; resume from last.safetensors instead")
    try:
        values = json.loads(metadata[_ENTRY])
        if values["format"] > FORMAT_VERSION:
            raise CheckpointError(f"{path}: its training state was written by a newer Trishift; upgrade to resume it")
        del values["format"]
        values.pop("extra", None)  # in files of earlier versions, always empty
        state = TrainingState(**{**values, **groups})
        position = (state.epoch, state.batch, state.iteration, state.seed)
        counted = all(type(number) is int and number >= 0 for number in position)
        if not counted or not all(isinstance(each, dict) for each in (state.best, *state.kept)):
            raise ValueError("a position has the wrong type")
        return checkpoint, state
    except RecursionError as error:
        raise CheckpointError(f"{path}: its training state is damaged (nested too deeply)") from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise CheckpointError(f"{path}: its training state is damaged ({brief(error)})") from error


def _starts_like_safetensors(path: Path) -> bool:
    with reading(path, "safetensors"), path.open("rb") as file:
        return looks_like_safetensors(file.read(16))
