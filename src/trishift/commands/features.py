"""`trishift features`: activations of named layers, one npz file a video."""

from __future__ import annotations

from pathlib import Path

from trishift.commands.arguments import (
    add_execution,
    add_framework,
    add_import_options,
    execution_of,
    import_options,
    make_parser,
)
from trishift.commands.infer import expand, listed
from trishift.errors import DataError

EXAMPLES = """\
  trishift features --checkpoint best.safetensors --output features folder_of_videos/
  trishift features --checkpoint tsm.pth --num-segments 8 --layers layer3 layer4 logits --level frame \\
      --protocol ten --output features --filelist val.txt --root videos --shard 2/8
"""


def main(arguments: list[str]) -> None:
    """Parse, skip what is complete, write the rest."""
    parser = make_parser("features", "Write activations of named layers; complete files are skipped.", EXAMPLES)
    parser.add_argument("--checkpoint", type=Path, required=True, help="weights of any supported family")
    add_framework(parser)
    add_execution(parser)
    add_import_options(parser)
    parser.add_argument("--output", type=Path, required=True, help="folder of the npz files")
    parser.add_argument(
        "--layers",
        nargs="+",
        default=["pooled"],
        help="layer1 ... layer4, features.N, inception_3a ..., pooled, logits",
    )
    parser.add_argument(
        "--level", choices=("frame", "clip", "video"), default="video", help="averaged over; default: video"
    )
    parser.add_argument("--maps", action="store_true", help="keep height and width of the maps")
    parser.add_argument("--protocol", help="named test protocol; default: one clip, centre crop")
    parser.add_argument("--shard", default="1/1", metavar="I/N", help="only part I of N of the videos, I from 1")
    parser.add_argument("--filelist", type=Path, help="list of videos, with or without labels")
    parser.add_argument("--root", type=Path, help="folder that the list's paths are relative to")
    parser.add_argument("--batch-size", type=int, default=8, help="views per forward pass; default: 8")
    parser.add_argument("--workers", type=int, default=2, help="decoding threads; default: 2")
    parser.add_argument(
        "videos", nargs="*", type=Path, metavar="VIDEO", help="video, frame folder, or folder of videos"
    )
    options = parser.parse_intermixed_args(arguments)

    from trishift.api import open_model
    from trishift.checkpoints.files import sha256
    from trishift.data.protocol import Protocol, named_protocol
    from trishift.evaluation.features import FeatureSettings, Shard, output_paths, pending, write_features

    videos = [path for video in options.videos for path in expand(video)]
    if options.filelist:
        videos += listed(options.filelist, options.root)
    if not videos:
        raise DataError("features: give at least one VIDEO or a --filelist")
    shard = Shard.parse(options.shard)
    protocol = named_protocol(options.protocol) if options.protocol else Protocol()
    model, report = open_model(
        options.checkpoint, options.framework, execution=execution_of(options), **import_options(options)
    )
    print(report.summary())
    weights = sha256(options.checkpoint) if options.checkpoint.is_file() else options.checkpoint.name
    settings = FeatureSettings(tuple(options.layers), options.level, options.maps, protocol, weights)
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
