"""SGD and AdamW, with their state by canonical name.

Both are written in plain operators: the names of the buffers of `paddle.optimizer` depend on what else the process has
built, so that they could not be restored reliably.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import paddle
from paddle import Tensor

from trishift.backends.contract import OptimizationPlan


class Optimizer:
    """The common part of both rules.

    Attributes:
        steps: completed updates by name, if the rule depends on them.
    """

    _counts = False  # whether the rule depends on the number of updates
    _slots: tuple[str, ...] = ()

    def __init__(self, parameters: Mapping[str, Tensor], plan: OptimizationPlan) -> None:
        self.steps: dict[str, int] = dict.fromkeys(parameters, 0) if self._counts else {}
        self._parameters = parameters
        self._plan = plan
        self._buffers = {
            slot: {name: paddle.zeros_like(parameter) for name, parameter in parameters.items()} for slot in self._slots
        }

    @paddle.no_grad()
    def total_norm(self, gradients: Mapping[str, Tensor]) -> Tensor:
        """The L2 norm of all gradients together, a float32 scalar on the device."""
        return paddle.stack([gradient.square().sum() for gradient in gradients.values()]).sum().sqrt()

    @paddle.no_grad()
    def step(self, gradients: Mapping[str, Tensor], factor: Any, lr: float) -> None:
        """Update the weights with gradients by name, each multiplied by `factor` (a number or scalar; None: 1)."""
        for name, gradient in gradients.items():
            self._update(name, gradient if factor is None else gradient * factor, lr)

    def _update(self, name: str, gradient: Tensor, lr: float) -> None:
        raise NotImplementedError

    def buffers(self) -> dict[str, dict[str, Tensor]]:
        """The state of the rule by kind and name, not copies."""
        return self._buffers


class SGD(Optimizer):
    """The update of torch.optim.SGD with learning-rate and decay multipliers per tensor."""

    _slots = ("momentum",)

    def _update(self, name: str, gradient: Tensor, lr: float) -> None:
        parameter, momentum = self._parameters[name], self._buffers["momentum"][name]
        factors = self._plan.parameters[name]
        decay = self._plan.weight_decay * factors.decay_mult
        if decay:
            gradient = gradient + decay * parameter
        momentum.scale_(self._plan.momentum).add_(gradient)
        direction = gradient + self._plan.momentum * momentum if self._plan.nesterov else momentum
        parameter.subtract_(direction * (lr * factors.lr_mult))


class AdamW(Optimizer):
    """The update of torch.optim.AdamW with learning-rate and decay multipliers per tensor."""

    _counts = True
    _slots = ("exp_avg", "exp_avg_sq")

    def _update(self, name: str, gradient: Tensor, lr: float) -> None:
        (first, second), epsilon = self._plan.optimizer.betas, self._plan.optimizer.epsilon
        mean, square = (self._buffers[slot][name] for slot in self._slots)
        factors = self._plan.parameters[name]
        rate, decay = lr * factors.lr_mult, self._plan.weight_decay * factors.decay_mult
        self.steps[name] += 1
        mean.scale_(first).add_(gradient * (1 - first))
        square.scale_(second).add_(gradient * gradient * (1 - second))
        spread = square.sqrt() / (1 - second ** self.steps[name]) ** 0.5 + epsilon
        parameter = self._parameters[name]
        if decay:
            parameter.scale_(1 - rate * decay)
        parameter.subtract_(mean / spread * (rate / (1 - first ** self.steps[name])))


def make_optimizer(parameters: Mapping[str, Tensor], plan: OptimizationPlan) -> Optimizer:
    """The optimizer that a plan asks for."""
    return {"sgd": SGD, "adamw": AdamW}[plan.optimizer.name](parameters, plan)
