"""`trishift infer`: top-k classes of videos, frame folders and file lists."""

from __future__ import annotations

from pathlib import Path

from trishift.commands.shared import (
    add_execution,
    add_framework,
    add_import_options,
    add_runtime,
    execution_of,
    import_options,
    make_parser,
)
from trishift.data.frames import VIDEO_SUFFIXES
from trishift.errors import DataError

EXAMPLES = """\
  trishift infer --checkpoint runs/gestures-tsm/best.safetensors clip.mp4
  trishift infer --checkpoint best.safetensors --framework paddle --filelist val.txt --output predictions.json
  trishift infer --checkpoint best.safetensors --output predictions.csv folder_of_videos/ -- -odd-name.mp4
  trishift infer --checkpoint best.onnx --runtime openvino clip.mp4
  trishift infer --checkpoint m4.safetensors --thresholds result.json clip.mp4      (several labels a clip)
"""


def main(arguments: list[str]) -> None:
    """Parse, predict, print and write."""
    parser = make_parser("infer", "Predict the classes of videos.", EXAMPLES)
    parser.add_argument("--checkpoint", type=Path, required=True, help="weights of any family, or an exported model")
    add_framework(parser)
    add_runtime(parser)
    add_execution(parser)
    add_import_options(parser)
    parser.add_argument("--filelist", type=Path, help="list of videos, with or without labels")
    parser.add_argument("--root", type=Path, help="folder that the list's paths are relative to")
    parser.add_argument("--protocol", help="named test protocol; default: one clip, center crop")
    parser.add_argument("--top-k", type=int, default=5, help="classes to show; default: 5")
    parser.add_argument(
        "--thresholds",
        metavar="P|FILE",
        help="several labels: probability from which on a class counts, or an evaluation's result.json; "
        "default: the checkpoint's",
    )
    parser.add_argument("--output", type=Path, help="predictions as .json, .csv or .pkl (Paddle's form)")
    parser.add_argument(
        "videos", nargs="*", type=Path, metavar="VIDEO", help="video, frame folder, or folder of videos"
    )
    options = parser.parse_intermixed_args(arguments)

    from trishift.api import load
    from trishift.data.protocol import named_protocol
    from trishift.evaluation.prediction import write_predictions

    paths = [path for video in options.videos for path in expand(video)]
    if options.filelist:
        paths += listed(options.filelist, options.root)
    if not paths:
        raise DataError("infer: give at least one VIDEO or a --filelist")
    model = load(
        options.checkpoint,
        options.framework,
        execution=execution_of(options),
        runtime=options.runtime,
        **import_options(options),
    )
    print(model.report.summary())
    if options.thresholds is not None:
        model.set_thresholds(options.thresholds)
    protocol = named_protocol(options.protocol) if options.protocol else None
    predictions, misses = model.predict_many(paths, options.top_k, protocol)
    for prediction in predictions:
        print(prediction)
    if options.output:
        write_predictions(predictions, options.output)
        print(f"written: {options.output}")
    if misses:
        listing = "; ".join(reason for _, reason in misses)
        raise DataError(f"{len(misses)} of {len(paths)} videos could not be read: {listing}")


def expand(path: Path) -> list[Path]:
    """The videos of a folder of videos; a video or a frame folder stands for itself."""
    if path.is_dir():
        videos = sorted(p for p in path.rglob("*") if p.suffix.lower() in VIDEO_SUFFIXES)
        return videos or [path]
    return [path]


def listed(filelist: Path, root: Path | None) -> list[Path]:
    """The videos of a list, whose lines are paths alone or carry frame counts and labels, too."""
    from trishift.data.lists import read_list

    plain = [record.path for record in read_list(filelist, root, has_labels=False)]
    if any(path.exists() for path in plain):
        return plain
    try:
        return [record.path for record in read_list(filelist, root)]
    except DataError:
        return plain  # paths alone, none of which is there: each will be reported
