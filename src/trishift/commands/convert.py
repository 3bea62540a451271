"""`trishift convert`: convert weights of any family to any framework, with a report and an optional check."""

from __future__ import annotations

from pathlib import Path

from trishift.backends import FRAMEWORKS
from trishift.commands.shared.arguments import add_import_options, add_tolerance, import_options
from trishift.commands.shared.devices import AUTO, add_device, named_device
from trishift.commands.shared.parser import make_parser
from trishift.zoo.sources import WeightSource

EXAMPLES = """\
  trishift convert tsm_k400_segment8.pth tsm.safetensors            (runs in every framework)
  trishift convert tsm_k400_segment8.pth tsm.ckpt --framework mindspore --verify
  trishift convert TSM_k400.pdparams tsm.pth --num-segments 8 --shift blockres
  trishift convert runs/best.safetensors back.pth --to-dialect tsm  (for the original codebase)
"""


def main(arguments: list[str], backbone: str | None = None) -> None:
    """Parse, convert and print the report; a source with a backbone other than `backbone` is refused."""
    parser = make_parser("convert", "Convert weights between frameworks and codebases.", EXAMPLES)
    parser.add_argument(
        "source", type=WeightSource, help="weights of any supported family, a published name, or an address"
    )
    parser.add_argument("destination", type=Path, help=".safetensors, .pth, .ckpt or .pdparams; the suffix decides")
    parser.add_argument("--framework", choices=FRAMEWORKS, help="default: implied by the suffix")
    add_import_options(parser)
    parser.add_argument("--to-dialect", help="write weights for this codebase instead of Trishift's own network")
    parser.add_argument(
        "--allow-partial", action="store_true", help="skip tensors that do not fit; the backbone must be complete"
    )
    parser.add_argument("--verify", action="store_true", help="run source and result, and compare their logits")
    add_device(parser, "auto, the best device that each framework finds; only used by --verify")
    add_tolerance(parser)
    parser.add_argument("--force", action="store_true", help="replace an existing destination")
    options = parser.parse_args(arguments)

    from trishift.api import convert

    conversion = convert(
        options.source,
        options.destination,
        framework=options.framework,
        to_dialect=options.to_dialect,
        backbone=backbone,
        allow_partial=options.allow_partial,
        verify=options.verify,
        device=None if options.device == AUTO else named_device(options.device),
        tolerance=options.tolerance,
        force=options.force,
        **import_options(options),
    )
    print(conversion)
    print(f"written: {options.destination}")
