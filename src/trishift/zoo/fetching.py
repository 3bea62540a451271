"""From addresses to a verified local file: download what is missing, check its hash, pin what has none."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from hashlib import sha256 as hash_of
from pathlib import Path, PurePosixPath
from urllib.parse import unquote, urlsplit

from trishift.checkpoints.files import (
    first_bytes,
    foreign_calls,
    is_archive,
    open_weights,
    refuse_other_things,
    sha256,
)
from trishift.errors import CheckpointError, without_secrets
from trishift.zoo.archives import unpack, weights_in
from trishift.zoo.downloading import DownloadError, download
from trishift.zoo.home import claimed, home, is_offline, key_of, mirror, read_sums, record_sum
from trishift.zoo.published import Published, matching

_LOG = logging.getLogger(__name__)
_SHA256_DIGITS = 64


@dataclass(frozen=True)
class Wanted:
    """A file to have.

    Attributes:
        name: its name in messages: a published name or an address.
        target: where it belongs, below the home folder.
        urls: addresses, tried in order.
        sha256: its hash, or the first digits of it; empty if unknown.
        published: whether mirrors and bundles may have it.
        page: web page that has the file for browsers only.
    """

    name: str
    target: Path
    urls: tuple[str, ...]
    sha256: str = ""
    published: bool = False
    page: str | None = None

    @property
    def remedy(self) -> str:
        """How to bring the file without its addresses."""
        place = f"put the file at {self.target}"
        return f"{place}, set TRISHIFT_MIRROR, or use `trishift models --from-bundle`" if self.published else place


def wanted_published(entry: Published) -> Wanted:
    """The file of a published name; a mirror comes before its publisher."""
    start = mirror()
    mirrored = (f"{start}{entry.name}/{entry.file}",) if start else ()
    target = home() / "weights" / entry.name / entry.file
    return Wanted(entry.name, target, (*mirrored, *(entry.urls or ())), entry.sha256, True, entry.page)


def wanted_address(address: str) -> Wanted:
    """The file of an `https://` or `http://` address, which may end in `#sha256=HASH`.

    Passwords and tokens neither name it nor determine its place, so a new token finds the same file.

    Raises:
        CheckpointError: the address has no host or no file name, or its hash is none.
    """
    url, digest = split_hash(address)
    name = PurePosixPath(unquote(urlsplit(url).path)).name
    if not urlsplit(url).hostname or not name or name in (".", ".."):
        raise CheckpointError(f"{address}: names no file; give the address of a weight file")
    return Wanted(without_secrets(address), address_folder(url) / name, (url,), digest)


def split_hash(address: str) -> tuple[str, str]:
    """Split `ADDRESS#sha256=HASH` into the address and the hash, which is empty if there is none.

    Raises:
        CheckpointError: the part after # is no hash.
    """
    rest, _, fragment = address.partition("#")
    digest = fragment.removeprefix("sha256=").lower()
    if fragment and (digest == fragment.lower() or not is_hash(digest)):
        raise CheckpointError(f"{address}: the part after # must be sha256= and 8 to 64 hexadecimal digits")
    return rest, digest


def address_folder(address: str) -> Path:
    """The folder for the file of an address."""
    return home() / "addresses" / hash_of(without_secrets(address).encode()).hexdigest()[:16]


def is_hash(text: str) -> bool:
    """Whether a text is a SHA-256 in hexadecimal digits, or its first 8 or more."""
    return 8 <= len(text) <= _SHA256_DIGITS and not set(text) - set("0123456789abcdef")


def obtain(wanted: Wanted) -> Path:
    """Return the verified file, downloaded if it is missing; of an archive, the weights inside.

    Raises:
        CheckpointError: no address gives the file, it has another hash, or it is missing and requests are forbidden.
        HomeError: the home folder cannot be written.
    """
    target = wanted.target
    if not target.is_file():
        check_available(wanted)
        with claimed(target.parent):
            if not target.is_file():  # another process may have been faster
                _download(wanted)
    digest = sha256(target)
    if digest != read_sums().get(key_of(target)):
        with claimed(target.parent):
            accept(wanted, target, digest)
    if not is_archive(first_bytes(target)):
        return target
    if not _unpacked(target, digest).is_dir():
        with claimed(target.parent):
            unpack(target, _unpacked(target, digest))
    return weights_in(_unpacked(target, digest), target)


def _unpacked(target: Path, digest: str) -> Path:
    """The folder for an archive's content."""
    return target.with_name(f"unpacked-{digest[:16]}")


