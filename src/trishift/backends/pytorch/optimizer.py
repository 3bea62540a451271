"""SGD as the originals run it, with momentum that is exchanged under canonical names."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor, nn

from trishift.backends.contract import OptimizationPlan, ParameterPlan
from trishift.backends.pytorch.tensors import to_numpy
from trishift.errors import CheckpointError
from trishift.model.tensors import Tensors


class Optimizer:
    """`torch.optim.SGD` with one group per pair of multipliers, clipping by total norm, and fp16 loss scaling."""

    def __init__(self, parameters: Mapping[str, nn.Parameter], plan: OptimizationPlan, loss_scaling: bool) -> None:
        self._parameters = parameters
        self._clip_norm = plan.clip_norm
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
        device = next(iter(parameters.values())).device.type
        self._scaler = torch.amp.GradScaler(device, enabled=loss_scaling)
        self.load_momentum({})

    def zero_gradients(self) -> None:
        """Forget the gradients of the last step."""
        self._sgd.zero_grad(set_to_none=True)

    def backward(self, loss: Tensor) -> None:
        """Add the gradients of a (scaled) loss."""
        self._scaler.scale(loss).backward()

    def step(self, lr: float) -> float:
        """Update the weights and return the total gradient norm before clipping, NaN without clipping.

        Under fp16 a step with overflowing gradients is left out and the loss scale halved.
        """
        for group in self._sgd.param_groups:
            group["lr"] = lr * group["lr_mult"]
        norm = float("nan")
        if self._clip_norm is not None:
            self._scaler.unscale_(self._sgd)
            norm = float(nn.utils.clip_grad_norm_(self._parameters.values(), self._clip_norm))
        self._scaler.step(self._sgd)
        self._scaler.update()
        return norm

    def load_momentum(self, momentum: Mapping[str, np.ndarray]) -> None:
        """Set momentum by canonical name; missing names become zero.

        Raises:
            CheckpointError: a name is not trained or a shape differs.
        """
        for name, array in momentum.items():
            if name not in self._parameters or self._parameters[name].shape != array.shape:
                raise CheckpointError(f"momentum of {name} {array.shape} does not fit what the recipe trains")
        for name, parameter in self._parameters.items():
            buffer = torch.zeros_like(parameter)
            if name in momentum:
                buffer.copy_(torch.from_numpy(np.ascontiguousarray(momentum[name])))
            self._sgd.state[parameter]["momentum_buffer"] = buffer

    def dump_momentum(self) -> Tensors:
        """Copies of the momentum under canonical names."""
        return {name: to_numpy(self._sgd.state[p]["momentum_buffer"]) for name, p in self._parameters.items()}
