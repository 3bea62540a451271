"""Weights on hubs: `hf://owner/repo[/file][@revision]` (Hugging Face) and `ms://...` (ModelScope)."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import urlencode

from trishift.checkpoints.files import RUN_FILES
from trishift.checkpoints.writing import CANONICAL_SUFFIX, SUFFIXES
from trishift.errors import CheckpointError, FrameworkError, install_hint
from trishift.zoo.fetching import Wanted, address_folder, obtain, split_hash
from trishift.zoo.home import is_offline

HUBS = ("hf", "ms")
_WEIGHTS = (CANONICAL_SUFFIX, *SUFFIXES, ".bin")
_TIMEOUT = 30.0  # seconds


@dataclass(frozen=True)
class HubAddress:
    """The parts of a hub address; `file` and `revision` may be empty."""

    text: str
    hub: str
    repository: str
    file: str = ""
    revision: str = ""

    @classmethod
    def parse(cls, text: str) -> HubAddress:
        """Parse `hf://owner/repo[/file][@revision][#sha256=HASH]`.

        Raises:
            CheckpointError: owner or repository is missing, or the hash is none.
        """
        address, _ = split_hash(text)
        hub, _, rest = address.partition("://")
        hub = hub.lower()
        place, at, revision = rest.partition("@")
        parts = place.split("/")
        if len(parts) < 2 or not all(parts) or {".", ".."} & set(parts) or (at and not revision):
            raise CheckpointError(f"{text}: write it as {hub}://owner/repo, or {hub}://owner/repo/file@revision")
        return cls(text, hub, "/".join(parts[:2]), "/".join(parts[2:]), revision)


def check_hub(address: HubAddress) -> None:
    """Raise a `FrameworkError` if the package that reads a hub is not installed."""
    if address.hub == "hf" and find_spec("huggingface_hub") is None:
        raise FrameworkError(f"{address.text}: needs huggingface_hub; {install_hint('hub')}")


def obtain_from_hub(address: HubAddress) -> Path:
    """Return the local copy of a hub's file, downloaded if it is missing.

    Raises:
        CheckpointError: the repository or the file does not exist or may not be read, or requests are forbidden.
        FrameworkError: `huggingface_hub` is not installed.
    """
    return _from_hugging_face(address) if address.hub == "hf" else _from_modelscope(address)


def choose_file(names: Sequence[str], address: HubAddress) -> str:
    """Return the file of weights in a repository: the only one, the only safetensors, or `best.safetensors`.

    Raises:
        CheckpointError: there is none, or several.
    """
    weights = sorted(name for name in names if PurePosixPath(name).suffix.lower() in _WEIGHTS)
    if not weights:
        raise CheckpointError(f"{address.text}: the repository has no weight file ({', '.join(_WEIGHTS)})")
    if named := [name for name in RUN_FILES if name in weights]:
        return named[0]
    canonical = [name for name in weights if name.endswith(CANONICAL_SUFFIX)]
    if len(canonical or weights) > 1:
        raise CheckpointError(
            f"{address.text}: the repository has several weight files; add one to the address: {', '.join(weights[:8])}"
        )
    return (canonical or weights)[0]


def check_upload(text: str) -> HubAddress:
    """Parse the address of a repository to upload to, before any work.

    Raises:
        CheckpointError: it is no repository of the Hugging Face hub, requests are forbidden, or there is no token.
        FrameworkError: `huggingface_hub` is not installed.
    """
    address = HubAddress.parse(text)
    if address.hub != "hf" or address.file:
        raise CheckpointError(f"{text}: models are pushed to repositories; write hf://owner/repo")
    if is_offline():
        raise CheckpointError(f"{text}: TRISHIFT_OFFLINE forbids uploads; unset it, or use `trishift publish`")
    if not _hugging_face(address).get_token():
        raise CheckpointError(f"{text}: uploads need a token; set HF_TOKEN, or run `hf auth login`")
    return address


def upload(folder: Path, address: HubAddress, *, private: bool = False) -> str:
    """Upload a folder to a repository, which is created if missing; returns the address of the commit.

    Raises:
        CheckpointError: the hub cannot be reached, or refuses.
    """
    hub, message = _hugging_face(address), "Upload a model with Trishift"
    with _explained(address, offline=False):
        hub.create_repo(address.repository, private=private, exist_ok=True)
        commit = hub.upload_folder(
            repo_id=address.repository,
            folder_path=folder,
            revision=address.revision or None,
            commit_message=message,
        )
    return str(commit.commit_url)


def _hugging_face(address: HubAddress) -> Any:
    """The package `huggingface_hub`."""
    if is_offline():
        os.environ["HF_HUB_OFFLINE"] = "1"  # read on import; local_files_only alone would allow other requests
    check_hub(address)
    import huggingface_hub

    return huggingface_hub


@contextmanager
def _explained(address: HubAddress, *, offline: bool) -> Iterator[None]:
    """Turn the hub's errors into one line with a remedy."""
    from huggingface_hub import errors

    try:
        yield
        return
    except errors.GatedRepoError:
        problem = "the repository is gated; accept its terms on the hub and log in with `hf auth login`"
    except errors.RepositoryNotFoundError:
        problem = "no such repository, or a private one; check the name, or set HF_TOKEN (or run `hf auth login`)"
    except errors.RevisionNotFoundError:
        problem = f"the repository has no revision {address.revision}; check the part after @"
    except errors.LocalEntryNotFoundError as error:
        problem = (
            "not in the hub's cache, and offline; download it once with a connection"
            if offline
            else f"cannot be downloaded ({_one_line(error)}); check the connection, or set HF_ENDPOINT"
        )
    except errors.EntryNotFoundError:
        problem = f"the repository has no file {address.file}; leave it out to get the only weight file"
    except errors.LocalTokenNotFoundError:
        problem = "needs a token; set HF_TOKEN, or run `hf auth login`"
    except errors.HfHubHTTPError as error:
        status = error.response.status_code if error.response is not None else "an error"
        problem = f"the hub answers {status} ({_one_line(error)}); check the address and your token (HF_TOKEN)"
    except (OSError, ValueError) as error:  # many connection errors are OSErrors
        problem = f"failed ({_one_line(error)}); check the address and the connection"
    except Exception as error:
        if type(error).__module__.split(".")[0] not in ("httpx", "httpx2", "httpcore", "httpcore2", "requests"):
            raise
        problem = f"the hub cannot be reached ({_one_line(error)}); check the connection, or set HF_ENDPOINT"
    raise CheckpointError(f"{address.text}: {problem}")