def published_name(digest: str) -> str | None:
    """The published name of a file with this sha256: by the table's digits, else by a recorded download."""
    for entry in matching():
        if entry.sha256 and digest.startswith(entry.sha256):
            return entry.name
    recorded = (
        key.split("/")[1] for key, known in read_sums().items() if known == digest and key.startswith("weights/")
    )
    return next(recorded, None)


def check_available(wanted: Wanted) -> None:
    """Refuse a missing file that cannot be downloaded, before any other work.

    Raises:
        CheckpointError: requests are forbidden, or there is no address. The message says where the file belongs.
    """
    if wanted.target.is_file():
        return
    if not wanted.urls:
        reason = "its authors state no address"
        if wanted.page:
            reason = f"its authors have it on a page for browsers, {wanted.page}; download it there"
    elif is_offline() and not any(url.startswith("file:") for url in wanted.urls):
        source = "" if without_secrets(wanted.urls[-1]) == wanted.name else f" from {wanted.urls[-1]}"
        reason = f"it is not in the cache, and TRISHIFT_OFFLINE forbids downloading it{source}"
    else:
        return
    raise CheckpointError(f"{wanted.name}: {reason}; {wanted.remedy}")


def _download(wanted: Wanted) -> None:
    def check(path: Path) -> None:
        try:
            refuse_other_things(path, first_bytes(path), archives=True)
            accept(wanted, path, sha256(path))
        except CheckpointError as error:
            raise DownloadError(str(error).removeprefix(f"{path}: ")) from None

    problems: list[str] = []
    for url in wanted.urls:
        if is_offline() and not url.startswith("file:"):
            continue
        try:
            download(url, wanted.target, check)
        except CheckpointError as error:
            shown = without_secrets(url)
            problems.append(str(error) if wanted.name.startswith(shown) else f"{shown}: {error}")
            continue
        for problem in problems:
            _LOG.warning("%s: %s; downloaded from %s", wanted.name, problem, without_secrets(url))
        return
    raise CheckpointError(f"{wanted.name}: cannot be downloaded ({'; '.join(problems)}); try again, or {wanted.remedy}")


def accept(wanted: Wanted, path: Path, digest: str) -> None:
    """Compare the hash of a file that is or becomes the wanted one with the known ones, and record it.

    Raises:
        CheckpointError: it differs, and the file is set aside; or no hash is pinned, and the file cannot be read.
    """
    target = wanted.target
    pinned = read_sums().get(key_of(target), "")
    for known, origin in ((wanted.sha256, "the publisher's begins with"), (pinned, "the pinned one is")):
        if not digest.startswith(known):
            aside = target.with_name(f"refused-{digest[:8]}-{target.name}")
            path.replace(aside)
            raise CheckpointError(f"its sha256 is {digest}, but {origin} {known}; it is not used and lies at {aside}")
    if not pinned:
        _require_readable(path, _unpacked(target, digest))
        if len(wanted.sha256) < _SHA256_DIGITS:
            known = f"only its first {len(wanted.sha256)} digits are" if wanted.sha256 else "none is"
            _LOG.warning("%s: its sha256 %s is trusted from now on (%s published)", wanted.name, digest, known)
        record_sum(target, digest)


def _require_readable(path: Path, folder: Path) -> None:
    """Open a file before its hash is pinned, so that half a file is never trusted.

    Args:
        path: the file.
        folder: where it is unpacked to, if it is an archive.

    Raises:
        CheckpointError: it is damaged, or no weight file.
    """
    if is_archive(first_bytes(path)):
        unpack(path, folder)
        weights_in(folder, path)
        return
    try:
        open_weights(path)
    except CheckpointError:
        if not foreign_calls(path):  # `inspect` describes hostile files; everything else refuses them
            raise
