"""Losses on small batches in any framework.

`python -m tests.support.loss_cases FRAMEWORK FILE` writes values and gradients.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from trishift.model.losses import LossSpec

CLASSES = 6
WEIGHTS = (0.2, 1.0, 0.5, 0.9, 0.05, 0.7)
SPECS = {
    "cross_entropy": LossSpec("cross_entropy"),
    "cross_entropy smoothed": LossSpec("cross_entropy", label_smoothing=0.2, class_weights=WEIGHTS),
    "cross_entropy focal": LossSpec("cross_entropy", focal_gamma=0.5),
    "cross_entropy with everything": LossSpec("cross_entropy", 0.1, focal_gamma=2, class_weights=WEIGHTS),
    "lsep": LossSpec("lsep"),
    "lsep of a batch": LossSpec("lsep", legacy_m4=True),
    "wlsep": LossSpec("wlsep"),
    "wlsep weighted": LossSpec("wlsep", class_weights=WEIGHTS),
    "bce": LossSpec("bce"),
    "bce smoothed": LossSpec("bce", label_smoothing=0.2, class_weights=WEIGHTS),
    "bce focal": LossSpec("bce", label_smoothing=0.1, focal_gamma=2, class_weights=WEIGHTS),
    "bce of M4": LossSpec("bce", class_weights=WEIGHTS, legacy_m4=True),
    "bp_mll": LossSpec("bp_mll", class_weights=WEIGHTS),
    "bp_mll of M4": LossSpec("bp_mll", class_weights=WEIGHTS, legacy_m4=True),
    "warp": LossSpec("warp", class_weights=WEIGHTS),
    "warp of M4": LossSpec("warp", legacy_m4=True),
    "multi_softmax": LossSpec("multi_softmax", class_weights=WEIGHTS),
    "multi_softmax of M4": LossSpec("multi_softmax", legacy_m4=True),
}


@dataclass(frozen=True)
class Batch:
    """Logits (N, K) and targets (N, K), or class indices (N,)."""

    logits: np.ndarray
    targets: np.ndarray


def _ordinary() -> Batch:
    """Random clips; one has all classes and one has none."""
    rng = np.random.default_rng(3)
    targets = rng.integers(0, 2, (8, CLASSES)).astype(np.float32)
    targets[2], targets[5] = 0, 1
    return Batch(rng.normal(0, 3, (8, CLASSES)).astype(np.float32), targets)


def _far_apart() -> Batch:
    """Differences of 1,000 in both directions."""
    batch = _ordinary()
    return Batch(np.float32(500) * np.sign(batch.logits), batch.targets)


def _equal() -> Batch:
    """A positive and a negative class with equal logits: zero is a kink of |x| and of max(x, 0)."""
    return Batch(np.zeros((1, 2), np.float32), np.array([[1, 0]], np.float32))


BATCHES = {
    "ordinary": _ordinary(),
    "indices": Batch(_ordinary().logits, np.arange(8) % CLASSES),
    "mixed": Batch(_ordinary().logits, np.random.default_rng(4).dirichlet(np.ones(CLASSES), 8).astype(np.float32)),
    "far apart": _far_apart(),
    "equal": _equal(),
    "nothing": Batch(_ordinary().logits, np.zeros((8, CLASSES), np.float32)),
    "everything": Batch(_ordinary().logits, np.ones((8, CLASSES), np.float32)),
    "one class": Batch(_ordinary().logits[:, :1], _ordinary().targets[:, :1]),
}


def fits(spec: LossSpec, batch: Batch) -> bool:
    """Whether the class weights fit the number of classes, and the targets the loss."""
    if spec.multi_label and (batch.targets.ndim == 1 or not np.isin(batch.targets, (0, 1)).all()):
        return False
    return spec.class_weights is None or batch.logits.shape[1] == len(spec.class_weights)


Outcome = tuple[np.ndarray, np.ndarray]  # value, gradient (N, K)


def in_pytorch(spec: LossSpec, batch: Batch) -> Outcome:
    import torch

    from trishift.backends.pytorch.losses import loss

    logits = torch.tensor(batch.logits, requires_grad=True)
    value = loss(spec)(logits, torch.tensor(batch.targets))
    value.backward()
    assert logits.grad is not None
    return value.detach().numpy(), logits.grad.numpy()


def in_paddle(spec: LossSpec, batch: Batch) -> Outcome:
    import paddle

    from trishift.backends.paddle.losses import loss

    logits = paddle.to_tensor(batch.logits, stop_gradient=False)
    value = loss(spec)(logits, paddle.to_tensor(batch.targets))
    value.backward()
    return value.numpy(), logits.grad.numpy()


def in_mindspore(spec: LossSpec, batch: Batch, compiled: bool = False) -> Outcome:
    import mindspore

    from trishift.backends.mindspore.losses import loss

    function = mindspore.value_and_grad(loss(spec), 0)
    function = mindspore.jit(function) if compiled else function
    targets = batch.targets.astype(np.int32) if batch.targets.ndim == 1 else batch.targets  # as in a session
    value, gradient = function(mindspore.Tensor(batch.logits), mindspore.Tensor(targets))
    return value.asnumpy(), gradient.asnumpy()


def in_a_mindspore_graph(spec: LossSpec, batch: Batch) -> Outcome:
    return in_mindspore(spec, batch, compiled=True)


FRAMEWORKS: dict[str, Callable[[LossSpec, Batch], Outcome]] = {
    "pytorch": in_pytorch,
    "paddle": in_paddle,
    "mindspore": in_mindspore,
}


def outcomes(framework: str) -> dict[str, np.ndarray]:
    """`loss/batch/value` and `loss/batch/gradient` of all cases that fit."""
    found = {}
    for loss_name, spec in SPECS.items():
        for batch_name, batch in BATCHES.items():
            if fits(spec, batch):
                key = f"{loss_name}/{batch_name}"
                found[f"{key}/value"], found[f"{key}/gradient"] = FRAMEWORKS[framework](spec, batch)
        if framework == "mindspore":
            key = f"{loss_name}/compiled"
            found[f"{key}/value"], found[f"{key}/gradient"] = in_a_mindspore_graph(spec, BATCHES["ordinary"])
    return found


def main(framework: str, path: str) -> None:
    np.savez(Path(path), **outcomes(framework))


if __name__ == "__main__":
    main(*sys.argv[1:])
