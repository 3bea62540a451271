"""`trishift export`: write a checkpoint as a deployment format, verified against the checkpoint."""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from trishift.backends import FRAMEWORKS
from trishift.checkpoints import Checkpoint
from trishift.checkpoints.canonical import CALIBRATION
from trishift.commands.shared.arguments import add_checkpoint, add_import_options, add_tolerance, import_options
from trishift.commands.shared.devices import AUTO, add_device, named_device
from trishift.commands.shared.inputs import listed
from trishift.commands.shared.outputs import check_folder, status
from trishift.commands.shared.parser import make_parser
from trishift.errors import OutputError
from trishift.export.formats import FORMATS
from trishift.export.planning import OLDEST_OPSET, OPSET, ExportOptions

if TYPE_CHECKING:
    from trishift.backends.contract import Device
    from trishift.export.calibration import CalibrationClips

EXAMPLES = """\
  trishift export --checkpoint runs/gestures-tsm/best.safetensors --format onnx
  trishift export --checkpoint tsm_k400.pth --num-segments 8 --format mindir --output exports --name tsm
  trishift export --checkpoint best.safetensors --format paddle --uint8       (RGB frames in, probabilities out)
  trishift export --checkpoint online.safetensors --format onnx --streaming   (one frame per step, with its state)
  trishift export --checkpoint best.safetensors --triton models --name gestures
  trishift export --checkpoint best.safetensors --format openvino-int8 --calibration data/gestures/train.txt
"""


def main(arguments: list[str]) -> None:
    """Parse, export and print."""
    options = _parser().parse_args(arguments)

    from trishift.checkpoints import import_weights
    from trishift.export.triton import check_entry, write_entry
    from trishift.export.writing import check_name, export_checkpoint

    folder, name = _target(options)
    check_name(name)
    check_folder(folder)
    export = ExportOptions(
        format=options.format,
        framework=options.framework,
        uint8=options.uint8,
        streaming=options.streaming,
        opset=options.opset,
        tolerance=options.tolerance,
    )
    if options.triton:
        check_entry(folder, name, export)
    export = replace(export, device=_device(options.device))
    checkpoint, report = import_weights(options.checkpoint.fetch(), **import_options(options))
    status(report.summary())
    if CALIBRATION in checkpoint.meta:
        outputs = "probabilities" if options.uint8 else "logits"
        status(f"note: the program returns {outputs} without the calibration, which its description keeps for trishift")
    if options.calibration:
        calibration, judges = _clips(checkpoint, options)
        export = replace(export, calibration=calibration, judges=judges)
    write = write_entry if options.triton else export_checkpoint
    exported = write(checkpoint, export, folder, name)
    print(exported)
    print(f"written: {exported.path}")


def _parser() -> argparse.ArgumentParser:
    parser = make_parser("export", "Write a deployment format and verify it against the checkpoint.", EXAMPLES)
    add_checkpoint(parser, "weights of any supported family")
    kind = parser.add_mutually_exclusive_group(required=True)
    kind.add_argument("--format", choices=FORMATS, help="deployment format")
    kind.add_argument(
        "--triton", type=Path, metavar="DIR", help="write an ONNX file into a model repository of Triton instead"
    )
    parser.add_argument(
        "--framework", choices=FRAMEWORKS, help="framework that writes the file; default: the format's own"
    )
    parser.add_argument(
        "--output",
        type=Path,
        metavar="PATH",
        help="output folder, or the file itself; default: the checkpoint's folder",
    )
    parser.add_argument("--name", help="file name without suffix; default: the checkpoint's")
    add_device(parser, "auto, the CPU; the device on which the export is compared with its checkpoint")
    add_import_options(parser)
    program = parser.add_argument_group("program")
    program.add_argument("--uint8", action="store_true", help="uint8 RGB frames in, probabilities out")
    program.add_argument("--streaming", action="store_true", help="export one step of a unidirectional model")
    program.add_argument(
        "--opset", type=int, default=OPSET, help=f"ONNX opset, {OLDEST_OPSET} or newer, with PyTorch; default: {OPSET}"
    )
    add_tolerance(program)
    quantization = parser.add_argument_group("INT8", "The list is read one video at a time, in this process.")
    quantization.add_argument(
        "--calibration", type=Path, metavar="LIST", help="list of videos representative of production input"
    )
    quantization.add_argument("--root", type=Path, help="folder that the paths in the list are relative to")
    quantization.add_argument(
        "--clips",
        type=int,
        default=300,
        help="clips to calibrate on; others of the list judge the result; default: 300",
    )
    return parser


def _device(name: str) -> Device:
    """The device of the comparison. `auto` is the CPU: there, every runtime computes in full float32."""
    if name != AUTO:
        return named_device(name)
    status("device: cpu (exports are written and compared on the CPU; --device selects another one to compare on)")
    return "cpu"


def _target(options: argparse.Namespace) -> tuple[Path, str]:
    """The folder and the name of the export; `--output` may also be the path of the export itself.

    Raises:
        OutputError: the path has the suffix of another format, or contradicts `--name`.
    """
    if options.triton:
        if options.output:
            raise OutputError(f"--output {options.output}: --triton names the folder already; leave one out")
        options.format = "onnx"
        return options.triton, options.name or options.checkpoint.title
    output, suffix = options.output, FORMATS[options.format].suffix
    if output is None or output.suffix not in {known.suffix for known in FORMATS.values()}:
        return output or options.checkpoint.folder, options.name or options.checkpoint.stem
    if output.suffix != suffix:
        raise OutputError(f"{output}: --format {options.format} writes {suffix} files; use {output.stem}{suffix}")
    if options.name not in (None, output.stem, output.name):
        raise OutputError(f"{output}: --name {options.name} is another name; give one of the two")
    return output.parent, output.stem


def _clips(checkpoint: Checkpoint, options: argparse.Namespace) -> tuple[CalibrationClips, CalibrationClips]:
    from trishift.export.calibration import split_clips

    parts = split_clips([*map(Path, listed(options.calibration, options.root).paths())], checkpoint, options.clips)
    for clips in parts:
        clips.check()
    return parts
