"""Objects in stores and on web servers, by address, through fsspec.

A `Path` cannot hold the two slashes of an address: `s3://bucket/key` becomes `s3:/bucket/key`, which is recognized here
and nowhere else, and spelled with both slashes in messages (see `errors`).
"""

from __future__ import annotations

import asyncio
import importlib
import importlib.util
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeout
from functools import cache, partial
from pathlib import Path
from typing import Any, TypeVar

from trishift.errors import DataError, TrishiftError, brief, install_hint, spelled_addresses
from trishift.io.storage.block_cache import BlockCache, configured_cache
from trishift.io.storage.ranges import Ranges
from trishift.io.storage.settings import positive

PACKAGES = {  # scheme: the package that fsspec needs for it
    "s3": "s3fs",
    "gs": "gcsfs",
    "az": "adlfs",
    "http": "aiohttp",
    "https": "aiohttp",
    "hf": "huggingface_hub",
}
_SIZE = 2**25  # bytes of a file for which the store has another timeout
_ATTEMPTS, _PAUSE = 3, 0.5  # the pause in seconds doubles with each attempt
_CREDENTIALS = {
    "s3": "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE",
    "gs": "run gcloud auth application-default login, or set GOOGLE_APPLICATION_CREDENTIALS",
    "az": "set AZURE_STORAGE_ACCOUNT_NAME and AZURE_STORAGE_ACCOUNT_KEY",
    "hf": "run hf auth login, or set HF_TOKEN",
    **dict.fromkeys(("http", "https"), "write user and password into ~/.netrc or into the address"),
}
_WEB: dict[str, Any] = {"client_kwargs": {"trust_env": True}}  # ~/.netrc and proxies
_OPTIONS: dict[str, dict[str, Any]] = {  # of file systems
    "s3": {"config_kwargs": {"retries": {"max_attempts": 1}}},  # see `requested`
    "http": _WEB,
    "https": _WEB,
}
_READING: dict[str, dict[str, Any]] = {"hf": {"cache_type": "none"}}  # nothing beyond the range
_VERSION = ("ETag", "etag", "blob_id", "LastModified", "mtime")  # of an object, by what stores call it
_Result = TypeVar("_Result")


class MissingObject(DataError):
    """There is no object at an address."""


class FolderObject(DataError):
    """What is at an address is a folder."""


class RemoteFile(Ranges):
    """An object.

    Args:
        address: its address, with both slashes.
        size: number of bytes.
        version: changes with the content, if the store has something like that.
    """

    def __init__(self, address: str, size: int, version: str) -> None:
        self.name, self.size = address, size
        self.identity = (address, size, version)
        self._cache: BlockCache | None = configured_cache()

    @classmethod
    def of(cls, path: str | Path) -> RemoteFile:
        """The object at an address.

        Raises:
            MissingObject: it does not exist.
            DataError: it is a folder or cannot be reached; the message says why and what to do.
        """
        address = spelled_addresses(path)
        _refuse_keys(address)
        return cls.described(address, requested(address, lambda: call(address, "info")))

    @classmethod
    def described(cls, address: str, info: Mapping[str, Any]) -> RemoteFile:
        """The object at an address, whose description is known.

        Raises:
            FolderObject: it is a folder.
            DataError: the description has no size.
        """
        if info.get("type") == "directory":
            raise FolderObject(f"{address}: is a folder in a store, not a file; name the files in it")
        if info.get("size") is None:
            raise DataError(f"{address}: the server does not tell the size; download the file")
        version = next((str(info[key]) for key in _VERSION if info.get(key)), "")
        return cls(address, int(info["size"]), version)

    def read(self, start: int, end: int) -> bytes:
        """See `Ranges`; a connection that is cut is tried again."""
        if start == end:
            return b""
        if self._cache is not None:
            return self._cache.get((*self.identity, start, end), lambda: self._fetch(start, end))
        return self._fetch(start, end)

    def _fetch(self, start: int, end: int) -> bytes:
        def attempt() -> bytes:
            data: bytes = call(self.name, "cat_file", start=start, end=end, **_READING.get(_scheme(self.name), {}))
            if len(data) == self.size > end - start:  # a server without ranges
                return data[start:end]
            if len(data) != end - start:
                raise ConnectionError(f"{len(data):,} of {end - start:,} bytes arrived")
            return data

        return requested(self.name, attempt)


def timeout() -> float:
    """Seconds that a store may take to answer a request: `TRISHIFT_REMOTE_TIMEOUT`, or 30."""
    return positive("TRISHIFT_REMOTE_TIMEOUT", 30)


@cache
def _filesystem(scheme: str) -> Any:
    package = PACKAGES[scheme]
    if any(importlib.util.find_spec(name) is None for name in ("fsspec", package)):
        raise DataError(f"{scheme}://: needs the package {package}; {install_hint('remote')}")
    fsspec = importlib.import_module("fsspec")
    filesystem = fsspec.filesystem(scheme, use_listings_cache=False, **_OPTIONS.get(scheme, {}))
    if hasattr(filesystem, "retries"):
        filesystem.retries = 1
    return filesystem


