"""The originals' SGD, with momentum by canonical name."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from trishift.backends.contract import OptimizationPlan, ParameterPlan


class Optimizer:
    """`torch.optim.SGD` with one group per pair of multipliers."""

    def __init__(self, parameters: Mapping[str, nn.Parameter], plan: OptimizationPlan) -> None:
        self._parameters = parameters
        groups: dict[ParameterPlan, list[nn.Parameter]] = {}
        for name, parameter in parameters.items():
            groups.setdefault(plan.parameters[name], []).append(parameter)
        self._sgd = torch.optim.SGD(
            [
                {"params": members, "lr_mult": group.lr_mult, "weight_decay": plan.weight_decay * group.decay_mult}
                for group, members in groups.items()
            ],
            lr=0.0,
            momentum=plan.momentum,
            nesterov=plan.nesterov,
        )
        for parameter in parameters.values():
            self._sgd.state[parameter]["momentum_buffer"] = torch.zeros_like(parameter)

    def total_norm(self, gradients: Mapping[str, Tensor]) -> float:
        """The L2 norm of all gradients together."""
        return float(torch.stack(torch._foreach_norm(list(gradients.values()))).norm())

    def step(self, gradients: Mapping[str, Tensor], factor: float, lr: float) -> None:
        """Update the weights with gradients by name, each multiplied by `factor`."""
        if factor != 1:
            torch._foreach_mul_(list(gradients.values()), factor)
        for name, gradient in gradients.items():
            self._parameters[name].grad = gradient
        for group in self._sgd.param_groups:
            group["lr"] = lr * group["lr_mult"]
        self._sgd.step()

    def momentum(self) -> dict[str, Tensor]:
        """The momentum buffers by name, not copies."""
        return {name: self._sgd.state[tensor]["momentum_buffer"] for name, tensor in self._parameters.items()}
