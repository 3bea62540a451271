"""Speed of a model on this machine, in every installed framework and runtime.

Each form of the model runs in a process of its own, and the forms take turns, so that other load affects them equally.
"""

from __future__ import annotations

import importlib.util
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from trishift.api import load
from trishift.backends import FRAMEWORKS
from trishift.backends.contract import Device, Execution
from trishift.backends.fast_forms import OF_NETWORKS, PATIENCE
from trishift.checkpoints import import_weights
from trishift.errors import CheckpointError, TrishiftError
from trishift.export.formats import RUNTIMES
from trishift.export.opening import describe, is_exported
from trishift.export.runtimes import find_device
from trishift.io.processes import server
from trishift.model.cost import multiplications, num_parameters
from trishift.model.spec import InputSpec, ModelSpec

WARM_UP = 2  # rounds
PROGRAM = "program"
_Call = Callable[[], "Trial"]


@dataclass(frozen=True)
class Form:
    """One way to run a model.

    Attributes:
        runner: the framework, or the runtime.
        kind: of the network in a framework, `auto`, `native` or `compiled`; or `program`, of the runtime `runner`.
        settings: fields of `Execution`; without any, the default of `trishift.load`.
    """

    runner: str
    kind: str = "auto"
    settings: tuple[tuple[str, Any], ...] = ()

    def __str__(self) -> str:
        is_default = self.kind == "auto" or (self.kind == PROGRAM and self.runner not in FRAMEWORKS)
        words = [] if is_default else [self.kind]
        words += [
            value if isinstance(value, str) else f"{'' if value else 'no '}{name}" for name, value in self.settings
        ]
        return " ".join([self.runner, *words])

    @property
    def warm_up(self) -> int:
        """Predictions before the first round: MindSpore compiles only what is used often."""
        return PATIENCE if self.runner == "mindspore" and self.kind in ("auto", "native") else 0


@dataclass(frozen=True)
class Trial:
    """One prediction: its seconds, its logits (N, K), its device, and the peak memory of its process in MB."""

    seconds: float
    logits: np.ndarray
    device: Device
    memory: float


@dataclass(frozen=True)
class Speed:
    """The speed of a form.

    Attributes:
        form: the form's name.
        device: where it ran.
        ms: median milliseconds per clip; None if it could not run.
        memory: peak memory of its process in MB.
        difference: largest difference of its logits from those of the first form that ran, relative to the largest.
        same_class: whether all clips have the same class as in the first form.
        reason: why it could not run.
    """

    form: str
    device: str = ""
    ms: float | None = None
    memory: float | None = None
    difference: float | None = None
    same_class: bool | None = None
    reason: str = ""


@dataclass(frozen=True)
class Measured:
    """The speeds of a model, and its cost per clip, counted from its tensor table."""

    spec: ModelSpec
    input: InputSpec
    batch_size: int
    parameters: int
    multiplications: int
    speeds: Sequence[Speed]

    @property
    def fastest(self) -> Speed | None:
        """The form with the least time per clip, if any could run."""
        ran = [speed for speed in self.speeds if speed.ms is not None]
        return min(ran, key=lambda speed: speed.ms or 0.0, default=None)


def forms_of(path: Path, only: Sequence[str] = ()) -> list[Form]:
    """The forms of weights, or of an exported model.

    Args:
        path: the file.
        only: frameworks and runtimes; none: all.
    """
    exported = is_exported(path)
    runtimes = describe(path).format.runtimes if exported else RUNTIMES
    forms = [] if exported else [Form(name, kind) for name in FRAMEWORKS for kind in OF_NETWORKS]
    if not exported:
        forms.insert(1, Form("pytorch", settings=(("precision", "bf16"), ("channels_last", True))))
    forms += [Form(name, PROGRAM) for name in runtimes]
    if "openvino" in runtimes:
        forms.append(Form("openvino", PROGRAM, settings=(("precision", "bf16"),)))
    return [form for form in forms if not only or form.runner in only]


