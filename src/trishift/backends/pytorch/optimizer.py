"""SGD and AdamW, with their state by canonical name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from trishift.backends.contract import OptimizationPlan, ParameterPlan


class Optimizer:
    """An optimizer of PyTorch with one group per pair of multipliers.

    Attributes:
        steps: completed updates by name, if the rule depends on them.
    """

    _counts = False  # whether the rule depends on the number of updates
    _slots: ClassVar[Mapping[str, str]] = {}  # kinds of buffers and PyTorch's names of them

    def __init__(self, parameters: Mapping[str, nn.Parameter], plan: OptimizationPlan) -> None:
        self.steps: dict[str, int] = dict.fromkeys(parameters, 0) if self._counts else {}
        self._parameters = parameters
        self._rule = self._build(plan)
        for parameter in parameters.values():
            for name in self._slots.values():
                self._rule.state[parameter][name] = torch.zeros_like(parameter)

    def _build(self, plan: OptimizationPlan) -> torch.optim.Optimizer:
        """PyTorch's optimizer."""
        raise NotImplementedError

    def _groups(self, plan: OptimizationPlan) -> list[dict[str, Any]]:
        groups: dict[ParameterPlan, list[nn.Parameter]] = {}
        for name, parameter in self._parameters.items():
            groups.setdefault(plan.parameters[name], []).append(parameter)
        return [
            {"params": members, "lr_mult": group.lr_mult, "weight_decay": plan.weight_decay * group.decay_mult}
            for group, members in groups.items()
        ]

    def total_norm(self, gradients: Mapping[str, Tensor]) -> Tensor:
        """The L2 norm of all gradients together, a float32 scalar on the device."""
        return torch.stack(torch._foreach_norm(list(gradients.values()))).norm()

    def step(self, gradients: Mapping[str, Tensor], factor: Any, lr: float) -> None:
        """Update the weights with gradients by name, each multiplied by `factor` (a number or scalar; None: 1)."""
        if factor is not None:
            torch._foreach_mul_(list(gradients.values()), factor)
        for name, gradient in gradients.items():
            self._parameters[name].grad = gradient
        for group in self._rule.param_groups:
            group["lr"] = lr * group["lr_mult"]
        for name, steps in self.steps.items():
            self._rule.state[self._parameters[name]]["step"] = torch.tensor(float(steps))
            self.steps[name] = steps + 1
        self._rule.step()

    def buffers(self) -> dict[str, dict[str, Tensor]]:
        """The state of the rule by kind and name, not copies."""
        state = self._rule.state
        return {slot: {n: state[p][own] for n, p in self._parameters.items()} for slot, own in self._slots.items()}


class SGD(Optimizer):
    """The originals' SGD: `torch.optim.SGD`."""

    _slots: ClassVar[Mapping[str, str]] = {"momentum": "momentum_buffer"}

    def _build(self, plan: OptimizationPlan) -> torch.optim.Optimizer:
        return torch.optim.SGD(self._groups(plan), lr=0.0, momentum=plan.momentum, nesterov=plan.nesterov)


class AdamW(Optimizer):
    """`torch.optim.AdamW`."""

    _counts = True
    _slots: ClassVar[Mapping[str, str]] = {"exp_avg": "exp_avg", "exp_avg_sq": "exp_avg_sq"}

    def _build(self, plan: OptimizationPlan) -> torch.optim.Optimizer:
        rule = plan.optimizer
        return torch.optim.AdamW(self._groups(plan), lr=0.0, betas=rule.betas, eps=rule.epsilon)


def make_optimizer(parameters: Mapping[str, nn.Parameter], plan: OptimizationPlan) -> Optimizer:
    """The optimizer that a plan asks for."""
    return {"sgd": SGD, "adamw": AdamW}[plan.optimizer.name](parameters, plan)
