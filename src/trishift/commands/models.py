"""`trishift models`: list published weights, download them, and carry them to machines without a network."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trishift.commands.shared.outputs import add_json, print_json, status
from trishift.commands.shared.parser import make_parser
from trishift.errors import CheckpointError

if TYPE_CHECKING:
    from trishift.zoo.published import Published

EXAMPLES = """\
  trishift models                                        (all published weights)
  trishift models 'tsm*' --data kinetics400 --json
  trishift models --download tsm-r50-8f-k400             (download and convert now)
  trishift models --bundle weights.tar tsm-r50-8f-k400 resnet50-imagenet
  trishift models --from-bundle weights.tar              (on a machine without a network)
"""


def main(arguments: list[str]) -> None:
    """Parse, then list, download, pack or unpack."""
    parser = make_parser("models", "List published weights, whose names replace files in all commands.", EXAMPLES)
    parser.add_argument("names", nargs="*", metavar="NAME", help="name, or pattern such as 'tsm*'; default: all")
    parser.add_argument("--data", help="only weights of this data set, such as kinetics400")
    add_json(parser, "the list as JSON")
    action = parser.add_mutually_exclusive_group()
    action.add_argument("--download", action="store_true", help="download and convert the named weights")
    action.add_argument(
        "--bundle", type=Path, metavar="TAR", help="download the named weights and pack them into a file"
    )
    action.add_argument("--from-bundle", type=Path, metavar="TAR", help="unpack weights packed with --bundle")
    options = parser.parse_args(arguments)

    from trishift.zoo.bundles import read_bundle, write_bundle
    from trishift.zoo.published import matching

    if options.from_bundle:
        for name in read_bundle(options.from_bundle):
            print(f"unpacked: {name}")
        return
    if (options.download or options.bundle) and not options.names:
        raise CheckpointError("models: no names are given; name the weights, for example tsm-r50-8f-k400")
    entries = matching(tuple(options.names), options.data)
    if options.download:
        _download(entries)
    elif options.bundle:
        write_bundle(options.bundle, entries)
        print(f"written: {options.bundle}")
    elif options.json:
        print_json([_facts(entry) for entry in entries])
    else:
        _print_table(entries)


def _download(entries: Sequence[Published]) -> None:
    """Download and convert every entry that can be; the others are named, and are an error in the end.

    Raises:
        CheckpointError: an entry cannot be downloaded or converted.
    """
    from trishift.zoo.converted import obtain_canonical

    failed = []
    for entry in entries:
        try:
            print(f"{entry.name}: {obtain_canonical(entry)}", flush=True)
        except CheckpointError as error:
            if len(entries) == 1:
                raise
            failed.append(entry.name)
            status(f"error: {error}")
    if failed:
        raise CheckpointError(f"{len(failed)} of {len(entries)} are missing: {', '.join(failed)}; see the lines above")


def _facts(entry: Published) -> dict[str, Any]:
    import dataclasses

    from trishift.model.serialization import to_json
    from trishift.zoo.converted import state

    return {
        **{name: getattr(entry, name) for name in ("name", "source", "license", "data", "file", "dialect", "options")},
        "urls": entry.urls,
        "page": entry.page,
        "sha256": entry.sha256 or None,
        "accuracy": [dataclasses.asdict(accuracy) for accuracy in entry.accuracy],
        "parameters": entry.num_parameters,
        "multiplications": entry.multiplications,
        "recipe": entry.recipe and f"configs/{entry.recipe}",
        "spec": to_json(entry.spec),
        "state": state(entry),
    }


def _print_table(entries: Iterable[Published]) -> None:
    from trishift.io.text_table import aligned
    from trishift.zoo.converted import state
    from trishift.zoo.home import home

    rows = [("name", "data", "frames", "M params", "G mults", "state", "top-1 % (protocol)")]
    for entry in entries:
        costs = f"{entry.num_parameters / 1e6:.1f}", f"{entry.multiplications / 1e9:.1f}"
        frames, accuracy = str(entry.model.num_segments), ", ".join(map(str, entry.accuracy)) or "-"
        rows.append((entry.name, entry.data, frames, *costs, state(entry), accuracy))
    print("\n".join(aligned(rows, "<<>>><")))
    print(f"{len(rows) - 1} published weights; downloads go to {home()} (TRISHIFT_HOME)")