def _from_hugging_face(address: HubAddress) -> Path:
    hub = _hugging_face(address)
    revision, offline = address.revision or None, is_offline() or hub.is_offline_mode()
    name = address.file
    with _explained(address, offline=offline):
        if not name and offline:
            folder = hub.snapshot_download(address.repository, revision=revision, local_files_only=True)
            cached = [path.relative_to(folder).as_posix() for path in Path(folder).rglob("*") if path.is_file()]
            name = choose_file(cached, address)
        elif not name:
            name = choose_file(hub.HfApi().list_repo_files(address.repository, revision=revision), address)
        path = hub.hf_hub_download(address.repository, name, revision=revision, local_files_only=offline)
    return Path(path)


def _from_modelscope(address: HubAddress) -> Path:
    folder = address_folder(address.text)
    cached = [path for path in folder.glob("*") if path.is_file() and not path.name.startswith((".", "refused-"))]
    if len(cached) == 1:
        return obtain(Wanted(address.text, cached[0], ()))
    if is_offline() and not address.file:
        raise CheckpointError(f"{address.text}: not in the cache, and offline; download it once with a connection")
    revision = address.revision or "master"
    start = f"{_modelscope()}/api/v1/models/{address.repository}/repo"
    files = {} if is_offline() else _modelscope_files(f"{start}/files?Revision={revision}&Recursive=true", address)
    name = address.file or (choose_file(list(files), address) if files else "")
    if files and name not in files:
        raise CheckpointError(
            f"{address.text}: the repository has no file {name}; its weights: {', '.join(files)[:300]}"
        )
    url = f"{start}?{urlencode({'Revision': revision, 'FilePath': name})}"
    target = folder / (PurePosixPath(name).name or "weights")
    return obtain(Wanted(address.text, target, (url,), files.get(name, "")))


def _modelscope() -> str:
    domain = os.environ.get("MODELSCOPE_DOMAIN", "www.modelscope.cn")
    return domain.rstrip("/") if "://" in domain else f"https://{domain}"


def _modelscope_files(url: str, address: HubAddress) -> dict[str, str]:
    """Names and hashes of a repository's files."""
    import requests

    try:
        response = requests.get(url, timeout=_TIMEOUT)
        if response.status_code in (401, 403, 404):
            raise CheckpointError(
                f"{address.text}: no such repository or revision, or a private one (not supported); check the name"
            )
        response.raise_for_status()
        entries: list[dict[str, Any]] = response.json()["Data"]["Files"]
        return {entry["Path"]: str(entry.get("Sha256") or "") for entry in entries if entry.get("Type") != "tree"}
    except (requests.exceptions.RequestException, ValueError, KeyError, TypeError) as error:
        raise CheckpointError(
            f"{address.text}: the hub gives no list of files ({_one_line(error)}); check the connection"
        ) from None


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split())[:200] or type(error).__name__
