"""Arguments and work that `publish` and `push` share."""

from __future__ import annotations

import argparse
import re
from pathlib import Path

from trishift.commands.shared.arguments import add_import_options, import_options
from trishift.commands.shared.outputs import status
from trishift.errors import RecipeError
from trishift.io.wording import counted
from trishift.zoo.sources import WeightSource

_LICENSE = re.compile(r"[a-z0-9][a-z0-9.+-]*")


def add_publishing(parser: argparse.ArgumentParser) -> None:
    """Add `SOURCE`, `--license`, `--evaluation`, `--verify` and the import options."""
    parser.add_argument("source", type=WeightSource, help="weights: a file, a run folder, a name, or an address")
    parser.add_argument("--license", required=True, help="license of the weights: apache-2.0, cc-by-nc-4.0, other, ...")
    parser.add_argument(
        "--evaluation", type=Path, metavar="RESULT", help="result.json of trishift eval, for figures and picture"
    )
    parser.add_argument("--verify", action="store_true", help="compare the logits of all installed frameworks")
    add_import_options(parser)


def check_publishing(options: argparse.Namespace) -> None:
    """Refuse wrong arguments before any download or computation.

    Raises:
        RecipeError: the license is no identifier.
        CheckpointError: the weights cannot be fetched.
        DataError: the evaluation cannot be read.
    """
    from trishift.reporting.model_card import read_result

    if not _LICENSE.fullmatch(options.license):
        raise RecipeError(f"--license {options.license}: use an identifier such as apache-2.0, cc-by-nc-4.0 or other")
    options.source.check()
    if options.evaluation is not None:
        read_result(options.evaluation)


def write_folder(options: argparse.Namespace, folder: Path, name: str, address: str) -> None:
    """Write the model folder that the arguments describe."""
    from importlib.util import find_spec

    from trishift.backends import FRAMEWORKS, MODULES
    from trishift.checkpoints import import_weights
    from trishift.checkpoints.verification import verify
    from trishift.reporting.model_card import CardFacts, write_model_folder

    checkpoint, report = import_weights(options.source.fetch(), **import_options(options))
    status(report.summary())
    frameworks = [framework for framework in FRAMEWORKS if find_spec(MODULES[framework])] if options.verify else []
    differences = verify(checkpoint, checkpoint, frameworks) if frameworks else []
    facts = CardFacts(name, options.license, address, options.evaluation, differences)
    shortened = write_model_folder(folder, checkpoint, facts)
    if shortened:
        status(f"note: {counted(shortened, 'local path')} in the recipe shortened to the last part")
