"""`trishift inspect`: identify weight files."""

from __future__ import annotations

from pathlib import Path

from trishift.commands.shared.arguments import add_import_options, import_options, make_parser

EXAMPLES = """\
  trishift inspect TSM_kinetics_RGB_resnet50_shift8_blockres_avg_segment8_e50.pth
  trishift inspect --names runs/gestures-tsm/last.safetensors
"""


def main(arguments: list[str]) -> None:
    """Parse and print."""
    parser = make_parser("inspect", "Identify weight files: format, family, model, and missing options.", EXAMPLES)
    parser.add_argument("files", type=Path, nargs="+", metavar="FILE", help="weight file, or folder of Paddle 1.x")
    parser.add_argument("--names", action="store_true", help="also list every tensor's name and its canonical name")
    add_import_options(parser)
    options = parser.parse_args(arguments)

    from trishift.checkpoints import inspect_weights

    for file in options.files:
        inspection = inspect_weights(file, **import_options(options))
        print(inspection)
        if options.names and inspection.report:
            print(inspection.report.name_table())
