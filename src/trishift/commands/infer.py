"""`trishift infer`: predict the top-k classes of videos, frame folders and file lists."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

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
from trishift.commands.shared.inputs import (
    Truth,
    add_calibration,
    add_videos,
    check_protocol,
    labels_of,
    load_model,
    protocol_of,
    set_calibration,
    truth_summary,
    videos_of,
)
from trishift.commands.shared.jobs import add_overwrite, job_settings
from trishift.commands.shared.outputs import add_strict, check_file, report_misses, status
from trishift.commands.shared.parser import make_parser
from trishift.commands.shared.parts import add_devices
from trishift.evaluation.shards import Shard
from trishift.io.progress import Progress
from trishift.io.wording import counted

if TYPE_CHECKING:
    import numpy as np

    from trishift.evaluation.predicting import Results
    from trishift.evaluation.prediction import Miss, Prediction
    from trishift.evaluation.prediction_job import PredictionJob

EXAMPLES = """\
  trishift infer --checkpoint runs/gestures-tsm/best.safetensors clip.mp4
  trishift infer --checkpoint best.safetensors --framework paddle --filelist val.txt --output predictions.json
  trishift infer --checkpoint best.safetensors --output predictions.csv folder_of_videos/ -- -odd-name.mp4
  trishift infer --checkpoint best.safetensors --filelist archive.txt --shard 2/8 --output part2.jsonl
  trishift infer --checkpoint best.safetensors --filelist archive.txt --engine ray --output archive.parquet
  trishift infer --checkpoint best.onnx --runtime openvino clip.mp4
  trishift infer --checkpoint m4.safetensors --thresholds result.json clip.mp4      (multi-label)
"""


def main(arguments: list[str]) -> None:
    """Parse, predict, print and write each prediction as soon as it is known."""
    options = _parser().parse_intermixed_args(arguments)
    check_positive(options, "top_k", "batch_size", "workers", "devices")

    from trishift.evaluation.missing import missing_of
    from trishift.evaluation.prediction_files import FORMATS, check_format
    from trishift.evaluation.prediction_job import MISSED, open_prediction_job

    if options.output:
        check_file(options.output, FORMATS)
        check_format(options.output)
    protocol_of(options)  # refuses unknown names before the work
    options.videos = videos_of(options)
    listed = Shard.parse(options.shard).of(range(len(options.videos)), options.batch_size)
    settings = job_settings(options, options.videos) if options.output else {}
    misses: list[Miss] = []
    with open_prediction_job(
        options.output, settings, len(listed), top_k=options.top_k, restart=options.overwrite
    ) as job:
        if job.finished:
            status(f"{options.output}: complete already; --overwrite predicts again")
        else:
            misses = _predict_missing(options, listed, job)
    if text := truth_summary(job.counts):
        print(text)
    file = missing_of(options.output) if options.output else None
    report_misses(misses, len(listed), strict=options.strict, count=job.counts[MISSED], file=file)


def _predict_missing(options: argparse.Namespace, listed: Sequence[int], job: PredictionJob) -> list[Miss]:
    """Predict the listed videos that are not done; returns the first of those that cannot be read."""
    from trishift.evaluation.missing import SHOWN
    from trishift.evaluation.prediction import Miss

    if job.done:
        status(f"{options.output}: continued, {job.done} of {counted(len(listed), 'video')} done")
    misses: list[Miss] = []
    start = listed[0] if listed else 0
    with (
        results_of(options, _opened, job.pending() + start, options.batch_size) as ((summary, names), batches),
        Progress("infer", len(listed), job.done) as progress,
    ):
        status(summary)
        truth = Truth(labels_of(options.videos, options, names), names)
        for results in batches:
            notes = [truth.note(index, result) for index, result in results]
            job.add([(index - start, result) for index, result in results], truth.take_counts())
            for (_, result), note in zip(results, notes, strict=True):
                if isinstance(result, Miss):
                    misses += [result] if len(misses) < SHOWN else []
                else:
                    progress.print(f"{result.text(options.top_k)}{note}")
            progress.update(len(results))
    job.finish()
    if options.output:
        status(f"written: {options.output}")
    return misses


def _opened(options: argparse.Namespace) -> tuple[tuple[str, Sequence[str]], Work[Prediction | Miss]]:
    """Open the model; returns its report with its class names, and what predicts videos of the list."""
    protocol = protocol_of(options)
    model = load_model(options, clips=len(options.videos))
    check_protocol(model, protocol)
    set_calibration(model, options)
    sizes = {"batch_size": options.batch_size, "workers": options.workers}

    def predict(numbers: np.ndarray) -> Iterator[Results]:
        return model.predict_batches(options.videos, protocol, template=options.template, **sizes, only=numbers)

    return (model.report.summary(), model.labels), predict


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
        "--output",
        type=Path,
        help="predictions as .jsonl (a line per video), .csv, .parquet, .json or .pkl (Paddle's format); repeat the "
        "command to continue them",
    )
    add_overwrite(parser)
    add_reading(parser)
    add_devices(parser)
    add_engine(parser)
    add_strict(parser)
    add_videos(parser)
    return parser
