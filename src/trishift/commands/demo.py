"""`trishift demo`: a page that shows what a model recognizes, live in the browser where it can run there."""

from __future__ import annotations

import argparse
from pathlib import Path
from tempfile import TemporaryDirectory

from trishift.commands.shared.arguments import (
    add_execution,
    add_framework,
    add_import_options,
    add_runtime,
    import_options,
)
from trishift.commands.shared.devices import AUTO, named_device
from trishift.commands.shared.inputs import load_model
from trishift.commands.shared.outputs import add_strict, check_folder, status
from trishift.commands.shared.parser import make_parser
from trishift.commands.shared.servers import add_server, limits_of
from trishift.errors import RecipeError
from trishift.zoo.sources import WeightSource

EXAMPLES = """\
  trishift demo runs/gestures-tsm-online
  trishift demo                                       (downloads the original online TSM, for 27 hand gestures)
  trishift demo --checkpoint best.safetensors --export site
"""
_HOST = "127.0.0.1"
_ONLINE = "tsm-mobilenetv2-online-jester"


def main(arguments: list[str]) -> None:
    """Parse, prepare the model, then write the page or serve it until stopped."""
    options = _parser().parse_args(arguments)
    limits = limits_of(options)
    if options.device != AUTO:
        options.device = named_device(options.device)  # refuses unknown ones before the work
    if options.weights and options.checkpoint:
        raise RecipeError("--checkpoint: the weights are given twice; leave one out")
    options.checkpoint = options.checkpoint or options.weights or WeightSource(_ONLINE)

    from trishift.serving import browser, site
    from trishift.serving.guard import Guard, allowed_hosts
    from trishift.serving.metrics import Metrics
    from trishift.serving.models import Served
    from trishift.serving.running import address_of, bind, run
    from trishift.serving.service import make_service

    if options.export:
        check_folder(options.export)
        site.check_target(options.export, force=options.force)
        site.check_runtime()
    elif options.force:
        raise RecipeError("--force: has no effect without --export; remove it")
    options.checkpoint.check()
    bound = None if options.export else bind(_HOST, options.port)
    path, name = options.checkpoint.fetch(), options.checkpoint.title
    examined = browser.examined(path, **import_options(options))
    obstacle = browser.obstacle(examined)
    with TemporaryDirectory(prefix="trishift-") as folder:
        models, metrics = {}, Metrics()
        if not obstacle:
            site.check_runtime()
            browser.write_browser_model(examined, path, name, Path(folder))
        elif bound is None:
            raise RecipeError(
                f"{options.checkpoint}: {obstacle[0]}, so no browser can run it; {obstacle[1]}, or leave out --export, "
                "and this machine runs it"
            )
        else:
            status(f"the browser cannot run this model: {obstacle[0]}; this machine does (or {obstacle[1]})")
            models[name] = Served(name, load_model(options))
            browser.write_server_model(examined, name, Path(folder))
        if bound is None:
            site.write_site(Path(folder), options.export)
            print(f"written: {options.export}")
            return
        service = make_service(models, limits, metrics)
        site.add_page(service, Path(folder))
        print(f"open {address_of(bound)} (Ctrl-C ends the server)", flush=True)
        guard = Guard(service, allowed_hosts(_HOST), limits.most_bytes, site.HEADERS, metrics, status)
        run(guard, bound, limits.timeout)


def _parser() -> argparse.ArgumentParser:
    parser = make_parser("demo", "Show what a model recognizes, in a web page on this machine.", EXAMPLES)
    text = "weights of any family, or an exported model, as a file, run folder, published name or address"
    parser.add_argument("weights", nargs="?", type=WeightSource, metavar="MODEL", help=f"{text}; default: {_ONLINE}")
    parser.add_argument("--checkpoint", type=WeightSource, metavar="MODEL", help="the same")
    parser.add_argument(
        "--export", type=Path, metavar="DIR", help="write the page as a folder for any web host instead"
    )
    parser.add_argument("--force", action="store_true", help="replace a page that --export has written")
    add_server(parser)
    add_framework(parser)
    add_runtime(parser)
    add_execution(parser)
    add_import_options(parser)
    add_strict(parser)
    return parser