def _refuse_keys(address: str) -> None:
    """Refuse keys in the address of an object, which no store reads: they would be taken for the bucket's name."""
    scheme, _, rest = address.partition("://")
    if scheme.lower() not in ("http", "https", "hf") and "@" in rest.partition("/")[0]:
        raise DataError(
            f"{address}: had keys before the bucket, which are not read there; {_CREDENTIALS[scheme.lower()]}"
        )


def key_of(address: str) -> str:
    """The name by which the address's file system knows an object."""
    return str(_filesystem(_scheme(address))._strip_protocol(address))


def call(address: str, method: str, *, local: Path | None = None, size: int = 0, **arguments: Any) -> Any:
    """Call a method of the address's file system, for as long as a request may take.

    Args:
        address: of the object or folder.
        method: its name in fsspec.
        local: a file that is sent, of `size` bytes, which may take longer.
        size: see there.
        arguments: of the method.
    """
    filesystem = _filesystem(_scheme(address))
    places = (*([] if local is None else [str(local)]), filesystem._strip_protocol(address))
    allowed = timeout() * (1 + size / _SIZE)
    future: Future[Any]
    if getattr(filesystem, "async_impl", False):
        coroutine = getattr(filesystem, f"_{method}")(*places, **arguments)
        future = asyncio.run_coroutine_threadsafe(coroutine, filesystem.loop)
    else:
        future = _begun(partial(getattr(filesystem, method), *places, **arguments))
    try:
        return future.result(allowed)
    except FutureTimeout:
        future.cancel()
        raise TimeoutError(f"no answer within {allowed:g} s") from None


def _begun(work: Callable[[], Any]) -> Future[Any]:
    """The result of a function that another thread calls; one that never returns keeps no process from its end."""
    future: Future[Any] = Future()
    future.set_running_or_notify_cancel()

    def run() -> None:
        try:
            future.set_result(work())
        except BaseException as error:
            future.set_exception(error)

    threading.Thread(target=run, daemon=True).start()
    return future


def _scheme(address: str) -> str:
    return address.partition("://")[0].lower()


def requested(
    address: str, request: Callable[[], _Result], *, right: str = "read", missing: Callable[[], _Result] | None = None
) -> _Result:
    """The answer to a request, which is repeated if it fails for a passing reason.

    Args:
        address: what is asked for, for errors.
        request: asks.
        right: what is done with it: read or write.
        missing: makes the answer if nothing is there; None: that is an error.

    Raises:
        MissingObject: nothing is there.
        DataError: it fails for good; the message names the reason and the remedy.
    """
    reason = ""
    for attempt in range(_ATTEMPTS):
        if attempt:
            time.sleep(_PAUSE * 2 ** (attempt - 1))
        try:
            return request()
        except TrishiftError:
            raise
        except Exception as error:
            cause = _cause(address, error)
            if missing is not None and _is_missing(cause):
                return missing()
            _refuse(address, cause, right)
            reason = brief(cause)
    raise DataError(f"{address}: {_ATTEMPTS} attempts failed: {reason}; check network and store, then try again")


def _cause(address: str, error: Exception) -> BaseException:
    """What went wrong; fsspec reports whatever a web server answers as a missing file."""
    is_wrapped = address.lower().startswith("http") and isinstance(error, FileNotFoundError)
    return error.__cause__ or error if is_wrapped else error


def _status(error: BaseException) -> int | None:
    """The status of the answer that an error is about."""
    return getattr(error, "status", None) or getattr(getattr(error, "response", None), "status_code", None)


def _is_missing(error: BaseException) -> bool:
    return isinstance(error, FileNotFoundError) or _status(error) == 404


def _refuse(address: str, error: BaseException, right: str) -> None:
    """Raise a DataError for an answer that another attempt would not change."""
    remedy, status = _CREDENTIALS[_scheme(address)], _status(error)
    if _is_missing(error):
        if type(error.__cause__).__name__ == "RepositoryNotFoundError":  # so the hub also calls what is private
            raise MissingObject(f"{address}: does not exist, or is private; check the address, or {remedy}") from None
        raise MissingObject(f"{address}: does not exist; check the address") from None
    if _scheme(address) == "hf" and isinstance(error, ValueError):  # a malformed name
        raise DataError(f"{address}: {brief(error)}; write hf://datasets/OWNER/NAME/FILE") from None
    if "Credential" in type(error).__name__ or "credentials" in str(error).lower():
        raise DataError(f"{address}: no credentials were found ({brief(error)}); {remedy}") from None
    if isinstance(error, PermissionError) or status in (401, 403):
        reason = f"access is denied ({status or 403}: {brief(error)})"
        raise DataError(f"{address}: {reason}; ask for the right to {right} it, or {remedy}") from None
