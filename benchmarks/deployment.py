"""Cost and accuracy of deployment formats: the tables of docs/deploy.md.

    python -m benchmarks.deployment speed [--checkpoint W] [--calibration LIST] [--accuracy] [--rounds 10]
    python -m benchmarks.deployment matrix [--backbones resnet50 mobilenet_v2 bn_inception] [--size 224]

`speed` exports one model (default: TSM ResNet-50, 8 frames of 224 x 224) to every format. It prints the size, the
largest difference from the PyTorch checkpoint, the minimum milliseconds per clip and, with --accuracy, top-1 on the
checkpoint's own validation list. `matrix` exports TSN, TSM in both directions and TRN on every backbone to every format
and prints the larger of the differences that the export measured for batches of 1 and 3.

Every export and every runtime runs in its own process. Exports that already exist in --folder are reused.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from testing.weights import smooth_weights

import trishift
from trishift.backends.contract import Execution
from trishift.checkpoints import Checkpoint
from trishift.checkpoints.canonical import save
from trishift.data.opening import open_evaluation_set
from trishift.evaluation.evaluator import evaluate
from trishift.export.description import read_description
from trishift.export.formats import FORMATS
from trishift.model.spec import HeadSpec, ModelSpec, ShiftSpec, default_input
from trishift.recipe import recipe_from_dict

BACKBONES = ("resnet50", "mobilenet_v2", "bn_inception")
ROWS = (  # format, runtime, precision; no format: the checkpoint
    ("", "pytorch", "fp32"),
    ("torch", "pytorch", "fp32"),
    ("onnx", "onnxruntime", "fp32"),
    ("onnx", "openvino", "fp32"),
    ("onnx", "openvino", "bf16"),
    ("openvino-int8", "openvino", "fp32"),
    ("mindir", "mindspore", "fp32"),
    ("paddle", "paddle", "fp32"),
)


def models(backbone: str) -> dict[str, ModelSpec]:
    """TSN, TSM and TRN of eight frames on a backbone."""
    shift = ShiftSpec(placement="block" if backbone == "bn_inception" else "blockres")
    tsn = ModelSpec(backbone, 27, num_segments=8)  # type: ignore[arg-type]
    return {
        "TSN": tsn,
        "TSM": replace(tsn, shift=shift),
        "online TSM": replace(tsn, shift=replace(shift, direction="unidirectional")),
        "TRN multi-scale": replace(tsn, head=HeadSpec("multiscale_relation")),
    }


def write_checkpoint(path: Path, spec: ModelSpec, size: int) -> None:
    """Write a checkpoint of synthetic weights that lose no precision (see `testing.weights`)."""
    save(
        path,
        Checkpoint(smooth_weights(spec), spec, replace(default_input(spec.backbone), resize=max(256, size), crop=size)),
    )


def export(checkpoint: Path, format: str, folder: Path, *arguments: object) -> Path:
    """Path of the checkpoint's export in a format, which is written if it is missing."""
    path = folder / f"{checkpoint.stem}{FORMATS[format].suffix}"
    if not path.exists():
        call("trishift", "export", "--checkpoint", checkpoint, "--format", format, "--output", folder, *arguments)
    return path


