"""SGD as the originals run it, with momentum that is exchanged under canonical names."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
from mindspore import Parameter, Tensor, nn, ops
from mindspore.amp import DynamicLossScaler

from trishift.backends.contract import OptimizationPlan, ParameterPlan
from trishift.backends.mindspore.tensors import assign, to_numpy
from trishift.errors import CheckpointError
from trishift.model.tensors import Tensors


class Optimizer:
    """`nn.SGD` with one group per pair of multipliers, clipping by total norm, and fp16 loss scaling."""

    def __init__(self, parameters: Mapping[str, Parameter], plan: OptimizationPlan, loss_scaling: bool) -> None:
        self._parameters = parameters
        self._clip_norm = plan.clip_norm
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
        self._scaler = DynamicLossScaler(scale_value=65536.0, scale_factor=2, scale_window=2000)
        self._loss_scaling = loss_scaling
        self.load_momentum({})

    @property
    def loss_scale(self) -> float:
        """The factor on the loss that keeps small fp16 gradients above zero."""
        return float(self._scaler.scale_value.asnumpy()) if self._loss_scaling else 1.0

    def step(self, gradients: Sequence[Tensor], lr: float) -> float:
        """Update the weights with gradients of the scaled loss, in the order of the parameters.

        Under fp16 a step with overflowing gradients is left out and the loss scale halved.

        Returns:
            The total gradient norm before clipping, NaN without clipping.
        """
        scale, norm = self.loss_scale, float("nan")
        if self._clip_norm is not None or self._loss_scaling:
            norm = total_norm(gradients) / scale
        finite = not self._loss_scaling or math.isfinite(norm)
        if finite:
            factor = 1.0 if self._clip_norm is None else min(1.0, self._clip_norm / (norm + 1e-6))
            self._update(gradients, factor / scale, lr)
        if self._loss_scaling:
            self._scaler.adjust(Tensor(finite))
        return float("nan") if self._clip_norm is None else norm

    def _update(self, gradients: Sequence[Tensor], factor: float, lr: float) -> None:
        for group, rate in self._rates.items():
            assign(rate, lr * group.lr_mult)
        self._sgd(tuple(gradients) if factor == 1 else tuple(gradient * factor for gradient in gradients))

    def load_momentum(self, momentum: Mapping[str, np.ndarray]) -> None:
        """Set momentum by canonical name; missing names become zero.

        Raises:
            CheckpointError: a name is not trained or a shape differs.
        """
        for name, array in momentum.items():
            if name not in self._parameters or self._parameters[name].shape != array.shape:
                raise CheckpointError(f"momentum of {name} {array.shape} does not fit what the recipe trains")
        for (name, parameter), buffer in zip(self._parameters.items(), self._sgd.accum, strict=True):
            assign(buffer, momentum.get(name, np.zeros(parameter.shape)))
        for flag in self._sgd.stat:  # of ones, it would make the next step overwrite the momentum
            assign(flag, np.zeros(flag.shape))

    def dump_momentum(self) -> Tensors:
        """Copies of the momentum under canonical names."""
        return {name: to_numpy(buffer) for name, buffer in zip(self._parameters, self._sgd.accum, strict=True)}


def total_norm(gradients: Sequence[Tensor]) -> float:
    """The L2 norm of all gradients together."""
    return float(ops.stack([gradient.square().sum() for gradient in gradients]).sum().sqrt().asnumpy())
