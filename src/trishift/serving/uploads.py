"""Videos and frames in the bodies of requests, saved to files that are read like any others."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from urllib.parse import urlsplit

import requests
from fastapi import HTTPException, Request
from PIL import Image
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import UploadFile
from starlette.types import Message

from trishift.errors import brief, without_secrets
from trishift.io.npz import read_npz

_ARRAY = "application/x-npz"
_FRAME = "img_{:05d}"
_MOST_FRAMES = 1000
_CHUNK = 2**20
_SECONDS_OF_SILENCE = 10
_TYPES = f"send video/*, application/octet-stream, {_ARRAY} or multipart/form-data (curl: -H 'Content-Type: video/mp4')"
BODY: dict[str, Any] = {  # for OpenAPI
    "required": True,
    "content": {
        "video/*": {"schema": {"type": "string", "format": "binary"}},
        "application/octet-stream": {"schema": {"type": "string", "format": "binary"}},
        _ARRAY: {"schema": {"type": "string", "format": "binary", "description": "frames: (T, H, W, 3) uint8 RGB"}},
        "multipart/form-data": {
            "schema": {
                "type": "object",
                "properties": {
                    "video": {"type": "string", "format": "binary"},
                    "frames": {"type": "array", "items": {"type": "string", "format": "binary"}},
                },
            }
        },
        "application/json": {"schema": {"type": "object", "properties": {"url": {"type": "string"}}}},
    },
}


@asynccontextmanager
async def saved(request: Request, most_bytes: int, allow_urls: bool) -> AsyncIterator[Path]:
    """Yield the video file or the folder of frames of a request, in a temporary folder with a random name.

    No name from the request becomes part of a path.

    Raises:
        HTTPException: 400 malformed form, 413 body too large, 415 unsupported type, 422 no video or frames in it.
    """
    with TemporaryDirectory(prefix="trishift-") as folder:
        yield await _save(request, Path(folder), most_bytes, allow_urls)


async def _save(request: Request, folder: Path, most_bytes: int, allow_urls: bool) -> Path:
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    request = _bounded(request, most_bytes)
    if kind == "multipart/form-data":
        return await _save_form(request, folder)
    if kind.startswith("video/") or kind in ("application/octet-stream", _ARRAY):
        file = folder / "body"
        with file.open("xb") as target:
            async for chunk in request.stream():
                target.write(chunk)
        return await run_in_threadpool(_unpacked, file, most_bytes) if kind == _ARRAY else file
    if kind == "application/json":
        if not allow_urls:
            raise HTTPException(415, "addresses are not fetched; start the server with --allow-urls, or send the video")
        return await run_in_threadpool(_fetched, await _address(request), folder / "body", most_bytes)
    problem = f"content type {kind!r} is not supported" if kind else "the request has no content type"
    raise HTTPException(415, f"{problem}; {_TYPES}")


def _bounded(request: Request, most_bytes: int) -> Request:
    """The same request, whose body may not be larger."""
    declared = request.headers.get("content-length", "0")
    received = 0

    def check(size: int) -> None:
        if size > most_bytes:
            raise HTTPException(413, f"the body is larger than {most_bytes / 2**20:g} MiB; send a shorter video")

    async def receive() -> Message:
        nonlocal received
        message = await request.receive()
        received += len(message.get("body", b""))
        check(received)
        return message

    check(int(declared) if declared.isdecimal() else 0)
    return Request(request.scope, receive)


async def _save_form(request: Request, folder: Path) -> Path:
    """Save the field `video`, or the fields `frames` in their order."""
    async with request.form(max_files=_MOST_FRAMES, max_fields=10) as form:
        videos, frames = (
            [file for file in form.getlist(name) if isinstance(file, UploadFile)] for name in ("video", "frames")
        )
        if len(videos) == 1 and not frames:
            return await run_in_threadpool(_copied, videos[0], folder / "body")
        if videos or not frames:
            raise HTTPException(422, "form: send one file as video, or pictures as frames")
        for place, frame in enumerate(frames):
            await run_in_threadpool(_copied, frame, folder / f"{_FRAME.format(place)}.jpg")
        return folder


def _copied(file: UploadFile, path: Path) -> Path:
    with path.open("xb") as target:
        shutil.copyfileobj(file.file, target)
    return path


def _unpacked(file: Path, most_bytes: int) -> Path:
    """Unpack an array to pictures without loss."""
    try:
        [frames] = read_npz(file, ["frames"])
    except ValueError as error:
        raise HTTPException(422, f"array: {error}; send numpy.savez_compressed(file, frames=frames)") from None
    if frames.dtype != "uint8" or frames.ndim != 4 or frames.shape[3] != 3 or not 0 < len(frames) <= _MOST_FRAMES:
        raise HTTPException(
            422, f"array: frames must be 1 to {_MOST_FRAMES} of (T, H, W, 3) uint8, not {frames.shape} {frames.dtype}"
        )
    folder = file.with_name("frames")
    folder.mkdir()
    for place, frame in enumerate(frames):
        Image.fromarray(frame).save(folder / f"{_FRAME.format(place)}.bmp")
    return folder


async def _address(request: Request) -> str:
    try:
        address = (await request.json())["url"]
        if urlsplit(address).scheme in ("http", "https"):
            return str(address)
    except (ValueError, TypeError, KeyError, AttributeError):
        pass
    raise HTTPException(422, 'address: send {"url": "https://..."}')


def _fetched(address: str, path: Path, most_bytes: int) -> Path:
    try:
        with requests.get(address, stream=True, timeout=_SECONDS_OF_SILENCE) as response, path.open("xb") as target:
            response.raise_for_status()
            for chunk in response.iter_content(_CHUNK):
                target.write(chunk)
                if target.tell() > most_bytes:
                    raise HTTPException(413, f"{without_secrets(address)}: is larger than {most_bytes / 2**20:g} MiB")
    except requests.RequestException as error:
        raise HTTPException(422, f"{without_secrets(address)}: cannot be fetched ({brief(error)})") from None
    return path
