"""The protocol that the three backends implement, and the plain data that crosses it.

Everything here is numpy and dataclasses. A backend turns a `ModelSpec` into a network of its framework and
runs it; what to run, with which learning rate, on which random draws, is decided above, once for all three.

Shape legend: N clips, T segments, C channels, H x W pixels, K classes, F feature channels.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

import numpy as np

from trishift.errors import CheckpointError
from trishift.model.losses import LossSpec
from trishift.model.spec import FORBID_UNKNOWN_KEYS, ModelSpec
from trishift.model.tensors import TensorInfo, Tensors

State = tuple[Any, ...]  # a framework's own tensors, see `Session.step`


@dataclass(frozen=True)
class Execution:
    """How a network runs, without any influence on what it computes (up to rounding).

    Attributes:
        device: `cpu`, `gpu` or `ascend`.
        precision: `fp32`, `bf16` or `fp16` (mixed; weights stay float32).
        channels_last: use the NHWC memory format where the framework has one.
        compile: compile the network (torch.compile, MindSpore graph mode, Paddle to_static); None leaves it to the
            framework: MindSpore compiles as soon as that pays, the others do not.
        sync_batch_norm: batch statistics over all ranks, where the framework has it.
        distributed: join the process group that the launcher describes in the environment.
    """

    __pydantic_config__ = FORBID_UNKNOWN_KEYS

    device: Literal["cpu", "gpu", "ascend"] = "cpu"
    precision: Literal["fp32", "bf16", "fp16"] = "fp32"
    channels_last: bool = False
    compile: bool | None = None
    sync_batch_norm: bool = False
    distributed: bool = False


@dataclass(frozen=True)
class ParameterPlan:
    """What the optimizer does with one tensor: factors on the learning rate and on the weight decay."""

    lr_mult: float
    decay_mult: float


@dataclass(frozen=True)
class OptimizationPlan:
    """SGD with momentum, as all originals use it: v = momentum * v + (g + decay * w), w = w - lr * v.

    Attributes:
        parameters: canonical name to plan; a trainable tensor that is not named here stays as it is.
        frozen_norms: batch-norm layers that run on their running statistics and do not update them.
        clip_norm: total L2 norm to which all gradients together are scaled down, or None.
    """

    parameters: Mapping[str, ParameterPlan]
    loss: LossSpec = field(default_factory=LossSpec)
    momentum: float = 0.9
    nesterov: bool = False
    weight_decay: float = 5e-4
    frozen_norms: frozenset[str] = frozenset()
    clip_norm: float | None = None


@dataclass(frozen=True)
class Draws:
    """The random choices of one training forward pass, drawn in numpy so that all frameworks share them.

    Attributes:
        dropout: (N, T', F) float32 factors on the pooled features (0, or 1 / (1 - p)), T' the segments that
            reach the head; None for no dropout.
        relations: per scale, (R, k) int32 frame indices, see `relations.draw_relations`; empty for `average`.
    """

    dropout: np.ndarray | None = None
    relations: Sequence[np.ndarray] = ()


@dataclass(frozen=True)
class MicroBatch:
    """Part of a training batch.

    Attributes:
        clips: (N, T, C, H, W) float32.
        targets: (N,) int64, or (N, K) float32 of zeros and ones.
        draws: its random choices.
        weight: factor on its loss, 1 for equal parts; a mean over positives gives more to a part that has more.
    """

    clips: np.ndarray
    targets: np.ndarray
    draws: Draws = field(default_factory=Draws)
    weight: float = 1.0


@dataclass(frozen=True)
class StepResult:
    """Mean loss over all ranks and total gradient norm before clipping (NaN where it was not needed)."""

    loss: float
    gradient_norm: float = float("nan")


def check_tensors(tensors: Mapping[str, np.ndarray], shapes: Mapping[str, tuple[int, ...]]) -> None:
    """Refuse weights whose names or shapes are not exactly those of a network.

    Raises:
        CheckpointError: names the first missing or unknown tensor, or the first of another shape.
    """
    missing = [name for name in shapes if name not in tensors]
    unknown = [name for name in tensors if name not in shapes]
    if missing or unknown:
        first = f"{missing[0]} is missing" if missing else f"{unknown[0]} is unknown"
        raise CheckpointError(
            f"weights do not fit the network: {first} ({len(missing)} missing, {len(unknown)} unknown); "
            "check backbone, shift and head of the recipe"
        )
    for name, shape in shapes.items():
        if tuple(tensors[name].shape) != tuple(shape):
            raise CheckpointError(
                f"weights do not fit the network: {name} is {tuple(tensors[name].shape)}, expected {tuple(shape)}; "
                "check num_classes, num_segments and widths of the recipe"
            )


class Predictor(Protocol):
    """A model that predicts: a session of a framework, or an exported program in its runtime.

    Attributes:
        framework: who computes: a framework, or another runtime.
        spec: the network.
        rank, world_size: of this process.
    """

    framework: str
    spec: ModelSpec
    rank: int
    world_size: int

    def predict(self, clips: np.ndarray, relations: Sequence[np.ndarray] | None = None) -> np.ndarray:
        """Evaluation mode: (N, T, C, H, W) float32 to (N, K) float32 logits."""

    def features(self, clips: np.ndarray, layers: Sequence[str]) -> Tensors:
        """Evaluation-mode activations of named layers (`layer1`, `pooled`, `logits`), frames explicit: (N, T', ...)."""

    def state_shapes(self, height: int, width: int) -> dict[str, tuple[int, int, int]]:
        """Shifted block to the shape (C // div, H', W') of what a stream keeps of it, see `online.state_shapes`."""

    def step(self, frames: np.ndarray, state: State | None = None) -> tuple[np.ndarray, State]:
        """The next frame of N streams, in evaluation mode: frames (N, C, H, W) float32 to (N, K) float32 logits.

        `state` is what the last step returned, in the order of `state_shapes` and on the network's device; None
        begins a video. Raises RecipeError where the model cannot run frame by frame.
        """

    def gather(self, array: np.ndarray) -> np.ndarray:
        """Concatenate an array over all ranks along axis 0 (same shape on every rank)."""

    def close(self) -> None:
        """Leave the process group."""


class Session(Predictor, Protocol):
    """A network in one framework, ready to train or predict. Each backend's `session.py` has a class `Session`.

    Attributes:
        network: the framework's own module, never compiled nor wrapped.
    """

    execution: Execution
    network: Any

    def __init__(self, spec: ModelSpec, execution: Execution, seed: int = 0) -> None:
        """Build the network; initial weights follow the originals' initializers (see `initialization.py`)."""

    def parameters(self) -> tuple[TensorInfo, ...]:
        """All trainable tensors in network order."""

    def tensor_shapes(self) -> dict[str, tuple[int, ...]]:
        """Canonical name to canonical shape of every tensor (running statistics included), in network order."""

    def load_tensors(self, tensors: Mapping[str, np.ndarray]) -> None:
        """Copy weights in; names and shapes must be exactly those of `tensor_shapes`."""

    def dump_tensors(self) -> Tensors:
        """Copy weights out under canonical names and shapes."""

    def prepare_training(self, plan: OptimizationPlan) -> None:
        """Make the optimizer (zero momentum) and freeze what the plan does not train."""

    def load_momentum(self, momentum: Mapping[str, np.ndarray]) -> None:
        """Set the optimizer's momentum; missing names start at zero."""

    def dump_momentum(self) -> Tensors:
        """The optimizer's momentum under canonical names and shapes."""

    def train_step(self, batches: Sequence[MicroBatch], lr: float) -> StepResult:
        """One optimizer step on the mean gradient of the micro-batches (and of all ranks), each times its weight."""

    def gradients(self, batch: MicroBatch) -> tuple[float, Tensors]:
        """Loss and unclipped gradients of a training-mode pass; changes running statistics, not weights."""

    def barrier(self) -> None:
        """Wait for all ranks."""
