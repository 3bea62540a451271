"""SGD as the originals run it, with momentum that is exchanged under canonical names."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
import paddle
from paddle import Tensor

from trishift.backends.contract import OptimizationPlan
from trishift.backends.paddle.distributed import Ranks
from trishift.backends.paddle.tensors import from_canonical, to_canonical
from trishift.errors import CheckpointError
from trishift.model.tensors import Tensors


class LossScale:
    """The factor that keeps small fp16 gradients above zero; halved when they overflow, doubled after a calm."""

    def __init__(self, enabled: bool, factor: float = 65536.0, patience: int = 2000) -> None:
        self.enabled = enabled
        self.factor = factor if enabled else 1.0
        self._patience = patience
        self._calm = 0

    def update(self, overflow: bool) -> None:
        """Learn from one step."""
        if not self.enabled:
            return
        self._calm = 0 if overflow else self._calm + 1
        if overflow:
            self.factor /= 2
        elif self._calm % self._patience == 0:
            self.factor *= 2


class Optimizer:
    """torch.optim.SGD's update with learning-rate and decay factors for each tensor, and clipping by total norm.

    Written in plain operators: `paddle.optimizer.Momentum` files its velocities under names that depend on what else
    the process has built, so momentum could not be carried over reliably.

    Attributes:
        loss_scale: factor on the loss, see `LossScale`.
    """

    def __init__(
        self, parameters: Mapping[str, Tensor], plan: OptimizationPlan, loss_scaling: bool, ranks: Ranks
    ) -> None:
        self._parameters = parameters
        self._plan = plan
        self._ranks = ranks
        self.loss_scale = LossScale(loss_scaling)
        self.load_momentum({})

    def zero_gradients(self) -> None:
        """Forget the gradients of the last step."""
        for parameter in self._parameters.values():
            parameter.clear_gradient(set_to_zero=False)

    def backward(self, loss: Tensor) -> None:
        """Add the gradients of a (scaled) loss."""
        (loss * self.loss_scale.factor).backward()

    @paddle.no_grad()
    def step(self, lr: float) -> float:
        """Update the weights with the mean gradients of all ranks.

        Under fp16 a step with overflowing gradients is left out and the loss scale halved.

        Returns:
            The total gradient norm before clipping, NaN without clipping.
        """
        gradients, norm = self._gradients()
        overflow = self.loss_scale.enabled and not math.isfinite(norm)
        if not overflow:
            clip = self._plan.clip_norm
            factor = 1.0 if clip is None else min(1.0, clip / (norm + 1e-6))
            for name, gradient in gradients.items():
                self._update(name, gradient * factor if factor < 1 else gradient, lr)
        self.loss_scale.update(overflow)
        return float("nan") if self._plan.clip_norm is None else norm

    def _gradients(self) -> tuple[dict[str, Tensor], float]:
        """Unscaled gradients by name and their norm (NaN where nobody needs it)."""
        names = [name for name, parameter in self._parameters.items() if parameter.grad is not None]
        gradients = self._ranks.means([self._parameters[name].grad for name in names])
        if self.loss_scale.enabled:
            gradients = [gradient / self.loss_scale.factor for gradient in gradients]
        norm = float("nan")
        if self._plan.clip_norm is not None or self.loss_scale.enabled:
            squares = paddle.stack([gradient.square().sum() for gradient in gradients])
            norm = float(squares.sum().sqrt())
        return dict(zip(names, gradients, strict=True)), norm

    def _update(self, name: str, gradient: Tensor, lr: float) -> None:
        parameter, momentum = self._parameters[name], self._momentum[name]
        factors = self._plan.parameters[name]
        decay = self._plan.weight_decay * factors.decay_mult
        if decay:
            gradient = gradient + decay * parameter
        momentum.scale_(self._plan.momentum).add_(gradient)
        direction = gradient + self._plan.momentum * momentum if self._plan.nesterov else momentum
        parameter.subtract_(direction * (lr * factors.lr_mult))

    def load_momentum(self, momentum: Mapping[str, np.ndarray]) -> None:
        """Set momentum by canonical name; missing names become zero.

        Raises:
            CheckpointError: a name is not trained or a shape differs.
        """
        buffers = {name: paddle.zeros(parameter.shape) for name, parameter in self._parameters.items()}
        for name, array in momentum.items():
            values = from_canonical(array)
            if name not in buffers or tuple(buffers[name].shape) != values.shape:
                raise CheckpointError(f"momentum of {name} {array.shape} does not fit what the recipe trains")
            buffers[name] = paddle.to_tensor(values)
        self._momentum = buffers

    def dump_momentum(self) -> Tensors:
        """Copies of the momentum under canonical names."""
        return {name: to_canonical(momentum) for name, momentum in self._momentum.items()}
