"""One way in for weights: whatever names them, a local file is found, or downloaded because it was asked for."""

from __future__ import annotations

import re
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import unquote, urlsplit
from urllib.request import url2pathname

from trishift.checkpoints.files import sha256, weight_path
from trishift.checkpoints.writing import CANONICAL_SUFFIX, SUFFIXES
from trishift.errors import CheckpointError, without_secrets
from trishift.io.regular import STORES, exists
from trishift.io.wording import nearest_path
from trishift.zoo.converted import check_obtainable, obtain_canonical
from trishift.zoo.fetching import check_available, obtain, split_hash, wanted_address, wanted_published
from trishift.zoo.hub import HUBS, HubAddress, check_hub, obtain_from_hub
from trishift.zoo.published import Published, entry_named, find_entry, matching, nearest
from trishift.zoo.stored import obtain_stored

_ADDRESS = re.compile(r"([a-z][a-z0-9+.-]+)://.+", re.IGNORECASE | re.DOTALL)
_WEB = ("http", "https")


class WeightSource:
    """Weights as a user names them: a path, a published name, or an address. An existing path always wins.

    Creating one reads and downloads nothing.

    Args:
        text: `weights.pth`, a run folder, `tsm-r50-8f-k400`, `https://...`, `file://...`, `hf://owner/repo/file`,
            `ms://owner/repo/file`, or a file or run folder in a store: `s3://...`, `gs://...`, `az://...`.

    Attributes:
        text: the text.
        local: the file or folder, if it exists; of a run folder, its best weights.

    Raises:
        CheckpointError: a folder contains several run folders.

    Example:
        >>> from trishift.zoo.sources import WeightSource
        >>> WeightSource("tsm-r50-8f-k400").stem
        'tsm-r50-8f-k400'
        >>> WeightSource("model.safetensors").fetch().name
        'model.safetensors'
    """

    def __init__(self, text: str | Path) -> None:
        self.text = str(text)
        self._path: Path | None = Path(text)
        self._scheme = ""
        self._entry: Published | None = None
        if not exists(text):
            if found := _ADDRESS.fullmatch(self.text):
                self._scheme = found[1].lower()
                self._path = Path(url2pathname(urlsplit(self.text).path)) if self._scheme == "file" else None
            elif entry := find_entry(self.text):
                self._entry, self._path = entry, None
        self.local = weight_path(self._path) if self._path is not None and exists(self._path) else None

    def __str__(self) -> str:
        return without_secrets(self.text)

    @property
    def stem(self) -> str:
        """Name for files made from the weights, without suffix."""
        if self._entry is not None:
            return self._entry.name
        if self._path is not None:
            return (self.local or self._path).stem
        address = self.text.partition("#")[0]
        return PurePosixPath(
            unquote(urlsplit(address).path if self._scheme in _WEB else address.partition("@")[0])
        ).stem

    @property
    def title(self) -> str:
        """Name for people: that of the run folder if one is given, else `stem`."""
        return self._path.absolute().name if self._path is not None and self._path.is_dir() else self.stem

    @property
    def folder(self) -> Path:
        """Folder for files made from the weights: beside a local file, else the current one."""
        return Path() if self._path is None else (self.local or self._path).parent

    def check(self) -> None:
        """Refuse what cannot be fetched as far as that is known without a request, before expensive work.

        Raises:
            CheckpointError: the file is missing, the name unknown, the address malformed, or a download impossible.
        """
        if self._entry is not None:
            check_obtainable(self._entry)
        elif self._path is not None:
            self._require_path()
        elif self._scheme in HUBS:
            check_hub(HubAddress.parse(self.text))
        elif self._scheme in _WEB:
            check_available(wanted_address(self.text))
        elif self._scheme not in STORES:
            raise CheckpointError(
                f"{self.text}: addresses start with https://, http://, file://, hf://, ms://, s3://, gs:// or az://, "
                f"not {self._scheme}://"
            )

    def fetch(self) -> Path:
        """Return a local file that can be imported; published names become their canonical conversion.

        Raises:
            CheckpointError: see `check`; or the download fails.
            OutputError: the home folder cannot be written.
        """
        return self.original()[0] if self._entry is None else obtain_canonical(self._entry)

    def original(self) -> tuple[Path, dict[str, Any]]:
        """Return the local file as it was published, and the options that import it. Raises like `fetch`."""
        self.check()
        if self._entry is not None:
            options = {"dialect": self._entry.dialect, "labels": self._entry.class_names, **self._entry.options}
            return obtain(wanted_published(self._entry)), options
        if self.local is not None:
            return self._verified(self.local), {}
        if self._scheme in HUBS:
            return self._verified(obtain_from_hub(HubAddress.parse(self.text))), {}
        if self._scheme in STORES:
            return self._verified(obtain_stored(split_hash(self.text)[0])), {}
        return obtain(wanted_address(self.text)), {}

    def _verified(self, path: Path) -> Path:
        """Compare a file with the hash in its address, if there is one."""
        digest = split_hash(self.text)[1] if self._scheme else ""
        if digest and not (found := sha256(path)).startswith(digest):
            raise CheckpointError(f"{self.text}: the sha256 of the file is {found}; it is not used")
        return path

    def _require_path(self) -> None:
        path = self._path
        if self._scheme == "file":
            split_hash(self.text)
            if urlsplit(self.text).netloc not in ("", "localhost"):
                raise CheckpointError(f"{self.text}: write it with three slashes, file:///folder/file")
        if self.local is not None or path is None:
            return
        if len(path.parts) == 1 and path.suffix.lower() not in (CANONICAL_SUFFIX, *SUFFIXES):
            entry_named(self.text)
        published = any(path.name == entry.file for entry in matching())
        hint = f"; {nearest(path.name)}" if published else nearest_path(path) or "; check the path"
        raise CheckpointError(f"{self.text}: no such file{hint}")


def weight_source(weights: str | Path | WeightSource) -> WeightSource:
    """Return weights that may still be text as a `WeightSource`."""
    return weights if isinstance(weights, WeightSource) else WeightSource(weights)