def call(module: str, *arguments: object) -> str:
    """Last line printed by a module that runs in its own process."""
    command = [sys.executable, "-m", module, *map(str, arguments)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    if done.returncode:
        raise SystemExit(f"{' '.join(command)}\n{done.stderr[-2000:]}")
    return (done.stdout.strip().splitlines() or [""])[-1]


# Speed


def speed(options: argparse.Namespace) -> Iterator[str]:
    """Lines of the speed table."""
    checkpoint = options.checkpoint or options.folder / "speed.safetensors"
    if not checkpoint.is_file():
        write_checkpoint(checkpoint, replace(models("resnet50")["TSM"], num_classes=400), 224)
    head = ["format", "runtime", "precision", "MB", "difference", "ms/clip"] + ["top-1"] * options.accuracy
    yield row(head)
    yield row(["---"] * 3 + ["---:"] * (len(head) - 3))
    expected: np.ndarray | None = None
    for format, runtime, precision in ROWS:
        if format == "openvino-int8" and not options.calibration:
            continue
        arguments = ["--calibration", options.calibration] if format == "openvino-int8" else []
        path = export(checkpoint, format, options.folder, *arguments) if format else checkpoint
        result = json.loads(
            call("benchmarks.deployment", "time", path, runtime, precision, options.rounds, int(options.accuracy))
        )
        logits = np.array(result["logits"])
        expected = logits if expected is None else expected
        difference = np.abs(logits - expected).max() / np.abs(expected).max()
        cells = [format or "(checkpoint)", runtime, precision, f"{megabytes(path):.1f}", f"{difference:.1g}"]
        yield row([*cells, f"{result['ms']:.3g}", *([f"{result['top1']:.2%}"] if options.accuracy else [])])


def time_model(path: Path, runtime: str, precision: str, rounds: int, accuracy: bool) -> dict[str, Any]:
    """Logits of a fixed clip, minimum milliseconds per call, and top-1 on the validation list of the model's recipe."""
    exported = path.suffix != ".safetensors"
    execution = Execution(precision=precision)  # type: ignore[arg-type]
    model = trishift.load(path, runtime=runtime if exported else None, execution=execution)
    spec = model.spec
    shape = (1, spec.num_segments, spec.in_channels, *model.input.crop_size)
    clip = np.random.default_rng(0).standard_normal(shape, np.float32)
    logits = model(clip)
    times = []
    for _ in range(rounds):
        began = time.perf_counter()
        model(clip)
        times.append(1000 * (time.perf_counter() - began))
    result: dict[str, Any] = {"ms": min(times), "logits": logits[0].tolist()}
    if accuracy:
        recipe = recipe_from_dict(model.meta["recipe"])
        dataset = open_evaluation_set(recipe.data, model.input, spec, recipe.evaluation)
        result["top1"] = evaluate(model.session, dataset, batch_size=8, workers=2).metrics.top1
    return result


def megabytes(path: Path) -> float:
    """Size of a file, or of all files in a folder."""
    files = path.iterdir() if path.is_dir() else [path]
    return sum(file.stat().st_size for file in files) / 1e6


# Matrix


def matrix(options: argparse.Namespace) -> Iterator[str]:
    """Lines of the matrix of differences."""
    formats = [format for format in FORMATS.values() if not format.lossy]
    yield row(["model", "backbone", *(format.title for format in formats)])
    yield row(["---", "---", *["---:"] * len(formats)])
    for backbone in options.backbones:
        for name, spec in models(backbone).items():
            checkpoint = options.folder / f"{name.replace(' ', '-')}-{backbone}-{options.size}.safetensors"
            if not checkpoint.is_file():
                write_checkpoint(checkpoint, spec, options.size)
            paths = [export(checkpoint, format.name, options.folder) for format in formats]
            measured = [max(read_description(path).measured["relative"].values()) for path in paths]
            yield row([name, backbone, *(f"{value:.1g}" for value in measured)])


def row(cells: list[str]) -> str:
    """Row of a Markdown table."""
    return f"| {' | '.join(cells)} |"


def main() -> None:
    """Parse, measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    tasks = parser.add_subparsers(dest="task", required=True)
    speeds = tasks.add_parser("speed")
    speeds.add_argument("--checkpoint", type=Path)
    speeds.add_argument("--calibration", type=Path, help="list of videos; without it, the INT8 row is skipped")
    speeds.add_argument("--accuracy", action="store_true")
    speeds.add_argument("--rounds", type=int, default=10)
    table = tasks.add_parser("matrix")
    table.add_argument("--backbones", nargs="+", default=BACKBONES)
    table.add_argument("--size", type=int, default=224)
    for task in (speeds, table):
        task.add_argument("--folder", type=Path, default=Path("runs/deployment"), help="where exports are kept")
    timing = tasks.add_parser("time")
    for name, kind in (("path", Path), ("runtime", str), ("precision", str), ("rounds", int), ("accuracy", int)):
        timing.add_argument(name, type=kind)
    options = parser.parse_args()
    if options.task == "time":
        arguments = (options.path, options.runtime, options.precision, options.rounds, bool(options.accuracy))
        print(json.dumps(time_model(*arguments)))
        return
    options.folder.mkdir(parents=True, exist_ok=True)
    for line in speed(options) if options.task == "speed" else matrix(options):
        print(line, flush=True)


if __name__ == "__main__":
    main()
