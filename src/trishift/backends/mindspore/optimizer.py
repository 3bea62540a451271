"""SGD and AdamW, with their state by canonical name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from mindspore import Parameter, Tensor, nn, ops

from trishift.backends.contract import OptimizationPlan, ParameterPlan
from trishift.backends.mindspore.tensors import assign


class Optimizer:
    """The common part of both rules.

    Attributes:
        steps: completed updates by name, if the rule depends on them.
    """

    _counts = False  # whether the rule depends on the number of updates

    def __init__(self, parameters: Mapping[str, Parameter], plan: OptimizationPlan) -> None:
        self.steps: dict[str, int] = dict.fromkeys(parameters, 0) if self._counts else {}
        self._parameters, self._plan = parameters, plan
        self._buffers = self._build()

    def _build(self) -> dict[str, dict[str, Tensor]]:
        """Create the rule; returns its buffers, which are zero."""
        raise NotImplementedError

    def total_norm(self, gradients: Mapping[str, Tensor]) -> Tensor:
        """The L2 norm of all gradients together, a float32 scalar on the device."""
        return ops.stack([gradient.square().sum() for gradient in gradients.values()]).sum().sqrt()

    def step(self, gradients: Mapping[str, Tensor], factor: Any, lr: float) -> None:
        """Update the weights with gradients by name, each multiplied by `factor` (a number or scalar; None: 1)."""
        values = (gradients[name] for name in self._parameters)
        self._update(tuple(values) if factor is None else tuple(gradient * factor for gradient in values), lr)

    def _update(self, gradients: tuple[Tensor, ...], lr: float) -> None:
        """Update the weights with gradients in the order of the parameters."""
        raise NotImplementedError

    def buffers(self) -> dict[str, dict[str, Tensor]]:
        """The state of the rule by kind and name, not copies."""
        return self._buffers


class SGD(Optimizer):
    """The originals' SGD: `nn.SGD` with one group per pair of multipliers."""

    def _build(self) -> dict[str, dict[str, Tensor]]:
        parameters, plan = self._parameters, self._plan
        groups: dict[ParameterPlan, list[Parameter]] = {}
        for name, parameter in parameters.items():
            groups.setdefault(plan.parameters[name], []).append(parameter)
        self._sgd = nn.SGD(
            [
                {"params": members, "lr": 0.0, "weight_decay": plan.weight_decay * group.decay_mult}
                for group, members in groups.items()
            ]
            + [{"order_params": list(parameters.values())}],
            momentum=plan.momentum,
            nesterov=plan.nesterov,
        )
        self._rates = {group: self._sgd.get_lr_parameter(members)[0] for group, members in groups.items()}
        for buffer in self._sgd.accum:
            assign(buffer, ops.zeros_like(buffer))
        for flag in self._sgd.stat:  # ones would make the first step overwrite the momentum
            assign(flag, ops.zeros_like(flag))
        return {"momentum": dict(zip(parameters, self._sgd.accum, strict=True))}

    def _update(self, gradients: tuple[Tensor, ...], lr: float) -> None:
        for group, rate in self._rates.items():
            assign(rate, Tensor(np.float32(lr * group.lr_mult)))
        self._sgd(gradients)


class AdamW(Optimizer):
    """The update of torch.optim.AdamW.

    `ops.AdamWeightDecay` does not correct the start of the means at zero. The correction is moved into the rate, the
    epsilon and the decay that it gets, which is the same update.
    """

    _counts = True

    def _build(self) -> dict[str, dict[str, Tensor]]:
        self._adam = ops.AdamWeightDecay()
        return {
            kind: {n: Parameter(ops.zeros_like(p), name=f"{kind}.{n}") for n, p in self._parameters.items()}
            for kind in ("exp_avg", "exp_avg_sq")
        }

    def _update(self, gradients: tuple[Tensor, ...], lr: float) -> None:
        (first, second), epsilon = self._plan.optimizer.betas, self._plan.optimizer.epsilon
        for (name, parameter), gradient in zip(self._parameters.items(), gradients, strict=True):
            self.steps[name] += 1
            factors = self._plan.parameters[name]
            steepness, spread = 1 - first ** self.steps[name], (1 - second ** self.steps[name]) ** 0.5
            self._adam(
                parameter,
                self._buffers["exp_avg"][name],
                self._buffers["exp_avg_sq"][name],
                lr * factors.lr_mult * spread / steepness,
                first,
                second,
                epsilon * spread,
                self._plan.weight_decay * factors.decay_mult * steepness / spread,
                gradient,
            )


def make_optimizer(parameters: Mapping[str, Parameter], plan: OptimizationPlan) -> Optimizer:
    """The optimizer that a plan asks for."""
    return {"sgd": SGD, "adamw": AdamW}[plan.optimizer.name](parameters, plan)
