"""`trishift features`: activations of named layers, one npz file per video, optionally joined as in BOLD Moments."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from trishift.commands.shared.arguments import (
    add_checkpoint,
    add_execution,
    add_framework,
    add_import_options,
    add_protocol,
    add_reading,
    add_runtime,
    check_positive,
)
from trishift.commands.shared.engines import Work, add_engine, results_of
from trishift.commands.shared.inputs import add_videos, check_protocol, load_model, protocol_of, videos_of
from trishift.commands.shared.jobs import weights_digest
from trishift.commands.shared.outputs import add_strict, check_folder, report_misses, status
from trishift.commands.shared.parser import make_parser
from trishift.commands.shared.parts import add_devices
from trishift.errors import RecipeError
from trishift.evaluation.shards import Shard
from trishift.io.progress import Progress
from trishift.io.wording import counted

if TYPE_CHECKING:
    from trishift.evaluation.features import FeatureSettings
    from trishift.evaluation.prediction import Miss

EXAMPLES = """\
  trishift features --checkpoint best.safetensors --output features folder_of_videos/
  trishift features --checkpoint tsm.pth --num-segments 8 --layers layer3 layer4 logits --level frame \\
      --protocol ten --output features --filelist val.txt --root videos --shard 2/8
  trishift features --checkpoint ckpt.best.pth.tar --layout bold-moments --protocol m4 --output features stimulus_set/
"""


def main(arguments: list[str]) -> None:
    """Parse, skip complete files, write the rest."""
    options = _parser().parse_intermixed_args(arguments)
    check_positive(options, "batch_size", "workers", "devices")

    from trishift.evaluation.bold_moments import split_videos
    from trishift.evaluation.features import output_paths, pending
    from trishift.evaluation.missing import Misses, missing_in
    from trishift.evaluation.prediction import Miss

    videos = [*map(Path, videos_of(options).paths())]
    if options.layout == "bold-moments":
        split_videos(videos)  # refuses bad names before the work
    outputs = output_paths(videos, options.output)
    shard, settings = Shard.parse(options.shard), _settings(options)
    check_folder(options.output)
    mine = dict(shard.of(list(outputs.items())))
    todo = set(pending(mine, settings))
    numbers = [number for number, video in enumerate(outputs) if video in todo]
    misses = Misses(missing_in(options.output, "features", shard))
    with (
        results_of(options, partial(_opened, outputs, settings), np.array(numbers, np.int64)) as (summary, batches),
        Progress("features", len(mine), len(mine) - len(todo), "video") as progress,
    ):
        status(summary)
        status(f"{counted(len(mine), 'video')}, {len(mine) - len(todo)} of them complete")
        for results in batches:
            for _, result in results:
                if isinstance(result, Miss):
                    misses.add(result)
                else:
                    progress.print(f"written: {result}")
            progress.update(len(results))
    misses.close()
    strict = options.strict or options.layout == "bold-moments"
    report_misses(misses.first, len(mine), strict=strict, count=misses.count, file=misses.file)
    if options.layout == "bold-moments":
        _join(outputs, settings, options.output)


def _opened(
    outputs: dict[Path, Path], settings: FeatureSettings, options: argparse.Namespace
) -> tuple[str, Work[Path | Miss]]:
    """Open the model; returns its report, and what writes the files of videos by their numbers."""
    from trishift.evaluation.features import check_layers, write_features

    model = load_model(options, clips=len(outputs))
    check_protocol(model, settings.protocol)
    check_layers(model.session, model.input, settings.layers)
    sizes = {"batch_size": options.batch_size, "workers": options.workers}

    def write(numbers: np.ndarray) -> Iterator[list[tuple[int, Path | Miss]]]:
        for result in write_features(model.session, model.input, outputs, settings, **sizes, only=numbers):
            yield [result]

    return model.report.summary(), write


def _parser() -> argparse.ArgumentParser:
    parser = make_parser("features", "Write activations of named layers; complete files are skipped.", EXAMPLES)
    add_checkpoint(parser, "weights of any supported family")
    add_framework(parser)
    add_runtime(parser, layers=True)
    add_execution(parser)
    add_import_options(parser)
    parser.add_argument("--output", type=Path, required=True, help="folder for the npz files")
    parser.add_argument(
        "--layers", nargs="+", help="layer1 ... layer4, features.N, inception_3a ..., pooled, logits; default: pooled"
    )
    parser.add_argument(
        "--level",
        choices=("frame", "clip", "video"),
        help="level of detail: one row per frame, per clip or per video; default: video",
    )
    parser.add_argument("--maps", action="store_true", help="keep the height and width of feature maps")
    parser.add_argument(
        "--layout",
        choices=("npz", "bold-moments"),
        default="npz",
        help="bold-moments (ResNets): also {train,test}_{layer1 ... layer4,baseout,fc}.npy, one row per video",
    )
    add_protocol(parser, "one clip, center crop")
    add_reading(parser)
    add_devices(parser)
    add_engine(parser)
    add_strict(parser)
    add_videos(parser)
    return parser


def _settings(options: argparse.Namespace) -> FeatureSettings:
    """The feature settings that the arguments ask for.

    Raises:
        RecipeError: the layout fixes an option that was given.
    """
    from trishift.evaluation.bold_moments import LAYERS
    from trishift.evaluation.features import FeatureSettings

    protocol = protocol_of(options)
    weights = weights_digest(options)
    if options.layout == "npz":
        layers = tuple(options.layers or ("pooled",))
        return FeatureSettings(layers, options.level or "video", options.maps, protocol, weights, options.template)
    if options.layers or options.level or options.maps:
        raise RecipeError("--layout bold-moments: fixes layers and level; remove --layers, --level and --maps")
    return FeatureSettings(tuple(LAYERS.values()), "video", True, protocol, weights, options.template)


def _join(outputs: dict[Path, Path], settings: FeatureSettings, folder: Path) -> None:
    """Write the matrices once every shard is complete."""
    from trishift.evaluation.bold_moments import write_matrices
    from trishift.evaluation.features import pending

    missing = len(pending(outputs, settings))
    if missing:
        rest = f"{missing} of {counted(len(outputs), 'video')} left to other shards"
        status(f"{rest}; the last shard writes the matrices")
        return
    for path in write_matrices(outputs, folder):
        print(f"written: {path}")
