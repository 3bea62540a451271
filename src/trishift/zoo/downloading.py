"""Downloads that resume: the HTTP downloader that pooch uses here, which keeps what a broken attempt has received."""

from __future__ import annotations

import errno
import json
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit
from urllib.request import url2pathname

from trishift.errors import CheckpointError, without_secrets
from trishift.io.atomic import staged, write_text
from trishift.io.progress import track_bytes
from trishift.io.regular import check_regular
from trishift.zoo.home import HomeError

if TYPE_CHECKING:
    import requests

_ATTEMPTS = 4  # without a single new byte
_PAUSE = 1.0  # seconds after the first failure; doubles with each
_LONGEST_PAUSE = 60.0  # seconds that a server may ask for with Retry-After
_TIMEOUT = (10.0, 30.0)  # seconds to connect, and between bytes
_CHUNK = 2**14  # bytes; what has arrived of a chunk is lost if the connection is cut
_TEMPORARY = (408, 425, 429, 500, 502, 503, 504)


class DownloadError(CheckpointError):
    """An address that gives no file; the text is the reason, without the address."""


def download(url: str, target: Path, check: Callable[[Path], object]) -> None:
    """Download an address (http, https or file) to a new file, which appears complete and checked or not at all.

    An interrupted download is continued by the next call, if the server can tell that its file has not changed.

    Args:
        url: the address.
        target: the new file, in an existing folder.
        check: gets the complete file before it moves to `target`; raises if it must not.

    Raises:
        DownloadError: the server does not answer, or not with the file.
        HomeError: the file cannot be written.
    """
    import pooch

    pooch.get_logger().setLevel("WARNING")  # it would print the hash and advice on it
    with staged(target) as new:
        if urlsplit(url).scheme == "file":
            _copy(url, new)
        else:
            downloader = ResumingDownloader(part_of(target))
            pooch.retrieve(url, known_hash=None, fname=new.name, path=new.parent, downloader=downloader)
        check(new)


def part_of(target: Path) -> Path:
    """The file that keeps what has arrived of an unfinished download."""
    return target.with_name(f".part-{target.name}")


def _copy(url: str, new: Path) -> None:
    source = Path(url2pathname(urlsplit(url).path))
    try:
        check_regular(source)
        content = source.open("rb")
    except OSError as error:
        raise DownloadError((error.strerror or str(error)).lower()) from None
    with content, new.open("xb") as file:
        shutil.copyfileobj(content, file)


class ResumingDownloader:
    """A downloader in pooch's sense. It fills a file that outlives it, and moves it to the output when complete.

    Args:
        part: the file for what has arrived; its note beside it says from where.
    """

    def __init__(self, part: Path) -> None:
        self._part = part
        self._note = part.with_name(f"{part.name}.json")

    def __call__(self, url: str, output_file: str, pooch: Any) -> None:
        """Download `url` to `output_file`; `pooch` is not used."""
        import requests

        failures = 0
        while True:
            before = self._size()
            try:
                self._receive(url)
                break
            except (_Temporary, requests.exceptions.RequestException) as error:
                problem, pause = _temporary(error)
            failures = 1 if self._size() > before else failures + 1
            if failures == _ATTEMPTS:
                raise DownloadError(f"{problem}{self._progress()}")
            time.sleep(max(pause, _PAUSE * 2 ** (failures - 1)))
        self._part.replace(output_file)
        self._note.unlink(missing_ok=True)

    def _receive(self, url: str) -> None:
        """Request what is missing, and append it."""
        import requests

        start, validator = self._resumable(url)
        headers = {"Accept-Encoding": "identity"}
        if start:
            headers |= {"Range": f"bytes={start}-", "If-Range": validator}
        with requests.get(url, headers=headers, stream=True, timeout=_TIMEOUT) as response:
            start = self._accepted(url, response, start, validator)
            total = _total(response, start)
            self._require_space(total, start)
            try:
                self._store(url, response, start, total)
            except OSError as error:
                if error.errno in (errno.ENOSPC, errno.EDQUOT):
                    raise self._full() from error
                raise
        if total is not None and self._size() != total:
            raise _Temporary(f"{self._size():,} of {total:,} bytes arrived")

    def _store(self, url: str, response: requests.Response, start: int, total: int | None) -> None:
        if not start:
            self._note.unlink(missing_ok=True)  # first, so that no note describes another file's bytes
        shown = without_secrets(url)
        with (
            self._part.open("ab" if start else "wb") as file,
            track_bytes(start, total, f"downloading {shown}") as count,
        ):
            if not start:
                write_text(self._note, json.dumps({"url": shown, "validator": _validator(response)}))
            for chunk in response.iter_content(_CHUNK):
                file.write(chunk)
                count(len(chunk))

    def _resumable(self, url: str) -> tuple[int, str]:
        """Bytes that are there already, and the server's mark of the version they belong to."""
        try:
            note = json.loads(self._note.read_text(encoding="utf-8"))
            same, validator = note["url"] == without_secrets(url), note["validator"]
        except (OSError, ValueError, KeyError, TypeError):
            return 0, ""
        return (self._size(), validator) if same and isinstance(validator, str) else (0, "")

    def _accepted(self, url: str, response: requests.Response, start: int, validator: str) -> int:
        """Check an answer; returns the number of bytes it continues after."""
        status = response.status_code
        if status == 416:  # the part is longer than the file
            self._note.unlink(missing_ok=True)
            raise _Temporary("the server's file has changed")
        if status in _TEMPORARY:
            raise _busy(response)
        if status not in (200, 206):
            raise DownloadError(f"the server answers {status} {response.reason}")
        plain = [hop.url for hop in (*response.history, response) if urlsplit(hop.url).scheme != "https"]
        if plain and urlsplit(url).scheme == "https":
            raise DownloadError(f"it redirects to an unencrypted address, {plain[0]}")
        if response.headers.get("Content-Type", "").startswith("text/html"):
            raise DownloadError("the server sends a web page instead of a file: the link is dead or requires a login")
        if status == 200:
            return 0
        if not response.headers.get("Content-Range", "").startswith(f"bytes {start}-"):
            self._note.unlink(missing_ok=True)
            raise _Temporary("the server sends other bytes than requested")
        if _validator(response) not in (validator, None):  # it knows ranges, but not If-Range
            self._note.unlink(missing_ok=True)
            raise _Temporary("the server's file has changed")
        return start

    def _require_space(self, total: int | None, start: int) -> None:
        if total is not None and shutil.disk_usage(self._part.parent).free < total - start:
            raise self._full(total - start)

    def _full(self, needed: int | None = None) -> HomeError:
        more = "" if needed is None else f" for {needed / 2**20:,.0f} MB more"
        return HomeError(
            f"{self._part.parent}: no space left on the disk{more}; free some, or set TRISHIFT_HOME to a folder on "
            f"another disk{self._progress()}"
        )

    def _progress(self) -> str:
        """The end of an error: how much of the file is kept."""
        return f"; the next call continues after {self._size():,} bytes" if self._size() else ""

    def _size(self) -> int:
        return self._part.stat().st_size if self._part.is_file() else 0


