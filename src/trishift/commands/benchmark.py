"""`trishift benchmark`: the speed of a model in every installed framework and runtime."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from trishift.backends import FRAMEWORKS
from trishift.commands.shared.arguments import add_checkpoint, add_import_options, check_positive, import_options
from trishift.commands.shared.devices import AUTO, add_device, named_device
from trishift.commands.shared.outputs import add_json, notes_aside, print_json, status
from trishift.commands.shared.parser import make_parser
from trishift.export.formats import RUNTIMES
from trishift.io.terminal import printable

if TYPE_CHECKING:
    from collections.abc import Iterator

    from trishift.backends.contract import Device
    from trishift.speed import Measured, Speed

EXAMPLES = """\
  trishift benchmark --checkpoint runs/gestures-tsm/best.safetensors
  trishift benchmark --checkpoint tsm_k400.pth --num-segments 8 --only pytorch onnxruntime openvino
  trishift benchmark --checkpoint best.onnx --batch-size 8 --json
"""


def main(arguments: list[str]) -> None:
    """Parse, measure and print."""
    parser = make_parser("benchmark", "Measure a model in every installed framework and runtime.", EXAMPLES)
    add_checkpoint(parser, "weights of any family, or an exported model")
    runners = tuple(dict.fromkeys((*FRAMEWORKS, *RUNTIMES)))
    parser.add_argument("--only", nargs="+", choices=runners, default=[], help="frameworks and runtimes; default: all")
    parser.add_argument("--batch-size", type=int, default=1, help="clips per prediction; default: 1")
    parser.add_argument("--rounds", type=int, default=10, help="timed predictions of each form; default: 10")
    add_json(parser)
    add_device(parser, "auto, the best device of each framework and runtime")
    add_import_options(parser)
    options = parser.parse_args(arguments)
    check_positive(options, "batch_size", "rounds")

    from trishift.speed import forms_of, measure_speed

    device: Device | None = None if options.device == AUTO else named_device(options.device)
    with notes_aside(options):
        path = options.checkpoint.fetch()
        measured = measure_speed(
            path,
            forms=forms_of(path, options.only),
            batch_size=options.batch_size,
            rounds=options.rounds,
            device=device,
            options=import_options(options),
            say=status,
        )
    if options.json:
        print_json({"checkpoint": str(path), **as_json(measured)})
    else:
        print("\n".join(report(measured)))


def as_json(measured: Measured) -> dict[str, object]:
    """The measurement as plain values."""
    return {
        "batch_size": measured.batch_size,
        "parameters": measured.parameters,
        "multiplications": measured.multiplications,
        "fastest": measured.fastest and measured.fastest.form,
        "forms": [dataclasses.asdict(speed) for speed in measured.speeds],
    }


def report(measured: Measured) -> Iterator[str]:
    """The lines of the table, with the fastest form marked; forms that could not run follow with their reasons."""
    from trishift.checkpoints.reading import describe_model

    height, width = measured.input.crop_size
    yield f"{describe_model(measured.spec)}, {height} x {width}, batches of {measured.batch_size}"
    cost = measured.multiplications / 1e9
    yield f"{measured.parameters / 1e6:.2f} M parameters, {cost:.2f} G multiplications per clip"
    yield ""
    yield f"  {'form':28}{'device':8}{'ms/clip':>10}{'clips/s':>10}{'peak MB':>10}{'difference':>12}"
    fastest = measured.fastest
    ran = sorted((speed for speed in measured.speeds if speed.ms is not None), key=lambda speed: speed.ms or 0.0)
    yield from (_line(speed, "*" if speed is fastest else " ") for speed in ran)
    yield from (f"- {speed.form:28}{printable(speed.reason)}" for speed in measured.speeds if speed.ms is None)
    if fastest is not None:
        yield f"* fastest: {fastest.form}; differences are relative to {_first(measured).form}"


def _first(measured: Measured) -> Speed:
    return next(speed for speed in measured.speeds if speed.ms is not None)


def _line(speed: Speed, mark: str) -> str:
    assert speed.ms is not None
    other = "" if speed.same_class else ", other class"
    figures = f"{speed.ms:10.3g}{1000 / speed.ms:10.3g}{speed.memory:10.0f}{speed.difference:12.0e}"
    return f"{mark} {speed.form:28}{speed.device:8}{figures}{other}"
