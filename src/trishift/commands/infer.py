"""`trishift infer`: predict the top-k classes of videos, frame folders and file lists."""

from __future__ import annotations

from pathlib import Path

from trishift.checkpoints.files import weight_path
from trishift.commands.shared.arguments import (
    add_execution,
    add_framework,
    add_import_options,
    add_runtime,
    make_parser,
)
from trishift.commands.shared.inputs import add_videos, load_model, videos_of
from trishift.errors import DataError

EXAMPLES = """\
  trishift infer --checkpoint runs/gestures-tsm/best.safetensors clip.mp4
  trishift infer --checkpoint best.safetensors --framework paddle --filelist val.txt --output predictions.json
  trishift infer --checkpoint best.safetensors --output predictions.csv folder_of_videos/ -- -odd-name.mp4
  trishift infer --checkpoint best.onnx --runtime openvino clip.mp4
  trishift infer --checkpoint m4.safetensors --thresholds result.json clip.mp4      (multi-label)
"""


def main(arguments: list[str]) -> None:
    """Parse, predict, print and write."""
    parser = make_parser("infer", "Predict the classes of videos.", EXAMPLES)
    parser.add_argument(
        "--checkpoint", type=weight_path, required=True, help="weights of any family, or an exported model"
    )
    add_framework(parser)
    add_runtime(parser)
    add_execution(parser)
    add_import_options(parser)
    parser.add_argument("--protocol", help="named evaluation protocol; default: one clip, center crop")
    parser.add_argument("--top-k", type=int, default=5, help="classes to show; default: 5")
    parser.add_argument(
        "--thresholds",
        metavar="P|FILE",
        help="multi-label: minimum probability of a class, or an evaluation's result.json; default: the checkpoint's",
    )
    parser.add_argument("--output", type=Path, help="predictions as .json, .csv or .pkl (Paddle's format)")
    add_videos(parser)
    options = parser.parse_intermixed_args(arguments)

    from trishift.data.protocol import named_protocol
    from trishift.evaluation.prediction import write_predictions

    paths = videos_of(options)
    model = load_model(options)
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
