"""Reports of runs and results, written on demand and after training and evaluation, which they never let fail."""

from __future__ import annotations

import argparse
import importlib.util
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from trishift.backends import FRAMEWORKS, MODULES
from trishift.commands.shared.outputs import status
from trishift.commands.shared.stored import place_of
from trishift.errors import DataError, brief

if TYPE_CHECKING:
    from trishift.data.protocol import Protocol
    from trishift.evaluation.films import Film
    from trishift.io.storage.folders import FolderCopy
    from trishift.recipe import Recipe
    from trishift.reporting.report.subject import Subject


def add_no_report(parser: argparse.ArgumentParser) -> None:
    """Add `--no-report`."""
    parser.add_argument("--no-report", action="store_true", help="do not write the HTML report")


def write_report(path: Path, framework: str | None = None, *, films: bool = True, page: Path | None = None) -> Path:
    """Write the report of a run folder or a result.json; returns the page's path.

    Args:
        path: the folder or file.
        framework: scores the frames of film strips; None or a runtime: the one that trained or evaluated, or one that
            is installed.
        films: whether to show film strips.
        page: default: report.html in the run folder, or beside the result.

    Raises:
        DataError: it is neither a run nor a result, or its files are damaged.
    """
    from trishift.reporting.report.page import write_report as write
    from trishift.reporting.report.subject import read_subject

    subject = read_subject(path)
    return write(subject, (lambda names: _films(subject, framework, names)) if films else None, page)


def attempt_report(
    path: Path, framework: str | None = None, *, films: bool = True, copy: FolderCopy | None = None
) -> None:
    """Write a report after the work; if that fails, one warning says so. `copy` is that of its folder in a store."""
    try:
        page = write_report(path, framework, films=films)
    except Exception as error:
        again = f"trishift report {shlex.quote(place_of(path, copy))}{' --output report.html' if copy else ''}"
        status(f"warning: the report could not be written ({brief(error)}); repeat it with: {again}")
    else:
        status(f"report: {place_of(page, copy)}")


def _films(subject: Subject, framework: str | None, names: list[str]) -> Mapping[str, Film]:
    from trishift.api import load
    from trishift.data.opening import unlabeled_set
    from trishift.evaluation.films import read_films
    from trishift.export.opening import is_exported
    from trishift.zoo.sources import weight_source

    source = subject.context.get("checkpoint", _weights(subject))
    if not names:
        return {}
    if "folds" in subject.context:
        raise DataError("each fold has a network of its own")
    if source is None:
        raise DataError("the weights of these scores are not known")
    local = weight_source(source).local
    if local is not None and is_exported(local):
        model = load(source)
    else:
        used = str(subject.context.get("framework") or _trained_in(subject))
        model = load(source, framework if framework in FRAMEWORKS else _framework(used), runtime="native")
    if model.input.modality != "rgb":
        raise DataError(f"the model sees {model.input.modality}, not pictures")
    recipe = subject.recipe
    protocol = _protocol(subject, recipe)
    template = recipe.data.template if recipe else None
    paths = [Path(name) for name in names]
    try:
        return read_films(model.session, unlabeled_set(paths, model.input, model.spec, protocol, template), names)
    finally:
        model.session.close()


def _weights(subject: Subject) -> str | Path | None:
    """The best weights of a run; None if it has none."""
    best = subject.path / "best.safetensors"
    if subject.is_run and subject.address:
        return subject.address
    return best if best.is_file() else None


def _trained_in(subject: Subject) -> str:
    parts = subject.record.get("parts", [])
    return str(parts[-1].get("framework")) if parts else FRAMEWORKS[0]


def _framework(wanted: str) -> str:
    """The framework, if it is installed, or else another one, which computes the same."""
    installed = [name for name in FRAMEWORKS if importlib.util.find_spec(MODULES[name])]
    if not installed:
        raise DataError("no framework is installed here")
    return wanted if wanted in installed else installed[0]


def _protocol(subject: Subject, recipe: Recipe | None) -> Protocol:
    """The protocol of the evaluation, known by its description; one clip, center crop, if it is unknown."""
    from trishift.data.protocol import PROTOCOLS, Protocol

    described = subject.evaluation.protocol if subject.evaluation else ""
    candidates = [*([recipe.evaluation] if recipe else []), *PROTOCOLS.values()]
    return next((protocol for protocol in candidates if str(protocol) == described), Protocol())
