"""Runs in stores: the run folder is on this machine, and its files are copied to its address with every checkpoint."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from trishift.errors import CheckpointError, DataError, OutputError, named, spelled_addresses
from trishift.evaluation.scores import SCORES
from trishift.io.regular import is_in_store
from trishift.io.storage.folders import FolderCopy, below, fetch, list_folder
from trishift.io.storage.remote import MissingObject, RemoteFile
from trishift.training.run_folder import LAST, RESUMED, belongs_to_run, is_replaced
from trishift.zoo.home import home
from trishift.zoo.stored import check_online, stored_version

_RESULTS = (".json", ".jsonl", ".npz", ".txt", ".yaml")  # suffixes


class StoredRun(FolderCopy):
    """A run folder whose files are copied to a store.

    Args:
        address: of the run.
        resumes: whether the run there is resumed.
        overwrite: replace the run there.
    """

    def __init__(self, address: str | Path, *, resumes: bool = False, overwrite: bool = False) -> None:
        super().__init__(address, work_folder(address), (LAST,), is_replaced)
        self._resumes, self._overwrite = resumes, overwrite

    def begin(self) -> str:
        """Refuse a store that cannot be written or holds another run, before the training; returns its address.

        Raises:
            OutputError: it cannot, or does.
        """
        there = [f"holds a run already ({name})" for name in self.open() if belongs_to_run(name)]
        if self.lacks:
            there.append(f"lacks the last files of a run, which are in {self.folder}")
        if there and not (self._resumes or self._overwrite):
            raise OutputError(
                f"{self.address}: {there[0]}; --resume {self.address} continues it, --overwrite replaces it, or choose "
                "another --output"
            )
        if self._overwrite:
            self.remove(belongs_to_run)
        return self.address

    def after_failure(self) -> str:
        """Tell the user of a run in several processes, one of which failed, what to do, in a few words."""
        if not self.has(LAST):
            return "nothing is saved yet; start again once that is mended"
        return f"the last checkpoint is intact; continue with the same command and --resume {self.address}"


def work_folder(address: str | Path) -> Path:
    """The folder on this machine of what is written to an address."""
    address = spelled_addresses(address).rstrip("/")
    return home() / "runs" / hashlib.sha256(address.encode()).hexdigest()[:16] / named(address).rpartition("/")[2]


def run_address(path: Path) -> str:
    """The address of the run that `path`, the address of the run or of its `last.safetensors`, belongs to."""
    return spelled_addresses(path).rstrip("/").removesuffix(f"/{LAST}")


def resumable(path: Path) -> Path:
    """A folder on this machine with the run to resume, which may be in a store.

    If an earlier process could not copy its last files to the store, these are resumed.

    Raises:
        CheckpointError: there is no run at the address, or it cannot be read.
    """
    if not is_in_store(path):
        return path
    address = run_address(path)
    try:
        found = list_folder(address)
        ours = StoredRun(address)
        if ours.lacks and (ours.folder / LAST).is_file():
            print(f"note: {address}: lacks the last files of this run; it continues from {ours.folder}", flush=True)
            return ours.folder
        if LAST not in found:
            raise CheckpointError(f"{address}: has no {LAST}, so there is nothing to resume; check the address")
        return _copied({name: file for name, file in found.items() if name in RESUMED or name.startswith("kept/")})
    except DataError as error:
        raise CheckpointError(str(error)) from None


def results_here(path: Path) -> Path:
    """The files on this machine of the results in a run folder, or of an evaluation's result.json, in a store.

    Weights are not copied. A path on this machine is returned as it is, and so is an address with no results.

    Raises:
        DataError: the store cannot be reached, or requests are forbidden.
    """
    if not is_in_store(path):
        return path
    address = run_address(path)
    try:
        check_online(address)
    except CheckpointError as error:
        raise DataError(str(error)) from None
    if path.suffix == ".json":
        places = {name: f"{address.rpartition('/')[0]}/{name}" for name in (path.name, f"{path.stem}{SCORES}")}
        with suppress(MissingObject):
            return _copied({name: RemoteFile.of(place) for name, place in places.items()}) / path.name
        return path
    found = list_folder(address)
    wanted = {name: file for name, file in found.items() if "/" not in name and Path(name).suffix in _RESULTS}
    return _copied(wanted) if wanted else path


def _copied(files: Mapping[str, RemoteFile]) -> Path:
    """A folder with copies of objects; they are not copied again while none of them has changed."""
    with stored_version(*files.values()) as folder:
        for name, file in files.items():
            if not below(folder, name).is_file():
                fetch(file, folder / name)
    return folder


@contextmanager
def sent_finally(copy: FolderCopy) -> Iterator[None]:
    """Send what is left in the end, however it ends; then the folder on this machine is no longer needed.

    Raises:
        OutputError: everything is here, but not there.
    """
    try:
        yield
    except BaseException:
        if copy.send():
            shutil.rmtree(copy.folder, ignore_errors=True)
        raise
    copy.finish("copy it to the store")
    shutil.rmtree(copy.folder, ignore_errors=True)
