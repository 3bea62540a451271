"""`trishift infer`: predict the top-k classes of videos, frame folders and file lists."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from typing import Any

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
from trishift.commands.shared.inputs import (
    Truth,
    add_calibration,
    add_videos,
    check_protocol,
    labels_of,
    load_model,
    protocol_of,
    set_calibration,
    videos_of,
)
from trishift.commands.shared.outputs import add_strict, check_file, report_misses, status
from trishift.commands.shared.parser import make_parser
from trishift.commands.shared.parts import add_devices, in_order, parts
from trishift.evaluation.shards import Shard

EXAMPLES = """\
  trishift infer --checkpoint runs/gestures-tsm/best.safetensors clip.mp4
  trishift infer --checkpoint best.safetensors --framework paddle --filelist val.txt --output predictions.json
  trishift infer --checkpoint best.safetensors --output predictions.csv folder_of_videos/ -- -odd-name.mp4
  trishift infer --checkpoint best.safetensors --filelist val.txt --shard 2/8 --output part2.jsonl
  trishift infer --checkpoint best.onnx --runtime openvino clip.mp4
  trishift infer --checkpoint m4.safetensors --thresholds result.json clip.mp4      (multi-label)
"""


def main(arguments: list[str]) -> None:
    """Parse, predict, print and write each prediction as soon as it is known."""
    options = _parser().parse_intermixed_args(arguments)
    check_positive(options, "top_k", "batch_size", "workers", "devices")

    from trishift.evaluation.prediction import FORMATS, Prediction, PredictionFile

    if options.output:
        check_file(options.output, FORMATS)
    options.videos = videos_of(options)
    listed = Shard.parse(options.shard).of(range(len(options.videos)), options.batch_size)
    protocol_of(options)  # refuses unknown names before the work
    misses = []
    with (
        PredictionFile(options.output) if options.output else nullcontext() as file,
        parts(options, partial(_predict, listed)) as streams,
    ):
        opened: Sequence[tuple[str, Sequence[str]]] = [next(stream) for stream in streams]
        status(opened[0][0])
        truth = Truth(labels_of(options.filelist, options.root, opened[0][1]), opened[0][1])
        for result in in_order(streams):
            if not isinstance(result, Prediction):
                misses.append(result)
                continue
            print(f"{result}{truth.note(result)}")
            if file is not None:
                file.add(result)
    if truth.known:
        print(truth.summary())
    if options.output:
        status(f"written: {options.output}")
    report_misses(misses, len(listed), strict=options.strict)


def _predict(listed: Sequence[int], options: argparse.Namespace, part: Shard) -> Iterator[Any]:
    """Yield the model's report with its class names, then numbered predictions and misses of a part of the videos."""
    protocol = protocol_of(options)
    model = load_model(options, clips=len(options.videos))
    check_protocol(model, protocol)
    set_calibration(model, options)
    yield model.report.summary(), model.labels
    yield from model.numbered_predictions(
        options.videos,
        options.top_k,
        protocol,
        batch_size=options.batch_size,
        workers=options.workers,
        template=options.template,
        only=part.turns(listed, options.batch_size),
    )


def _parser() -> argparse.ArgumentParser:
    parser = make_parser("infer", "Predict the classes of videos.", EXAMPLES)
    add_checkpoint(parser, "weights of any family, or an exported model")
    add_framework(parser)
    add_runtime(parser)
    add_execution(parser)
    add_import_options(parser)
    add_protocol(parser, "one clip, center crop")
    parser.add_argument("--top-k", type=int, default=5, help="classes to show; default: 5")
    add_calibration(parser)
    parser.add_argument(
        "--output", type=Path, help="predictions as .json, .jsonl (a line per video), .csv or .pkl (Paddle's format)"
    )
    add_reading(parser)
    add_devices(parser)
    add_strict(parser)
    add_videos(parser)
    return parser
