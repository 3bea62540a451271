"""The plain data and the protocols between a backend and its callers; `session.py` is what a backend subclasses.

Everything here is numpy and dataclasses. A backend turns a `ModelSpec` into a network of its framework and
runs it; what to run, with which learning rate, on which random draws, is decided above, once for all three.

Shape legend: N clips, T segments, C channels, H x W pixels, K classes, F feature channels.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

import numpy as np

from trishift.errors import CheckpointError, DataError
from trishift.model.losses import LossSpec
from trishift.model.spec import FORBID_UNKNOWN_KEYS, ModelSpec
from trishift.model.tensors import Tensors

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


def check_clips(shape: tuple[int, ...], spec: ModelSpec) -> None:
    """Refuse clips (N, T, C, H, W) of other segments or channels than a model's.

    Raises:
        DataError: names what they have and what the model takes.
    """
    segments, channels = shape[1:3]
    if (segments, channels) != (spec.num_segments, spec.in_channels):
        raise DataError(
            f"clips of {segments} segments and {channels} channels do not fit a model of "
            f"{spec.num_segments} segments and {spec.in_channels} channels"
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

    @property
    def rank(self) -> int:
        """Number of this process."""

    @property
    def world_size(self) -> int:
        """Number of processes."""

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


class Program(Protocol):
    """An exported program, opened in its runtime."""

    def run(self, inputs: tuple[np.ndarray, ...]) -> list[np.ndarray]:
        """Outputs of inputs, both in the order of the `ProgramSpec`."""


# The parts of a session that each framework writes for itself


class TensorAccess(Protocol):
    """The functions of `tensors.py`."""

    def tensors(self, network: Any) -> dict[str, Any]:
        """Every tensor of a network by canonical name, in network order."""

    def to_numpy(self, tensor: Any) -> np.ndarray:
        """A float32 copy in C order on the host."""

    def read(self, tensor: Any) -> np.ndarray:
        """A float32 copy on the host of a network's tensor, or of its gradient or momentum, in canonical shape."""

    def write(self, tensor: Any, array: np.ndarray) -> None:
        """Copy a canonical array into a network's tensor, or into its momentum, where it lies."""

    def assign(self, tensor: Any, value: Any) -> None:
        """Copy a tensor into another where that lies."""


class Ranks(Protocol):
    """This process among its equals: `distributed.py`."""

    rank: int
    world_size: int

    def mean(self, tensor: Any) -> Any:
        """The mean of a tensor over all ranks."""

    def means(self, tensors: Sequence[Any]) -> list[Any]:
        """The means of tensors over all ranks, in one message."""

    def gather(self, array: np.ndarray) -> np.ndarray:
        """Arrays of all ranks, same shape and type everywhere, concatenated along axis 0."""

    def barrier(self) -> None:
        """Wait for all ranks."""

    def close(self) -> None:
        """Leave the process group."""


class Optimizer(Protocol):
    """SGD with momentum on the tensors of a plan: `optimizer.py`."""

    def total_norm(self, gradients: Mapping[str, Any]) -> float:
        """The L2 norm of all gradients together."""

    def step(self, gradients: Mapping[str, Any], factor: float, lr: float) -> None:
        """Update the weights with gradients by name, each times a factor."""

    def momentum(self) -> dict[str, Any]:
        """The momentum itself, not a copy, by name."""


class Handle(Protocol):
    """A hook in a network."""

    def remove(self) -> Any:
        """Take the hook out again."""
