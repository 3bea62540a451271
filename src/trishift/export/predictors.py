"""Predictors of weights and of exported models, in the form that the caller chose or in the fastest one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from trishift.backends import check_framework, open_session
from trishift.backends.contract import Execution, Predictor
from trishift.backends.fast_forms import OF_NETWORKS
from trishift.backends.limits import supported_precision
from trishift.checkpoints.canonical import Checkpoint
from trishift.evaluation.agreement import compared
from trishift.evaluation.fallback import Fallback
from trishift.export.description import Description
from trishift.export.opening import describe, open_exported
from trishift.export.programs import Programs, format_of


@dataclass(frozen=True)
class Choice:
    """How a model predicts: the arguments of `trishift.load`.

    Attributes:
        framework: of weights.
        runtime: `auto`, `native` or `compiled`, which are forms of a network, or the name of a runtime.
        execution: device, precision and other settings.
        strict: raise an error if weights cannot predict like this; otherwise they predict in their framework.
        say: called with lines about programs that are made, and about the agreement of lower precision with fp32.
    """

    framework: str
    runtime: str
    execution: Execution
    strict: bool
    say: Callable[[str], object]

    def check(self) -> None:
        """Refuse what weights cannot be opened in, before they are read.

        Raises:
            FrameworkError: the framework is missing, or the runtime is unknown.
        """
        if self.runtime in OF_NETWORKS:
            check_framework(self.framework)
        else:
            format_of(self.runtime)


def exported_predictor(path: Path, choice: Choice) -> tuple[Predictor, Description]:
    """Open an exported model, see `opening.open_exported`."""

    def opened(execution: Execution) -> Predictor:
        return open_exported(path, None if choice.runtime == "auto" else choice.runtime, execution)[0]

    return compared(opened, choice.execution, choice.say), describe(path)


def weights_predictor(checkpoint: Checkpoint, choice: Choice) -> Predictor:
    """Open weights with a head.

    Raises:
        FrameworkError: the framework or the device is not available; if strict, also: the program cannot be made.
        RecipeError: strict, and the model cannot be exported.
    """
    if choice.runtime in OF_NETWORKS:
        return _network(checkpoint, choice)

    def program(execution: Execution) -> Predictor:
        return Programs(checkpoint, choice.runtime, choice.framework, execution, say=choice.say)

    def made() -> Predictor:
        return compared(program, choice.execution, choice.say)

    def native() -> Predictor:
        check_framework(choice.framework)
        return _network(checkpoint, replace(choice, runtime="auto"))

    return made() if choice.strict else Fallback(made, native, choice.framework)


def _network(checkpoint: Checkpoint, choice: Choice) -> Predictor:
    """The network in its framework, in fp32 if that lacks the precision and the choice is not strict."""
    spec, framework, form = checkpoint.spec, choice.framework, OF_NETWORKS[choice.runtime]
    assert spec is not None
    execution = choice.execution if choice.strict else supported_precision(framework, choice.execution)

    def opened(execution: Execution) -> Predictor:
        return open_session(framework, spec, execution, weights=checkpoint.tensors, form=form, strict=choice.strict)

    return compared(opened, execution, choice.say)