class _Temporary(Exception):
    """A failure after which another attempt may succeed, not before `pause` seconds."""

    def __init__(self, problem: str, pause: float = 0.0) -> None:
        super().__init__(problem)
        self.pause = pause


def _temporary(error: Exception) -> tuple[str, float]:
    """What failed, and for how many seconds the server asks to wait.

    Raises:
        DownloadError: another attempt would not help.
    """
    from requests import exceptions

    if isinstance(error, _Temporary):
        return str(error), error.pause
    reason = _reason(error)
    if isinstance(error, exceptions.SSLError):
        raise DownloadError(
            f"its certificate is not trusted ({reason}); if the server or your proxy has a certificate of its own, set "
            "REQUESTS_CA_BUNDLE to that file"
        ) from None
    if isinstance(error, exceptions.ProxyError):
        return f"the proxy failed ({reason}); check HTTP_PROXY and HTTPS_PROXY", 0.0
    if isinstance(error, exceptions.ConnectionError | exceptions.Timeout):
        return f"the connection failed ({reason})", 0.0
    if isinstance(error, exceptions.ChunkedEncodingError | exceptions.ContentDecodingError):
        return f"the connection was cut ({reason})", 0.0
    raise DownloadError(reason) from None


def _busy(response: requests.Response) -> Exception:
    """The error of a server that cannot answer now, with the pause it asks for."""
    from urllib3.exceptions import InvalidHeader
    from urllib3.util import Retry

    problem = f"the server answers {response.status_code} {response.reason}"
    try:
        pause = float(Retry().parse_retry_after(response.headers.get("Retry-After", "0")))
    except InvalidHeader:
        pause = 0.0
    if pause > _LONGEST_PAUSE:
        return DownloadError(f"{problem} and asks to wait {pause:,.0f} s")
    return _Temporary(problem, pause)


def _validator(response: requests.Response) -> str | None:
    """What identifies the version of a file on its server; None if an interrupted download must start again."""
    tag = response.headers.get("ETag", "")
    if response.headers.get("Content-Encoding", "identity") != "identity":
        return None  # ranges would count compressed bytes
    return tag if tag and not tag.startswith("W/") else response.headers.get("Last-Modified")


def _total(response: requests.Response, start: int) -> int | None:
    """Size of the whole file, if the server states it."""
    if response.headers.get("Content-Encoding", "identity") != "identity":
        return None  # the length of the compressed bytes, which urllib3 checks
    length = response.headers.get("Content-Length", "")
    return start + int(length) if length.isdecimal() else None


def _reason(error: BaseException) -> str:
    """The innermost cause of an error in one line."""
    while inner := getattr(error, "reason", None) or next((a for a in error.args if isinstance(a, Exception)), None):
        if not isinstance(inner, BaseException):
            break
        error = inner
    return " ".join(str(error).split())[:200] or type(error).__name__
