"""`trishift inspect`: identify weight files."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from trishift.commands.shared.arguments import add_import_options, import_options, make_parser

EXAMPLES = """\
  trishift inspect TSM_kinetics_RGB_resnet50_shift8_blockres_avg_segment8_e50.pth
  trishift inspect --names runs/gestures-tsm/last.safetensors
"""


def main(arguments: list[str]) -> None:
    """Parse and print."""
    parser = make_parser("inspect", "Identify weight files: format, family, model, and missing options.", EXAMPLES)
    parser.add_argument(
        "files", type=Path, nargs="+", metavar="FILE", help="weight file, run folder, or exported model"
    )
    parser.add_argument("--names", action="store_true", help="also list every tensor's name and its canonical name")
    add_import_options(parser)
    options = parser.parse_args(arguments)

    from trishift.checkpoints import inspect_weights
    from trishift.export.opening import is_exported

    for file in options.files:
        if is_exported(file):
            print("\n  ".join(_exported(file)))
            continue
        inspection = inspect_weights(file, **import_options(options))
        print(inspection)
        if options.names and inspection.report:
            print(inspection.report.name_table())


def _exported(path: Path) -> Iterator[str]:
    """Describe an exported model, after checking its files, in lines."""
    from trishift.checkpoints.inspection import label_line
    from trishift.export.description import check_files, read_description

    description = read_description(path)
    check_files(path, description)
    program = description.program
    yield f"{path}: {description}"
    yield from (
        f"{name}: {entry['bytes']:,} bytes, sha256 {entry['sha256']}" for name, entry in description.files.items()
    )
    yield from (f"input {port.name}: {list(port.shape)} {port.dtype}" for port in program.inputs)
    yield from (f"output {port.name}: {list(port.shape)} {port.dtype}" for port in program.outputs)
    yield from label_line(description.checkpoint.labels)
    yield from (f"{key}: {value}" for key, value in description.measured.items())
