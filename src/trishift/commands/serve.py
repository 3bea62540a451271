"""`trishift serve`: models over HTTP, for programs."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from trishift.commands.shared.arguments import (
    add_execution,
    add_framework,
    add_import_options,
    add_protocol,
    add_runtime,
    check_positive,
)
from trishift.commands.shared.devices import AUTO, named_device
from trishift.commands.shared.inputs import check_protocol, load_model, protocol_of
from trishift.commands.shared.outputs import add_strict, status
from trishift.commands.shared.parser import make_parser
from trishift.commands.shared.servers import add_server, limits_of
from trishift.errors import RecipeError
from trishift.zoo.sources import WeightSource

if TYPE_CHECKING:
    from trishift.serving.metrics import Metrics
    from trishift.serving.models import Served

EXAMPLES = """\
  trishift serve runs/gestures-tsm
  trishift serve gestures=runs/gestures-tsm/best.safetensors kinetics=tsm-r50-8f-k400 --batch 8 --wait-ms 5
  trishift serve best.onnx --host 0.0.0.0 --port 80 --queue 64 --timeout 10
  curl --data-binary @clip.mp4 -H 'Content-Type: video/mp4' http://127.0.0.1:8000/v1/predict
"""


def main(arguments: list[str]) -> None:
    """Parse, reserve the address, load the models, serve until stopped."""
    options = _parser().parse_args(arguments)
    check_positive(options, "batch")
    if options.wait_ms < 0:
        raise RecipeError("--wait-ms must not be negative")
    limits = limits_of(options)
    if options.device != AUTO:
        options.device = named_device(options.device)  # refuses unknown ones before the work

    from trishift.serving.guard import Guard, allowed_hosts
    from trishift.serving.metrics import Metrics
    from trishift.serving.running import address_of, bind, run
    from trishift.serving.service import make_service

    sources = _named_sources(options.models)
    protocol_of(options)  # refuses unknown names before the work
    bound, metrics = bind(options.host, options.port), Metrics()
    models = {name: _served(name, source, options, metrics) for name, source in sources.items()}
    service = make_service(models, limits, metrics)
    print(f"serving {', '.join(models)} on {address_of(bound)}", flush=True)
    run(Guard(service, allowed_hosts(options.host), limits.most_bytes, {}, metrics, status), bound, limits.timeout)
    status("stopped")


def _parser() -> argparse.ArgumentParser:
    parser = make_parser("serve", "Answer HTTP requests with predictions.", EXAMPLES)
    text = "weights of any family, or an exported model, as a file, run folder, published name or address; NAME=WEIGHTS"
    parser.add_argument("models", nargs="+", metavar="MODEL", help=f"{text} sets the name in requests")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on; default: 127.0.0.1, this machine")
    add_server(parser)
    parser.add_argument("--batch", type=int, default=8, help="views per forward pass, at most; default: 8")
    parser.add_argument(
        "--wait-ms", type=float, default=0.0, help="milliseconds that an incomplete batch waits for more; default: 0"
    )
    add_framework(parser)
    add_runtime(parser)
    add_execution(parser)
    add_import_options(parser)
    add_strict(parser)
    add_protocol(parser, "one clip, center crop")
    return parser


def _named_sources(texts: list[str]) -> dict[str, WeightSource]:
    """Weights by the name in requests.

    Raises:
        RecipeError: two have the same name.
        CheckpointError: weights cannot be fetched.
    """
    sources: dict[str, WeightSource] = {}
    for text in texts:
        given, equals, rest = text.partition("=")
        source = WeightSource(rest if equals and given and not Path(text).exists() else text)
        name = given if source.text != text else source.title
        if name in sources:
            raise RecipeError(f"{text}: another model is named {name}; write NAME={text}")
        source.check()
        sources[name] = source
    return sources


def _served(name: str, source: WeightSource, options: argparse.Namespace, metrics: Metrics) -> Served:
    from trishift.serving.models import Served

    protocol = protocol_of(options)
    model = load_model(argparse.Namespace(**{**vars(options), "checkpoint": source}))
    check_protocol(model, protocol)
    status(f"{name}: {model.report.summary()}")
    served = Served(name, model, protocol, options.batch, options.wait_ms / 1000, metrics.batches.labels(name).observe)
    if served.batch < options.batch:
        status(f"{name}: its logits depend on the batch; videos are predicted one by one")
    return served
