"""The originals' SGD, with momentum by canonical name."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from mindspore import Parameter, Tensor, nn, ops

from trishift.backends.contract import OptimizationPlan, ParameterPlan
from trishift.backends.mindspore.tensors import assign


class Optimizer:
    """`nn.SGD` with one group per pair of multipliers."""

    def __init__(self, parameters: Mapping[str, Parameter], plan: OptimizationPlan) -> None:
        self._parameters = parameters
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

    def total_norm(self, gradients: Mapping[str, Tensor]) -> float:
        """The L2 norm of all gradients together."""
        return float(ops.stack([gradient.square().sum() for gradient in gradients.values()]).sum().sqrt().asnumpy())

    def step(self, gradients: Mapping[str, Tensor], factor: float, lr: float) -> None:
        """Update the weights with gradients by name, each multiplied by `factor`."""
        for group, rate in self._rates.items():
            assign(rate, Tensor(np.float32(lr * group.lr_mult)))
        values = (gradients[name] for name in self._parameters)
        self._sgd(tuple(values) if factor == 1 else tuple(gradient * factor for gradient in values))

    def momentum(self) -> dict[str, Tensor]:
        """The momentum buffers by name, not copies."""
        return dict(zip(self._parameters, self._sgd.accum, strict=True))
