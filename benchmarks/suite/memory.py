"""Memory: activations kept for the backward pass, and peaks of whole processes.

`kept` counts the bytes of all distinct activations that PyTorch keeps between the forward and the backward pass, so it
is exact. Peaks are the largest resident memory of a process that loads a model and does its work, in MB.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial

from benchmarks.interleaved import Call, opened
from benchmarks.options import Options, noise
from benchmarks.resident import peak_megabytes
from benchmarks.rows import Row
from benchmarks.suite import inference, train

KEPT_TARGET = 1.01  # the shift keeps nothing


def rows(options: Options) -> Iterator[Row]:
    """Activations per clip, then peaks in training and prediction."""
    spec, path, size = options.spec, options.checkpoint(), options.size
    plain = replace(spec, shift=None)
    clip = noise(1, spec, size)
    with opened(
        {
            "TSM": partial(kept, partial(train.step, spec, size)),
            "TSN": partial(kept, partial(train.step, plain, size)),
            "2018": partial(kept, partial(train.published, path, spec, size)),
        },
        apart=not options.quick,
    ) as (calls, _):
        figures = {name: call() for name, call in calls.items()}
    yield row("kept per clip, TSM against TSN", figures, "TSM", "TSN", KEPT_TARGET)
    yield row("kept per clip, TSM against the code of 2018", figures, "TSM", "2018")
    works: dict[str, tuple[Callable[[], Call], Callable[[], Call]]] = {
        f"peak of a {name} training step of {train.BATCH} clips, TSM against TSN": (
            partial(train.step, spec, size, name),
            partial(train.step, plain, size, name),
        )
        for name in options.frameworks
    }
    works["peak of a PyTorch training step of 2 clips, against the code of 2018"] = (
        partial(train.step, spec, size),
        partial(train.published, path, spec, size),
    )
    works["peak of the default prediction, against the code of 2018"] = (
        partial(inference.prediction, path, clip),
        partial(inference.published, path, spec, clip),
    )
    for name, (ours, baseline) in works.items():
        makers = {"ours": partial(peak, ours), "baseline": partial(peak, baseline)}
        with opened(makers, apart=not options.quick) as (calls, failures):
            figures = {key: call() for key, call in calls.items()}
        yield replace(row(name, figures, "ours", "baseline"), note="; ".join(failures.values()))


def row(name: str, figures: dict[str, float], ours: str, baseline: str, target: float | None = None) -> Row:
    """The row of two figures in MB, if both were measured."""
    if not {ours, baseline} <= figures.keys():
        return Row(name, target=target, unit="MB")
    return Row(name, figures[ours], figures[baseline], figures[ours] / figures[baseline], target, "MB")


def peak(make: Callable[[], Call]) -> Call:
    """A function that works twice and returns the peak of its process in MB."""

    def call() -> float:
        work = make()
        for _ in range(2):
            work()
        return peak_megabytes()

    return call


def kept(make: Callable[[], Call]) -> Call:
    """A function that makes a training step and returns the MB per clip that PyTorch keeps for its backward pass."""
    import torch

    def call() -> float:
        step = make()
        step()  # allocates the optimizer's state
        sizes: dict[int, int] = {}

        def pack(tensor: torch.Tensor) -> torch.Tensor:
            if not isinstance(tensor, torch.nn.Parameter):
                storage = tensor.untyped_storage()
                sizes[storage.data_ptr()] = storage.nbytes()
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
            step()
        return sum(sizes.values()) / train.BATCH / 1e6

    return call
