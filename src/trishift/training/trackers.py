"""Where the numbers of a run go beside metrics.jsonl: TensorBoard files, and the services of `log.to`.

Each service is reached through its own package, imported when a run starts, and configured as its users know it: by its
environment variables (project, server, key) or its login command.
"""

from __future__ import annotations

import importlib
import importlib.util
import logging
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from trishift.errors import RecipeError, TrainingError, brief

_LOG = logging.getLogger(__name__)
_PACKAGES = {"wandb": "wandb", "mlflow": "mlflow", "swanlab": "swanlab"}
_MOST_PARAMETERS = 100  # that MLflow takes at once


class Tracker(Protocol):
    """A place for numbers."""

    def log(self, values: Mapping[str, float], step: int) -> None:
        """Add numbers by name, such as `train/loss`."""

    def close(self) -> None:
        """Send what is left."""


class _TensorBoard:
    def __init__(self, folder: Path, resumed: int | None) -> None:
        from tensorboardX import SummaryWriter

        self._writer = SummaryWriter(str(folder / "tensorboard"), purge_step=resumed)

    def log(self, values: Mapping[str, float], step: int) -> None:
        for name, value in values.items():
            self._writer.add_scalar(name, value, step)

    def close(self) -> None:
        self._writer.close()


class _Run:
    """A run of Weights & Biases or of SwanLab, whose interfaces are alike."""

    def __init__(self, run: Any) -> None:
        self._run = run

    def log(self, values: Mapping[str, float], step: int) -> None:
        self._run.log(dict(values), step=step)

    def close(self) -> None:
        self._run.finish()


def _wandb(folder: Path, recipe: Mapping[str, Any]) -> Tracker:
    wandb = importlib.import_module("wandb")
    return _Run(wandb.init(name=folder.name, dir=str(folder), config=dict(recipe)))


def _swanlab(folder: Path, recipe: Mapping[str, Any]) -> Tracker:
    swanlab = importlib.import_module("swanlab")
    return _Run(swanlab.init(name=folder.name, log_dir=str(folder / "swanlab"), config=dict(recipe)))


class _Mlflow:
    def __init__(self, folder: Path, recipe: Mapping[str, Any]) -> None:
        self._mlflow = importlib.import_module("mlflow")
        self._mlflow.start_run(run_name=folder.name)
        flat = list(_flat(recipe).items())
        for start in range(0, len(flat), _MOST_PARAMETERS):
            self._mlflow.log_params(dict(flat[start : start + _MOST_PARAMETERS]))

    def log(self, values: Mapping[str, float], step: int) -> None:
        self._mlflow.log_metrics(dict(values), step=step)

    def close(self) -> None:
        self._mlflow.end_run()


_Service = Callable[[Path, Mapping[str, Any]], Tracker]
_SERVICES: dict[str, _Service] = {"wandb": _wandb, "swanlab": _swanlab, "mlflow": _Mlflow}


def check_trackers(names: Collection[str]) -> None:
    """Refuse services whose package is missing.

    Raises:
        RecipeError: names the package and the command that installs it.
    """
    for name in names:
        package = _PACKAGES.get(name)
        found = importlib.util.find_spec(package) if package else None
        if package and (found is None or found.origin is None):  # a folder of its files here is no package
            raise RecipeError(f"log.to: {name} is not installed; run: pip install {package}")


class Trackers:
    """All trackers of a run. One that fails later is dropped with a warning: training goes on.

    Args:
        names: of `log.to`.
        folder: the run folder.
        recipe: its recipe in plain types.
        resumed: the optimizer step from which a resumed run continues.

    Raises:
        TrainingError: a service refuses the run, for instance as nobody is logged in.
    """

    def __init__(
        self, names: Sequence[str], folder: Path, recipe: Mapping[str, Any], resumed: int | None = None
    ) -> None:
        self._open: dict[str, Tracker] = {}
        for name in names:
            try:
                service = _SERVICES.get(name)
                self._open[name] = service(folder, recipe) if service else _TensorBoard(folder, resumed)
            except Exception as error:
                self.close()
                raise TrainingError(f"log.to: {name} cannot start ({brief(error)}); log in, or remove it") from error

    def log(self, values: Mapping[str, float], step: int) -> None:
        """Add numbers by name to all of them."""
        for name, tracker in list(self._open.items()):
            self._attempt(name, lambda tracker=tracker: tracker.log(values, step))  # type: ignore[misc]

    def close(self) -> None:
        """Close all of them."""
        for name, tracker in list(self._open.items()):
            self._attempt(name, tracker.close)
        self._open = {}

    def _attempt(self, name: str, work: Any) -> None:
        try:
            work()
        except Exception as error:
            if name not in _SERVICES:  # the disk: training cannot go on either
                raise
            _LOG.warning("log.to: %s failed (%s); training goes on without it", name, brief(error))
            self._open.pop(name, None)


def _flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in values.items():
        flat |= _flat(value, f"{prefix}{name}.") if isinstance(value, Mapping) else {f"{prefix}{name}": value}
    return flat
