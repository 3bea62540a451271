"""The HTTP service: prediction, health, metrics and OpenAPI."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import Any

import anyio
from fastapi import FastAPI, HTTPException, Query, Request, Response
from prometheus_client import CONTENT_TYPE_LATEST

from trishift.errors import DataError, TrishiftError
from trishift.io.wording import one_of
from trishift.serving.metrics import Metrics
from trishift.serving.models import Served
from trishift.serving.uploads import BODY, saved
from trishift.version import __version__


@dataclass(frozen=True)
class Limits:
    """Bounds of the service.

    Attributes:
        queue: predictions in progress, from the first byte of a request to its answer.
        timeout: seconds for one of them.
        most_bytes: of a body.
        workers: threads that decode videos.
        allow_urls: whether to fetch videos from addresses in requests.
    """

    queue: int = 32
    timeout: float = 30.0
    most_bytes: int = 64 * 2**20
    workers: int = 2
    allow_urls: bool = False


class _Places:
    """The places of a bounded queue."""

    def __init__(self, count: int, metrics: Metrics) -> None:
        self._count, self._taken = count, 0
        metrics.in_progress.set_function(lambda: self._taken)

    @contextmanager
    def one(self) -> Iterator[None]:
        """Take a place; raises HTTPException 429 if there is none."""
        if self._taken >= self._count:
            raise HTTPException(429, f"{self._count} predictions are in progress; retry", {"Retry-After": "1"})
        self._taken += 1
        try:
            yield
        finally:
            self._taken -= 1


def make_service(models: Mapping[str, Served], limits: Limits, metrics: Metrics) -> FastAPI:
    """The application.

    Args:
        models: name to model; the first one is the default.
        limits: bounds.
        metrics: of this server.
    """
    places, decoders = _Places(limits.queue, metrics), ThreadPoolExecutor(limits.workers, "decoder")

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        yield
        decoders.shutdown(wait=False, cancel_futures=True)
        for served in models.values():
            served.close()

    # The pages of FastAPI's documentation load scripts from elsewhere.
    service = FastAPI(title="Trishift", version=__version__, docs_url=None, redoc_url=None, lifespan=lifespan)

    @service.get("/health")
    async def health() -> dict[str, Any]:
        """Whether the server answers."""
        return {"status": "ok", "version": __version__, "models": list(models)}

    @service.get("/metrics")
    async def show_metrics() -> Response:
        """Metrics for Prometheus."""
        return Response(metrics.text(), media_type=CONTENT_TYPE_LATEST)

    @service.get("/v1/models")
    async def list_models() -> list[dict[str, Any]]:
        """Models, their classes and input."""
        return [served.describe() for served in models.values()]

    @service.post("/v1/predict", openapi_extra={"requestBody": BODY})
    async def predict(
        request: Request, model: str | None = None, top_k: int = Query(5, ge=1), logits: bool = False
    ) -> dict[str, Any]:
        """Predict the classes of a video, or of frames."""
        served = _named(models, model)
        step, code = "the upload", 408
        with places.one(), metrics.seconds.time():
            try:
                with anyio.fail_after(limits.timeout):
                    async with saved(request, limits.most_bytes, limits.allow_urls) as path:
                        step, code = "the prediction", 504
                        clips = await asyncio.get_running_loop().run_in_executor(decoders, served.read, path)
                    scores = await asyncio.wrap_future(served.submit(clips))
            except TimeoutError:
                raise HTTPException(code, f"{step} took longer than {limits.timeout:g} s") from None
            except DataError as error:
                raise HTTPException(422, str(error)) from None
            except TrishiftError as error:
                raise HTTPException(500, str(error)) from None
        return served.answer(scores, top_k, logits)

    return service


def _named(models: Mapping[str, Served], name: str | None) -> Served:
    if not models:
        raise HTTPException(404, "this server has no model; the browser runs it")
    if name is None:
        return next(iter(models.values()))
    if name not in models:
        raise HTTPException(404, f"model {name!r} is unknown{one_of(name, models)}")
    return models[name]
