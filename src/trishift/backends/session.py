"""Base class of the sessions: everything that is the same in all three frameworks.

Shape legend: N clips, T segments, C channels, H x W pixels, K classes, F feature channels.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from trishift.backends.contract import (
    Device,
    Execution,
    Handle,
    Program,
    Ranks,
    State,
    check_clips,
)
from trishift.backends.fast_forms import NATIVE, FastForm, FormName, fast_form, proven
from trishift.backends.program import ProgramSpec
from trishift.backends.training import Module, Relations, Tensor, Trainable
from trishift.errors import RecipeError
from trishift.io.memory import peak_memory
from trishift.model.feature_maps import check_size, small_size
from trishift.model.initialization import initial_tensors
from trishift.model.online import state_shapes, zero_state
from trishift.model.pixels import Normalization
from trishift.model.spec import ModelSpec
from trishift.model.tensors import Tensors

_ENDS = {"pooled": "backbone", "logits": "head"}  # names of layers that are no modules of the backbone


class Session(Trainable):
    """A network in one framework: prediction (see `Predictor`), training (see `Trainable`) and export.

    Public methods are implemented once, here and in `Trainable`; a backend implements the abstract private ones.

    Attributes:
        spec, execution: as passed to the constructor.
        network: the framework's own module, neither compiled nor wrapped.
        last_form: how the last prediction was computed, in words.
    """

    framework: str
    has_layers = True
    last_form = NATIVE

    def __init__(
        self,
        spec: ModelSpec,
        execution: Execution,
        seed: int = 0,
        weights: Tensors | None = None,
        form: FormName = "native",
        strict: bool = False,
        ranks: Ranks | None = None,
    ) -> None:
        """Build the network, with the given weights or initial ones as the originals draw them.

        Args:
            spec: describes the network.
            execution: device, precision and other execution settings.
            seed: of the initial weights, see `initialization.py`.
            weights: tensors under canonical names, see `load_tensors`; None: initial weights.
            form: predict in this form where the backend has it, see `fast_forms`.
            strict: refuse to predict if the form cannot be made; otherwise the plain network predicts.
            ranks: the processes that `join` found; None: joins them.

        Raises:
            CheckpointError: a tensor is missing, unknown or has another shape.
            FrameworkError: the device or precision is not supported, or there is no launcher.
        """
        self.spec = spec
        self.execution = execution
        self._form = fast_form(form, self.framework, execution, spec)
        self._strict = strict
        self._fast: dict[Any, Any] = {}  # by size, streaming and layers, made on first use
        self._batch_sizes: dict[tuple[int, ...], int] = {}  # the largest so far
        self._rule: Normalization | None = None
        self._ranks = self.join(execution) if ranks is None else ranks
        self._select(self._ranks)
        with self._access.undrawn():
            self.network: Module = self._build()
        self.load_tensors(initial_tensors(self.spec, seed) if weights is None else weights)

    @property
    def rank(self) -> int:
        """Rank of this process, counted from 0."""
        return self._ranks.rank

    @property
    def world_size(self) -> int:
        """Number of processes."""
        return self._ranks.world_size

    # Prediction

    def predict(self, clips: np.ndarray, relations: Sequence[np.ndarray] | None = None) -> np.ndarray:
        """Evaluation mode: (N, T, C, H, W) float32 to (N, K) float32 logits; uint8, see `accept_pixels`.

        Raises:
            RecipeError: the head needs `sampled` relations and none were passed.
            DataError: segments or channels of the clips differ from those of the model.
        """
        if relations is None and self.spec.head.consensus != "average" and self.spec.head.relations == "sampled":
            raise RecipeError("head.relations: 'sampled' needs relations drawn by the caller; or choose 'expected'")
        check_clips(clips.shape, self.spec)
        with self._evaluation():
            fast = self._fast_form(clips.shape, exists=relations is None)
            if fast is not None:
                assert self._form is not None
                filled = self._filled(clips) if self._form.fixed_batch else clips
                return self._arrays(fast(self._clips(filled)))[0][: len(clips)]
            return self._logits(clips, self._relations(relations))

    def accept_pixels(self, rule: Normalization) -> bool:
        """Normalize uint8 clips by this rule from now on; False on a CPU, see `contract.Predictor`."""
        self._rule = rule
        return self.execution.device != "cpu"

    def _clips(self, clips: np.ndarray) -> Tensor:
        return self._normalized(clips, self._rule)

    def _fast_form(
        self, shape: tuple[int, ...], streaming: bool = False, layers: tuple[str, ...] = (), exists: bool = True
    ) -> Any:
        """The fast form of the present weights, a function of tensors; None: the plain network predicts.

        Args:
            shape: of the clips, or of the frames of streams.
            streaming: a step instead of clips.
            layers: compute these instead of the logits.
            exists: False if the arguments rule out a fast form.
        """
        form = self._form
        if form is None or not exists or (layers and not form.has_layers):
            self.last_form = NATIVE
            return None
        kind = (shape[-2:] if form.sized else small_size(self.spec), streaming, layers)
        if kind not in self._fast:
            inputs, expected = self._proof((shape[0] if form.sized else 1, shape[-3], *kind[0]), streaming, layers)
            make = partial(self._make, form, streaming, [self._path(name) for name in layers])
            precision = self.execution.precision
            self._fast[kind] = proven(form, precision, make, inputs, expected, self._arrays, strict=self._strict)
        fast = self._fast[kind]
        self.last_form = NATIVE if fast is None else form.method
        if isinstance(is_compiled := getattr(fast, "is_compiled", None), bool):
            self.last_form += ", compiled" if is_compiled else ", eager"
        return fast

    def _filled(self, clips: np.ndarray) -> np.ndarray:
        """Zero-pad a batch to the largest size so far for clips of this shape, for which there is a graph already."""
        size = max(len(clips), self._batch_sizes.get(clips.shape[1:], 0))
        self._batch_sizes[clips.shape[1:]] = size
        if len(clips) == size:
            return clips  # the same array, whose copy to the device may have begun
        padding = np.zeros((size - len(clips), *clips.shape[1:]), clips.dtype)
        return np.concatenate([clips, padding])

    def _proof(
        self, shape: tuple[int, ...], streaming: bool, layers: tuple[str, ...]
    ) -> tuple[tuple[Tensor, ...], list[np.ndarray]]:
        """Inputs of `shape` (N, C, H, W) for which a fast form must compute the same as the plain network, and that."""
        rng = np.random.default_rng(0)
        if streaming:
            arrays = (np.empty(shape), *zero_state(self.spec, shape))
            frames, *state = (self._tensor(rng.standard_normal(array.shape, np.float32)) for array in arrays)
            return (frames, *state), self._arrays(self._next(frames, tuple(state)))
        clips = rng.standard_normal((shape[0], self.spec.num_segments, *shape[1:]), np.float32)
        expected = [*self._observed(clips, layers).values()] if layers else [self._logits(clips, None)]
        return (self._tensor(clips),), expected

    def _arrays(self, outputs: Any) -> list[np.ndarray]:
        """The outputs of a network, a step or a fast form as arrays."""
        return [self._access.to_numpy(each) for each in (outputs if isinstance(outputs, list | tuple) else [outputs])]

    def _on_weights_change(self) -> None:
        self._fast.clear()

    def prefetch(self, clips: np.ndarray) -> None:
        """Begin to copy clips (N, T, C, H, W) for a later call, if the device can do that while it computes."""
        self._uploads.begin(clips)

    def check_clips(self, shape: tuple[int, ...]) -> None:
        """Refuse clips of a shape (N, T, C, H, W) that the model does not take.

        Raises:
            DataError: segments or channels differ from those of the model.
            RecipeError: height and width do not suit the model.
        """
        check_clips(shape, self.spec)

    def features(self, clips: np.ndarray, layers: Sequence[str]) -> Tensors:
        """Evaluation-mode activations by name: (N, T', ...) with a frame axis, and (N, K) for `logits`.

        Args:
            clips: (N, T, C, H, W) float32.
            layers: modules of the backbone (`layer1`, `features.3`, `inception_3a`), `pooled` or `logits`.

        Raises:
            RecipeError: the network has no such layer, or does not run it.
            DataError: segments or channels of the clips differ from those of the model.
        """
        check_clips(clips.shape, self.spec)
        names = tuple(dict.fromkeys(layers))
        for name in names:
            self._layer(name)
        with self._evaluation():
            fast = self._fast_form(clips.shape, layers=names) if names else None
            if fast is None:
                found = self._observed(clips, names)
            else:
                found = dict(zip(names, self._arrays(fast(self._tensor(clips))), strict=True))
        return {
            name: array if name == "logits" else array.reshape(len(clips), -1, *array.shape[1:])
            for name, array in found.items()
        }

    def _observed(self, clips: np.ndarray, layers: Sequence[str]) -> Tensors:
        """The outputs of layers of the plain network, by name."""
        found: Tensors = {}

        def keep(name: str, output: Tensor) -> None:
            found[name] = self._access.to_numpy(output)

        hooks = [self._watch(self._layer(name), partial(keep, name)) for name in layers]
        try:
            self.network(self._tensor(clips))
        finally:
            for hook in hooks:
                hook.remove()
        for name in layers:
            if name not in found:
                raise RecipeError(f"layer {name!r} is part of the network, but does not run; choose another one")
        return {name: found[name] for name in layers}

    def classify(self, features: np.ndarray, relations: Sequence[np.ndarray] | None = None) -> np.ndarray:
        """Apply the head in evaluation mode: pooled features (N, T', F) float32 to (N, K) float32 logits."""
        with self._evaluation():
            return self._access.to_numpy(self.network.head(self._tensor(features), self._relations(relations)))

    def head_gradients(
        self, features: np.ndarray, classes: np.ndarray, relations: Sequence[np.ndarray] | None = None
    ) -> np.ndarray:
        """Gradients (N, T', F) of one logit per clip, of `classes` (N,), with respect to pooled features (N, T', F)."""
        chosen = self._tensor(np.eye(self.spec.num_classes, dtype=np.float32)[classes])
        gradients = self._head_gradients(self._tensor(features), chosen, self._relations(relations))
        return self._access.to_numpy(gradients)

    def _layer(self, name: str) -> Module:
        if name in _ENDS:
            return self.network.backbone if name == "pooled" else self.network.head
        layers = self._layers()
        if name not in layers:
            known = ", ".join(layer for layer in layers if layer and "." not in layer)
            raise RecipeError(f"layer {name!r} is unknown; known layers include {known}, pooled, logits")
        return layers[name]

    @staticmethod
    def _path(name: str) -> str:
        """The path of a layer in the network."""
        return _ENDS.get(name, f"backbone.{name}")

    # Streaming

    def state_shapes(self, height: int, width: int) -> dict[str, tuple[int, int, int]]:
        """Shifted block to the shape (C // div, H', W') of its stream buffer."""
        return state_shapes(self.spec, height, width)

    def step(self, frames: np.ndarray, state: State | None = None) -> tuple[np.ndarray, State]:
        """Advance N streams by one frame, in evaluation mode.

        Args:
            frames: (N, C, H, W) float32.
            state: returned for the previous frame; None at the start of a video.

        Returns:
            (N, K) float32 logits of the frames, and the new state.

        Raises:
            RecipeError: the model cannot run frame by frame, or not on frames of this size.
        """
        if state is None:
            check_size(self.spec, frames.shape[2:], "frames")  # type: ignore[arg-type]
            state = tuple(self._tensor(buffer) for buffer in zero_state(self.spec, frames.shape))
        with self._evaluation():
            fast = self._fast_form(frames.shape, streaming=True)
            outputs = fast(self._tensor(frames), *state) if fast else self._next(self._tensor(frames), state)
            logits, *present = outputs
            return self._access.to_numpy(logits), tuple(present)

    # Export

    @abstractmethod
    def write_program(
        self, spec: ProgramSpec, format_name: str, path: Path, description: dict[str, str], opset: int
    ) -> None:
        """Write the network in a deployment format, see `exporting.py` of each backend.

        Args:
            spec: inputs and outputs.
            format_name: a format that the framework can write.
            path: the file or folder.
            description: texts by name, stored in the file if the format supports it.
            opset: operator-set version of an `onnx` file, if the framework can choose it.

        Raises:
            FrameworkError: the framework cannot write it.
        """

    @staticmethod
    @abstractmethod
    def find_device() -> Device:
        """The best device that this framework finds here."""

    @staticmethod
    @abstractmethod
    def open_program(path: Path, spec: ProgramSpec, execution: Execution) -> Program:
        """Open a program that this framework wrote.

        Raises:
            FrameworkError: the device is not available.
        """

    # Ranks

    def gather(self, array: np.ndarray) -> np.ndarray:
        """Concatenate an array over all ranks along axis 0 (same shape on every rank)."""
        return self._ranks.gather(array)

    def peak_memory(self) -> int:
        """Largest memory in use so far in bytes, of the device (CPU: of the process); 0 if it is not known."""
        return peak_memory() if self.execution.device == "cpu" else self._device_memory()

    def barrier(self) -> None:
        """Wait for all ranks."""
        self._ranks.barrier()

    def close(self) -> None:
        """Leave the process group."""
        self._ranks.close()

    # Implemented by each framework

    @classmethod
    @abstractmethod
    def join(cls, execution: Execution) -> Ranks:
        """Join the processes that the launcher describes in the environment, if `execution.distributed`."""

    @abstractmethod
    def _select(self, ranks: Ranks) -> None:
        """Select this process's device."""

    @abstractmethod
    def _build(self) -> Module:
        """Build the network on its device, in the precision and layout of `execution`."""

    @abstractmethod
    def _device_memory(self) -> int:
        """Largest memory of tensors on a GPU or NPU so far, in bytes."""

    @abstractmethod
    def _evaluation(self) -> AbstractContextManager[object]:
        """Evaluation mode without gradients, in the precision of `execution`."""

    @abstractmethod
    def _logits(self, clips: np.ndarray, relations: Relations) -> np.ndarray:
        """Logits (N, K) of clips (N, T, C, H, W)."""

    @abstractmethod
    def _head_gradients(self, features: Tensor, chosen: Tensor, relations: Relations) -> Tensor:
        """Evaluation mode: gradient of the sum of logits times `chosen` (N, K) with respect to features (N, T', F)."""

    @abstractmethod
    def _make(self, form: FastForm, streaming: bool, layers: Sequence[str]) -> Callable[..., Any]:
        """A fast form of the network, or of its step on streams: a function of tensors.

        Layers, paths of modules, replace the logits.
        """

    @abstractmethod
    def _layers(self) -> Mapping[str, Module]:
        """The backbone's modules by path."""

    @abstractmethod
    def _watch(self, layer: Module, callback: Callable[[Tensor], None]) -> Handle:
        """Call a function with every output of a module."""

    @abstractmethod
    def _next(self, frames: Tensor, state: State) -> Sequence[Tensor]:
        """The logits of the next frames, and the new state."""
