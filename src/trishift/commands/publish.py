"""`trishift publish`: write a model folder with a model card, to be published anywhere."""

from __future__ import annotations

from pathlib import Path

from trishift.commands.shared.parser import make_parser
from trishift.commands.shared.publishing import add_publishing, check_publishing, write_folder
from trishift.errors import OutputError

EXAMPLES = """\
  trishift publish runs/gestures-tsm --license apache-2.0
  trishift publish best.safetensors --license cc-by-nc-4.0 --evaluation result.json --verify --output my-model
"""


def main(arguments: list[str]) -> None:
    """Parse and write the folder."""
    parser = make_parser("publish", "Write a model folder: weights, config.json and a model card.", EXAMPLES)
    add_publishing(parser)
    parser.add_argument("--output", type=Path, help="new folder; default: published/NAME")
    options = parser.parse_args(arguments)
    folder = options.output or Path("published") / options.source.stem
    if folder.exists():
        raise OutputError(f"{folder}: exists; name a new folder with --output")
    check_publishing(options)

    write_folder(options, folder, folder.name, f"{folder.name}/model.safetensors")
    print(f"written: {folder}")
