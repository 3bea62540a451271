"""Arguments and checks that `serve` and `demo` share."""

from __future__ import annotations

import argparse
from importlib.util import find_spec
from typing import TYPE_CHECKING

from trishift.commands.shared.arguments import check_positive
from trishift.errors import FrameworkError, RecipeError, install_hint

if TYPE_CHECKING:
    from trishift.serving.service import Limits

_PACKAGES = ("fastapi", "uvicorn", "python_multipart", "prometheus_client")
_HIGHEST_PORT = 65_535


def add_server(parser: argparse.ArgumentParser) -> None:
    """Add `--port` and the bounds of a server."""
    group = parser.add_argument_group("server")
    group.add_argument("--port", type=int, default=8000, help="default: 8000; 0: any free one")
    group.add_argument(
        "--queue", type=int, default=32, metavar="N", help="predictions in progress; more get status 429; default: 32"
    )
    group.add_argument("--timeout", type=float, default=30.0, help="seconds per prediction; default: 30")
    group.add_argument("--max-mb", type=float, default=64.0, metavar="MIB", help="largest upload in MiB; default: 64")
    group.add_argument("--workers", type=int, default=2, help="threads that decode videos; default: 2")
    group.add_argument(
        "--allow-urls", action="store_true", help='fetch videos from any address in a request: {"url": "https://..."}'
    )


def limits_of(options: argparse.Namespace) -> Limits:
    """The bounds in the arguments.

    Raises:
        FrameworkError: a package of the server is not installed.
        RecipeError: a bound is not positive.
    """
    missing = next((name for name in _PACKAGES if find_spec(name) is None), None)
    if missing is not None:
        raise FrameworkError(f"{missing} is not installed; {install_hint('serve')}")
    check_positive(options, "queue", "workers")
    if not 0 <= options.port <= _HIGHEST_PORT:
        raise RecipeError(f"--port {options.port}: must be 0 to {_HIGHEST_PORT}")
    for name in ("timeout", "max_mb"):
        if not getattr(options, name) > 0:
            raise RecipeError(f"--{name.replace('_', '-')} must be positive, not {getattr(options, name):g}")

    from trishift.serving.service import Limits

    most_bytes = int(options.max_mb * 2**20)
    return Limits(options.queue, options.timeout, most_bytes, options.workers, options.allow_urls)
