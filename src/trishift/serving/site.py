"""The files of the page: served by the demo, or written as a site for any web host."""

from __future__ import annotations

import shutil
from pathlib import Path

from fastapi import FastAPI
from starlette.staticfiles import StaticFiles

from trishift.errors import FrameworkError
from trishift.io.atomic import staged, write_text

PAGE = Path(__file__).with_name("page")
_RUNTIME = PAGE / "ort"  # written by scripts/web_assets.sh
_MODEL = "model"
HEADERS = {
    # Both let a page share memory between threads.
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Embedder-Policy": "require-corp",
    "Content-Security-Policy": "default-src 'self'; script-src 'self' 'wasm-unsafe-eval'; worker-src 'self' blob:; "
    "style-src 'self' 'unsafe-inline'; img-src 'self' data:; media-src 'self' blob:; frame-ancestors 'self'",
}


def check_runtime() -> None:
    """Refuse to show a page that could not run a model.

    Raises:
        FrameworkError: the runtime for browsers is missing.
    """
    if not (_RUNTIME / "VERSION").is_file():
        raise FrameworkError(
            "the runtime for browsers is missing; in the Trishift repository, run: bash scripts/web_assets.sh"
        )


def add_page(service: FastAPI, model: Path) -> None:
    """Add the page to a service, for a folder with a model; see `browser.py`."""
    service.mount(f"/{_MODEL}", StaticFiles(directory=model))
    service.mount("/", StaticFiles(directory=PAGE, html=True))


def write_site(model: Path, folder: Path) -> None:
    """Write the page and a folder with a model as a new folder of static files.

    `_headers` is read by several web hosts; on others, set the same headers, or the model runs in one thread.

    Raises:
        OutputError: it cannot be written.
    """
    with staged(folder) as new:
        shutil.copytree(PAGE, new)
        shutil.copytree(model, new / _MODEL)
        shutil.copymode(new, new / _MODEL)  # the model's folder is private until now
        write_text(new / "_headers", "/*\n" + "".join(f"  {name}: {value}\n" for name, value in HEADERS.items()))
