"""The HTTP service: prediction, health, metrics and OpenAPI."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import Annotated, Any

import anyio
from fastapi import FastAPI, HTTPException, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from prometheus_client import CONTENT_TYPE_LATEST
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import JSONResponse

from trishift.errors import DataError, TrishiftError, shortened
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


class _Options(BaseModel):
    """The query of a prediction."""

    model_config = ConfigDict(extra="forbid")

    model: str | None = Field(None, description="name of the model; default: the first one")
    top_k: int = Field(5, ge=1, description="classes in the answer, the likeliest first")
    logits: bool = Field(False, description="whether to add the logits of all classes")


class Problem(BaseModel):
    """The body of every refusal."""

    detail: str


_REFUSALS: dict[int | str, dict[str, Any]] = {
    status: {"model": Problem} for status in (400, 403, 404, 408, 413, 415, 422, 429, 500, 504)
}


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

    @service.exception_handler(RequestValidationError)
    async def refuse_query(request: Request, error: RequestValidationError) -> Response:
        return JSONResponse({"detail": _explained(error.errors()[0])}, 422)

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

    @service.post("/v1/predict", openapi_extra={"requestBody": BODY}, responses=_REFUSALS)
    async def predict(request: Request, options: Annotated[_Options, Query()]) -> dict[str, Any]:
        """Predict the classes of a video, or of frames."""
        served = _named(models, options.model)
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
        return served.answer(scores, options.top_k, options.logits)

    return service


def _explained(error: Mapping[str, Any]) -> str:
    """One line about a wrong parameter of a query."""
    name = str(error["loc"][-1])
    if error["type"] == "extra_forbidden":
        return f"parameter {shortened(repr(name))} is unknown{one_of(name, _Options.model_fields)}"
    reason = str(error["msg"]).replace("Input should be", "must be").partition(", unable")[0]
    return f"parameter {name}: {reason}, not {shortened(repr(error['input']))}"


def _named(models: Mapping[str, Served], name: str | None) -> Served:
    if not models:
        raise HTTPException(404, "this server has no model; the browser runs it")
    if name is None:
        return next(iter(models.values()))
    if name not in models:
        raise HTTPException(404, f"model {name!r} is unknown{one_of(name, models)}")
    return models[name]
