"""The originals' SGD, with momentum by canonical name."""

from __future__ import annotations

from collections.abc import Mapping

import paddle
from paddle import Tensor

from trishift.backends.contract import OptimizationPlan


class Optimizer:
    """The update of torch.optim.SGD with learning-rate and decay multipliers per tensor.

    Written in plain operators: the velocity names of `paddle.optimizer.Momentum` depend on what else the process has
    built, so momentum could not be restored reliably.
    """

    def __init__(self, parameters: Mapping[str, Tensor], plan: OptimizationPlan) -> None:
        self._parameters = parameters
        self._plan = plan
        self._momentum = {name: paddle.zeros_like(parameter) for name, parameter in parameters.items()}

    @paddle.no_grad()
    def total_norm(self, gradients: Mapping[str, Tensor]) -> float:
        """The L2 norm of all gradients together."""
        return float(paddle.stack([gradient.square().sum() for gradient in gradients.values()]).sum().sqrt())

    @paddle.no_grad()
    def step(self, gradients: Mapping[str, Tensor], factor: float, lr: float) -> None:
        """Update the weights with gradients by name, each multiplied by `factor`."""
        for name, gradient in gradients.items():
            self._update(name, gradient if factor == 1 else gradient * factor, lr)

    def _update(self, name: str, gradient: Tensor, lr: float) -> None:
        parameter, momentum = self._parameters[name], self._momentum[name]
        factors = self._plan.parameters[name]
        decay = self._plan.weight_decay * factors.decay_mult
        if decay:
            gradient = gradient + decay * parameter
        momentum.scale_(self._plan.momentum).add_(gradient)
        direction = gradient + self._plan.momentum * momentum if self._plan.nesterov else momentum
        parameter.subtract_(direction * (lr * factors.lr_mult))

    def momentum(self) -> dict[str, Tensor]:
        """The momentum buffers by name, not copies."""
        return dict(self._momentum)
