"""`trishift features`: activations of named layers, one npz file a video, and joined as in BOLD Moments."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from trishift.commands.shared.arguments import (
    add_execution,
    add_framework,
    add_import_options,
    make_parser,
)
from trishift.commands.shared.inputs import add_videos, load_model, videos_of
from trishift.errors import DataError, RecipeError

if TYPE_CHECKING:
    from trishift.data.protocol import Protocol
    from trishift.evaluation.features import FeatureSettings

EXAMPLES = """\
  trishift features --checkpoint best.safetensors --output features folder_of_videos/
  trishift features --checkpoint tsm.pth --num-segments 8 --layers layer3 layer4 logits --level frame \\
      --protocol ten --output features --filelist val.txt --root videos --shard 2/8
  trishift features --checkpoint ckpt.best.pth.tar --layout bold-moments --protocol m4 --output features stimulus_set/
"""


def main(arguments: list[str]) -> None:
    """Parse, skip what is complete, write the rest."""
    options = _parser().parse_intermixed_args(arguments)

    from trishift.checkpoints.files import sha256
    from trishift.data.protocol import Protocol, named_protocol
    from trishift.evaluation.bold_moments import split_videos
    from trishift.evaluation.features import Shard, output_paths, pending, write_features

    videos = videos_of(options)
    if options.layout == "bold-moments":
        split_videos(videos)  # finds mistakes before the work
    shard = Shard.parse(options.shard)
    protocol = named_protocol(options.protocol) if options.protocol else Protocol()
    model = load_model(options)
    print(model.report.summary())
    weights = sha256(options.checkpoint) if options.checkpoint.is_file() else options.checkpoint.name
    settings = _settings(options, protocol, weights)
    outputs = output_paths(videos, options.output)
    mine = {video: outputs[video] for video in shard.of(list(outputs))}
    todo = pending(mine, settings)
    print(f"{len(mine)} videos, {len(mine) - len(todo)} of them complete")
    misses = []
    for result in write_features(
        model.session, model.input, todo, settings, batch_size=options.batch_size, workers=options.workers
    ):
        if isinstance(result, Path):
            print(f"written: {result}")
        else:
            misses.append(result[1])
    if misses:
        raise DataError(f"{len(misses)} of {len(mine)} videos could not be read: {'; '.join(misses)}")
    if options.layout == "bold-moments":
        _join(outputs, settings, options.output)


def _parser() -> argparse.ArgumentParser:
    parser = make_parser("features", "Write activations of named layers; complete files are skipped.", EXAMPLES)
    parser.add_argument("--checkpoint", type=Path, required=True, help="weights of any supported family")
    add_framework(parser)
    add_execution(parser)
    add_import_options(parser)
    parser.add_argument("--output", type=Path, required=True, help="folder of the npz files")
    parser.add_argument(
        "--layers", nargs="+", help="layer1 ... layer4, features.N, inception_3a ..., pooled, logits; default: pooled"
    )
    parser.add_argument("--level", choices=("frame", "clip", "video"), help="averaged over; default: video")
    parser.add_argument("--maps", action="store_true", help="keep height and width of the maps")
    parser.add_argument(
        "--layout",
        choices=("npz", "bold-moments"),
        default="npz",
        help="bold-moments: also {train,test}_{layer1 ... layer4,baseout,fc}.npy, a row a video, of a ResNet",
    )
    parser.add_argument("--protocol", help="named test protocol; default: one clip, center crop")
    parser.add_argument("--shard", default="1/1", metavar="I/N", help="only part I of N of the videos, I from 1")
    parser.add_argument("--batch-size", type=int, default=8, help="views per forward pass; default: 8")
    parser.add_argument("--workers", type=int, default=2, help="decoding threads; default: 2")
    add_videos(parser)
    return parser


def _settings(options: argparse.Namespace, protocol: Protocol, weights: str) -> FeatureSettings:
    """What is written of each video.

    Raises:
        RecipeError: the layout fixes what else is asked for.
    """
    from trishift.evaluation.bold_moments import LAYERS
    from trishift.evaluation.features import FeatureSettings

    if options.layout == "npz":
        layers = tuple(options.layers or ("pooled",))
        return FeatureSettings(layers, options.level or "video", options.maps, protocol, weights)
    if options.layers or options.level or options.maps:
        raise RecipeError("--layout bold-moments: has its own layers and level; leave --layers, --level and --maps out")
    return FeatureSettings(tuple(LAYERS.values()), "video", True, protocol, weights)


def _join(outputs: dict[Path, Path], settings: FeatureSettings, folder: Path) -> None:
    """Write the matrices once the last shard is there."""
    from trishift.evaluation.bold_moments import write_matrices
    from trishift.evaluation.features import pending

    missing = len(pending(outputs, settings))
    if missing:
        print(f"{missing} of {len(outputs)} videos are left to other shards; the last one writes the matrices")
        return
    for path in write_matrices(outputs, folder):
        print(f"written: {path}")
