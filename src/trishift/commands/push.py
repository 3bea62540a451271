"""`trishift push`: upload a model with its model card to the Hugging Face hub."""

from __future__ import annotations

import tempfile
from pathlib import Path

from trishift.commands.shared.parser import make_parser
from trishift.commands.shared.publishing import add_publishing, check_publishing, write_folder

EXAMPLES = """\
  trishift push runs/gestures-tsm hf://me/gestures-tsm --license apache-2.0
  trishift push best.safetensors hf://me/model --license cc-by-nc-4.0 --evaluation result.json --private
"""


def main(arguments: list[str]) -> None:
    """Parse, write the folder and upload it."""
    parser = make_parser("push", "Upload weights with a model card to the Hugging Face hub.", EXAMPLES)
    add_publishing(parser)
    parser.add_argument("destination", metavar="hf://OWNER/REPO", help="repository, created if missing")
    parser.add_argument("--private", action="store_true", help="create a private repository")
    options = parser.parse_args(arguments)

    from trishift.zoo.hub import check_upload, upload

    check_publishing(options)
    address = check_upload(options.destination)
    with tempfile.TemporaryDirectory() as folder:
        write_folder(options, Path(folder) / "model", address.repository, f"hf://{address.repository}")
        print(f"pushed: {upload(Path(folder) / 'model', address, private=options.private)}")