def measure_speed(
    path: Path,
    *,
    forms: Sequence[Form] | None = None,
    batch_size: int = 1,
    rounds: int = 10,
    device: Device | None = None,
    options: Mapping[str, Any] | None = None,
    apart: bool = True,
    say: Callable[[str], object] = lambda text: None,
) -> Measured:
    """Measure a model in several forms.

    Args:
        path: weights of any supported family, or an exported model.
        forms: the forms; None: all, see `forms_of`.
        batch_size: clips per prediction, N.
        rounds: timed predictions per form.
        device: where the forms run; None: on the best device that each framework or runtime finds.
        options: properties that names cannot determine, see `trishift.load`.
        apart: run each form in a process of its own; otherwise all run in this one.
        say: called with one line per form that is opened.

    Raises:
        CheckpointError: the file cannot be read, or has no head.
    """
    options = options or {}
    checkpoint = describe(path).checkpoint if is_exported(path) else import_weights(path, **options)[0]
    spec, pixels = checkpoint.spec, checkpoint.input
    if spec is None or pixels is None or not spec.num_classes:
        raise CheckpointError(f"{path}: the weights have no head, so there is nothing to measure")
    clips = (batch_size, spec.num_segments, spec.in_channels, *pixels.crop_size)
    makers = {
        form: partial(_open, path, form, device, clips, dict(options))
        for form in (forms_of(path) if forms is None else forms)
    }
    speeds = list(_speeds(makers, rounds, apart, say))
    cost = multiplications(spec, pixels.crop_size)
    return Measured(spec, pixels, batch_size, num_parameters(spec), cost, speeds)


def _speeds(
    makers: Mapping[Form, Callable[[], _Call]], rounds: int, apart: bool, say: Callable[[str], object]
) -> Iterator[Speed]:
    calls: dict[Form, _Call] = {}
    reasons: dict[Form, str] = {}
    trials: dict[Form, list[Trial]] = {form: [] for form in makers}
    with ExitStack() as stack:
        for form, make in makers.items():
            say(f"opening {form}")
            try:
                calls[form] = stack.enter_context(server(make)) if apart else make()
            except TrishiftError as error:
                reasons[form] = str(error)
        for _ in range(WARM_UP + rounds):
            for form in [form for form in calls if form not in reasons]:
                try:
                    trials[form].append(calls[form]())
                except TrishiftError as error:
                    reasons[form] = str(error)
    expected = next((each[-1].logits for form, each in trials.items() if form in calls and form not in reasons), None)
    for form in makers:
        if form in reasons or expected is None:
            yield Speed(str(form), reason=reasons.get(form, ""))
        else:
            yield _speed(str(form), trials[form][WARM_UP:], expected)


def _speed(form: str, trials: Sequence[Trial], expected: np.ndarray) -> Speed:
    last = trials[-1]
    return Speed(
        form,
        last.device,
        1000 * statistics.median(trial.seconds for trial in trials) / len(expected),
        last.memory,
        float(np.abs(last.logits - expected).max() / np.abs(expected).max()),
        bool((last.logits.argmax(1) == expected.argmax(1)).all()),
    )


def _open(path: Path, form: Form, device: Device | None, shape: Sequence[int], options: dict[str, Any]) -> _Call:
    """Open a form, and return a function that predicts the same random clips in every call."""
    place = device or find_device(form.runner)
    execution = Execution(place, **dict(form.settings)) if form.settings or place != "cpu" else None
    exported = is_exported(path)
    framework = form.runner if form.runner in FRAMEWORKS else "pytorch"
    choices = {} if exported else dict(options)
    runtime = form.runner if form.kind == PROGRAM else form.kind
    model = load(path, framework, execution=execution, runtime=runtime, strict=True, **choices)
    clips = np.random.default_rng(0).standard_normal(shape, np.float32)

    for _ in range(form.warm_up):
        model(clips)

    def call() -> Trial:
        start = time.perf_counter()
        logits = model(clips)
        return Trial(time.perf_counter() - start, logits, place, _peak_megabytes())

    return call


def _peak_megabytes() -> float:
    """Largest resident memory of this process so far; 0 where the system does not tell."""
    if importlib.util.find_spec("resource") is None:
        return 0.0
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (2**20 if sys.platform == "darwin" else 1024)
