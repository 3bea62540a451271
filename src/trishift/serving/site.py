"""The files of the page: served by the demo, or written as a site for any web host."""

from __future__ import annotations

import shutil
from pathlib import Path

from fastapi import FastAPI
from starlette.staticfiles import StaticFiles

from trishift.errors import FrameworkError, OutputError
from trishift.io.atomic import staged_together, write_text
from trishift.serving.browser import DESCRIPTION

PAGE = Path(__file__).with_name("page")
_RUNTIME = PAGE / "ort"  # written by scripts/web_assets.sh
MODEL = "model"
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
            f"the runtime for browsers is missing; in a clone of Trishift, run: bash scripts/web_assets.sh '{_RUNTIME}'"
        )


def check_target(folder: Path, *, force: bool) -> None:
    """Refuse a folder with other files than a page, or with a page unless it may be replaced.

    Raises:
        OutputError: names the remedy.
    """
    if not folder.is_dir() or not any(folder.iterdir()):
        return
    if not (folder / MODEL / DESCRIPTION).is_file():
        raise OutputError(f"{folder}: has other files than a page; name a new folder")
    if not force:
        raise OutputError(f"{folder}: has a page already; name a new folder, or replace it with --force")


def add_page(service: FastAPI, model: Path) -> None:
    """Add the page to a service, for a folder with a model; see `browser.py`."""
    service.mount(f"/{MODEL}", StaticFiles(directory=model))
    service.mount("/", StaticFiles(directory=PAGE, html=True))


def write_site(model: Path, folder: Path) -> None:
    """Write the page and a folder with a model as a folder of static files; other files in it stay.

    `_headers` is read by several web hosts; on others, set the same headers, or the model runs in one thread.

    Raises:
        OutputError: it cannot be written.
    """
    with staged_together(folder, "page") as new:
        shutil.copytree(PAGE, new, dirs_exist_ok=True)
        shutil.copytree(model, new / MODEL)
        shutil.copymode(PAGE, new / MODEL)  # the model's folder is private until now
        write_text(new / "_headers", "/*\n" + "".join(f"  {name}: {value}\n" for name, value in HEADERS.items()))
