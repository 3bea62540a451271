"""Data classes and protocols between backends and their callers; backends subclass `session.Session`.

Everything here is numpy and dataclasses. A backend turns a `ModelSpec` into a network of its framework and runs it.
The layers above choose batches, learning rates and random draws, once for all three frameworks.

Shape legend: N clips, T segments, C channels, H x W pixels, K classes, F feature channels.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal, Protocol

import numpy as np

from trishift.errors import CheckpointError, DataError, RecipeError
from trishift.io.typed import FORBID_UNKNOWN_KEYS
from trishift.io.wording import counted
from trishift.model.feature_maps import check_size
from trishift.model.losses import GuideSpec, LossSpec
from trishift.model.pixels import Normalization
from trishift.model.spec import ModelSpec
from trishift.model.tensors import Tensors

Device = Literal["cpu", "gpu", "ascend"]
Precision = Literal["fp32", "tf32", "bf16", "fp16", "int8"]
State = tuple[Any, ...]  # a framework's own tensors, see `Session.step`


@dataclass(frozen=True)
class Execution:
    """Execution settings. They change speed and memory, not results (up to rounding).

    Attributes:
        device: `cpu`, `gpu` or `ascend`.
        precision: `fp32`, `tf32` (products in TensorFloat-32), `bf16` or `fp16` (mixed; weights stay float32), or
            `int8` (calibrated exports).
        channels_last: use the NHWC memory format where the framework has one; None leaves the choice to the backend:
            PyTorch uses it where it is faster, on CPUs, and on GPUs in reduced precision.
        compile: compile the network (torch.compile, MindSpore graph mode, Paddle to_static); None leaves the choice to
            the backend: MindSpore compiles once it pays off, the others run eagerly.
        sync_batch_norm: compute batch statistics over all ranks, where the framework supports it.
        distributed: join the process group that the launcher describes in the environment.
    """

    __pydantic_config__ = FORBID_UNKNOWN_KEYS

    device: Device = "cpu"
    precision: Precision = "fp32"
    channels_last: bool | None = None
    compile: bool | None = None
    sync_batch_norm: bool = False
    distributed: bool = False


@dataclass(frozen=True)
class ParameterPlan:
    """Multipliers on the learning rate and the weight decay of one tensor."""

    lr_mult: float
    decay_mult: float


@dataclass(frozen=True)
class OptimizerSpec:
    """The rule that turns gradients g into new weights w.

    `sgd`, as in all originals: v = momentum * v + (g + decay * w), w = w - lr * v. `adamw` (Loshchilov and Hutter 2019,
    arXiv:1711.05101): m and s are running means of g and g * g, divided by 1 - beta ** steps to correct their start at
    zero; w = w - lr * (m / (sqrt(s) + epsilon) + decay * w).

    Attributes:
        name: `sgd` or `adamw`.
        betas: `adamw`: decay factors of the running means of g and g * g.
        epsilon: `adamw`: keeps the division finite.
    """

    __pydantic_config__ = FORBID_UNKNOWN_KEYS

    name: Literal["sgd", "adamw"] = "sgd"
    betas: tuple[float, float] = (0.9, 0.999)
    epsilon: float = 1e-8

    def __post_init__(self) -> None:
        if not all(0 < beta < 1 for beta in self.betas):
            raise RecipeError(f"train.optimizer.betas: must lie between 0 and 1, not {list(self.betas)}")
        if not 0 < self.epsilon < math.inf:
            raise RecipeError(f"train.optimizer.epsilon: must be positive, not {self.epsilon}")


@dataclass(frozen=True)
class OptimizationPlan:
    """What an optimizer trains, and how.

    Attributes:
        parameters: canonical name to plan; trainable tensors not named here are not updated.
        frozen_norms: batch-norm layers that normalize with their running statistics and do not update them.
        clip_norm: maximum L2 norm of all gradients together; None disables clipping.
    """

    parameters: Mapping[str, ParameterPlan]
    loss: LossSpec = field(default_factory=LossSpec)
    guide: GuideSpec = field(default_factory=GuideSpec)
    optimizer: OptimizerSpec = field(default_factory=OptimizerSpec)
    momentum: float = 0.9
    nesterov: bool = False
    weight_decay: float = 5e-4
    frozen_norms: frozenset[str] = frozenset()
    clip_norm: float | None = None


@dataclass(frozen=True)
class Draws:
    """The random choices of one training forward pass, drawn in numpy so that all frameworks share them.

    Attributes:
        dropout: (N, T', F) float32 factors on the pooled features (0, or 1 / (1 - p)), where T' is the
            number of segments at the head; None for no dropout.
        relations: per scale, (R, k) int32 frame indices, see `relations.draw_relations`; empty for `average`.
        survival: (N, B) float32 factors on the branches of the B residual blocks (0, or 1 / (1 - p)), in network order;
            None to keep all.
    """

    dropout: np.ndarray | None = None
    relations: Sequence[np.ndarray] = ()
    survival: np.ndarray | None = None


@dataclass(frozen=True)
class MicroBatch:
    """Part of a training batch.

    Attributes:
        clips: (N, T, C, H, W) float32, or uint8 with a `normalization`.
        targets: (N,) int64, or (N, K) float32: zeros and ones, or class probabilities for `cross_entropy`.
        draws: random draws of its forward pass.
        guide: (N, K) float32 class probabilities of teachers, see `GuideSpec`, or None.
        weight: factor on its loss: 1 for equal parts; with a mean over positives, larger for parts with more of them.
        normalization: applied to uint8 clips on the device; they cross to it in a quarter of the bytes.
    """

    clips: np.ndarray
    targets: np.ndarray
    draws: Draws = field(default_factory=Draws)
    guide: np.ndarray | None = None
    weight: float = 1.0
    normalization: Normalization | None = None

    def __post_init__(self) -> None:
        if (self.clips.dtype == np.uint8) != (self.normalization is not None):
            raise DataError(f"clips of {self.clips.dtype}: a normalization is for uint8 clips, which need one")


class StepResult:
    """Result of an optimizer step, still on the device: reading a number waits until the device has computed it.

    Args:
        loss: scalar, the mean loss over all ranks.
        gradient_norm: scalar, the total gradient norm before clipping (NaN if it was not computed).
        accuracy: scalar, see `accuracy`.
    """

    def __init__(self, loss: Any, gradient_norm: Any = math.nan, accuracy: Any = math.nan) -> None:
        self._loss, self._gradient_norm, self._accuracy = loss, gradient_norm, accuracy

    @cached_property
    def loss(self) -> float:
        """Mean loss over all ranks."""
        return float(self._loss)

    @cached_property
    def gradient_norm(self) -> float:
        """Total gradient norm before clipping, NaN if it was not computed."""
        return float(self._gradient_norm)

    @cached_property
    def accuracy(self) -> float:
        """Top-1 of the step's training clips before the update; the mean target of the best classes if they are mixed.

        NaN with several labels per clip.
        """
        return float(self._accuracy)


def check_tensors(tensors: Mapping[str, np.ndarray], shapes: Mapping[str, tuple[int, ...]]) -> None:
    """Reject weights whose names or shapes differ from those of the network.

    Raises:
        CheckpointError: a tensor is missing, unknown or has another shape; the message names the first.
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
    """Reject clips (N, T, C, H, W) that do not fit a model.

    Raises:
        DataError: segments or channels differ; the message names both.
        RecipeError: height and width do not suit the model.
    """
    segments, channels = shape[1:3]
    if (segments, channels) != (spec.num_segments, spec.in_channels):
        raise DataError(
            f"clips of {segments} segments and {channels} channels do not fit a model of "
            f"{counted(spec.num_segments, 'segment')} and {counted(spec.in_channels, 'channel')}"
        )
    check_size(spec, shape[3:], "clips")  # type: ignore[arg-type]


class Predictor(Protocol):
    """A model that predicts: a session of a framework, or an exported program in its runtime.

    Attributes:
        framework: the framework or runtime.
        spec: describes the network.
        has_layers: whether `features` and `classify` are available.
        last_form: how the last prediction was computed, in words.
        rank, world_size: rank of this process, and number of processes.
    """

    framework: str
    spec: ModelSpec
    has_layers: bool
    last_form: str

    @property
    def rank(self) -> int:
        """Rank of this process, counted from 0."""

    @property
    def world_size(self) -> int:
        """Number of processes."""

    def predict(self, clips: np.ndarray, relations: Sequence[np.ndarray] | None = None) -> np.ndarray:
        """Evaluation mode: (N, T, C, H, W) float32 to (N, K) float32 logits; uint8, see `accept_pixels`."""

    def accept_pixels(self, rule: Normalization) -> bool:
        """From now on, normalize uint8 clips that `predict` gets, if they are to be copied to a device.

        They cross to it in a quarter of the bytes. Returns False if clips must be float32.
        """

    def prefetch(self, clips: np.ndarray) -> None:
        """Begin to copy clips (N, T, C, H, W) for a later call, if the device can do that while it computes."""

    def features(self, clips: np.ndarray, layers: Sequence[str]) -> Tensors:
        """Evaluation-mode activations (N, T', ...) of named layers such as `layer1`, `pooled` and `logits`."""

    def classify(self, features: np.ndarray, relations: Sequence[np.ndarray] | None = None) -> np.ndarray:
        """Evaluation mode: pooled features (N, T', F) float32 to (N, K) float32 logits; the head of `predict`."""

    def head_gradients(
        self, features: np.ndarray, classes: np.ndarray, relations: Sequence[np.ndarray] | None = None
    ) -> np.ndarray:
        """Gradients (N, T', F) of one logit per clip, of `classes` (N,), with respect to the pooled features."""

    def state_shapes(self, height: int, width: int) -> dict[str, tuple[int, int, int]]:
        """Shifted block to the shape (C // div, H', W') of its stream buffer, see `online.state_shapes`."""

    def step(self, frames: np.ndarray, state: State | None = None) -> tuple[np.ndarray, State]:
        """Advance N streams by one frame, in evaluation mode: (N, C, H, W) float32 to (N, K) float32 logits.

        `state` is the state returned for the previous frame, in the order of `state_shapes` and on the network's
        device; None starts a video. Raises RecipeError if the model cannot run frame by frame.
        """

    def check_clips(self, shape: tuple[int, ...]) -> None:
        """Refuse clips of a shape (N, T, C, H, W) that the model does not take, as `predict` would."""

    def gather(self, array: np.ndarray) -> np.ndarray:
        """Concatenate an array over all ranks along axis 0 (same shape on every rank)."""

    def close(self) -> None:
        """Leave the process group."""


class Program(Protocol):
    """An exported program, opened in its runtime."""

    def run(self, inputs: tuple[np.ndarray, ...]) -> list[np.ndarray]:
        """Run the program; inputs and outputs are in the order of the `ProgramSpec`."""


# Components of a session, implemented by each backend


class TensorAccess(Protocol):
    """The functions of `tensors.py`."""

    def undrawn(self) -> AbstractContextManager[None]:
        """Build networks without the framework's own draws of weights; every tensor must be written afterwards."""

    def tensors(self, network: Any) -> dict[str, Any]:
        """Every tensor of a network by canonical name, in network order."""

    def to_numpy(self, tensor: Any) -> np.ndarray:
        """A float32 copy in C order on the host."""

    def read(self, tensor: Any) -> np.ndarray:
        """A float32 copy on the host of a network's tensor, or of its gradient or buffer, in canonical shape."""

    def write(self, tensor: Any, array: np.ndarray) -> None:
        """Copy a canonical array into a network's tensor, or into its buffer, in place."""

    def clone(self, tensor: Any) -> Any:
        """A copy on the device."""

    def assign(self, tensor: Any, value: Any) -> None:
        """Copy a tensor into another, in place."""

    def normalize(self, pixels: Any, factors: Any, offsets: Any) -> Any:
        """uint8 pixels * factors - offsets in float32, see `model.pixels`."""

    def blend(self, tensor: Any, value: Any, share: float) -> None:
        """Move a tensor towards another by a share of their difference, in place."""


class Copies(Protocol):
    """Copies of arrays on the device: `copies.py`."""

    def begin(self, array: np.ndarray) -> None:
        """Begin to copy an array that `take` is going to ask for, if the device can do that while it computes."""

    def take(self, array: np.ndarray) -> Any:
        """The copy of an array, which computation can use from now on."""


class Ranks(Protocol):
    """This process's rank in the data-parallel group: `distributed.py`.

    Attributes:
        rank: of this process, counted from 0.
        world_size: number of processes.
        local_rank: number of this process on its machine.
        address: host name or address of the machine of rank 0.
    """

    rank: int
    world_size: int
    local_rank: int
    address: str

    def mean(self, tensor: Any) -> Any:
        """The mean of a tensor over all ranks."""

    def means(self, tensors: Sequence[Any]) -> list[Any]:
        """The means of tensors over all ranks, in one exchange."""

    def gather(self, array: np.ndarray) -> np.ndarray:
        """Concatenate an array over all ranks along axis 0 (same shape and type on every rank)."""

    def barrier(self) -> None:
        """Wait for all ranks."""

    def close(self) -> None:
        """Leave the process group."""


class Optimizer(Protocol):
    """SGD or AdamW on the tensors of a plan: `optimizer.py`.

    Attributes:
        steps: completed updates by name, if the rule depends on them.
    """

    steps: dict[str, int]

    def total_norm(self, gradients: Mapping[str, Any]) -> Any:
        """The L2 norm of all gradients together, a float32 scalar on the device."""

    def step(self, gradients: Mapping[str, Any], factor: Any, lr: float) -> None:
        """Update the weights with gradients by name, each multiplied by `factor` (a number or scalar; None: 1)."""

    def buffers(self) -> dict[str, dict[str, Any]]:
        """The state of the rule by kind and name, not copies: `momentum`, or `exp_avg` and `exp_avg_sq`."""


class Handle(Protocol):
    """A hook in a network."""

    def remove(self) -> Any:
        """Remove the hook."""
