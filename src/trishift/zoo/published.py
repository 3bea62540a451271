"""The table of published weights, `published.yaml`: names, addresses, hashes, accuracies and networks."""

from __future__ import annotations

import fnmatch
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache
from importlib import resources
from pathlib import PurePosixPath
from typing import Any

from trishift.data.lists import read_labels
from trishift.data.lists.class_names import SHIPPED
from trishift.data.protocol import named_protocol
from trishift.errors import CheckpointError
from trishift.io.typed import FORBID_UNKNOWN_KEYS
from trishift.io.wording import nearest_few
from trishift.io.yaml_text import parse_yaml
from trishift.model.cost import multiplications, num_parameters
from trishift.model.spec import ModelSpec, default_input

IMAGENET = "imagenet"  # the data set of image classifiers, which start trainings; its 1000 names do not ship


@dataclass(frozen=True)
class Accuracy:
    """A published accuracy.

    Attributes:
        top1, top5: percent.
        protocol: name of the protocol, see `data/protocol.py`; None if its publisher does not state it.
        segments: frames per clip in evaluation, if not those of training.
    """

    __pydantic_config__ = FORBID_UNKNOWN_KEYS

    top1: float
    protocol: str | None = None
    top5: float | None = None
    segments: int | None = None

    def __post_init__(self) -> None:
        if self.protocol is not None:
            named_protocol(self.protocol)

    def __str__(self) -> str:
        frames = f", {self.segments} frames" if self.segments else ""
        return f"{self.top1} ({self.protocol or 'protocol not stated'}{frames})"


@dataclass(frozen=True)
class Publisher:
    """Where weights come from: a code base, the license of its code, and the start of its addresses."""

    __pydantic_config__ = FORBID_UNKNOWN_KEYS

    title: str
    license: str | None = None
    base: str | None = None


@dataclass(frozen=True)
class Published:
    """One published weight file; see the comments of `published.yaml`.

    Attributes:
        name: the name that commands take.
        publisher: key of the publisher.
        path: the file, below the publisher's base address.
        dialect: family of its tensor names.
        data: data set it was trained on.
        model: the network; `num_classes` follows from `data`.
        urls: addresses, tried in order.
        page: web page that has the file for browsers only, if there is no address of the file itself.
        sha256: its hash, or the known first digits; empty if unknown.
        labels: shipped class names, if not those of `data`.
        options: import options.
        accuracy: published accuracies.
        recipe: the recipe that trains this model, below `configs/`.
        license: license of the code base.
        source: the code base, as people call it.
    """

    __pydantic_config__ = FORBID_UNKNOWN_KEYS

    name: str
    publisher: str
    path: str
    dialect: str
    data: str
    model: ModelSpec
    urls: tuple[str, ...] | None = None
    page: str | None = None
    sha256: str = ""
    labels: str | None = None
    options: dict[str, Any] = field(default_factory=dict)
    accuracy: tuple[Accuracy, ...] = ()
    recipe: str | None = None
    license: str | None = None
    source: str = ""

    @property
    def file(self) -> str:
        """Name of the file."""
        return PurePosixPath(self.path).name

    @property
    def class_names(self) -> str:
        """Value of the import option `labels`: the path of a shipped list, or `none`."""
        return "none" if self.data == IMAGENET else str(SHIPPED / f"{self.labels or self.data}.txt")

    @property
    def spec(self) -> ModelSpec:
        """The network with its number of classes."""
        classes = 1000 if self.data == IMAGENET else len(read_labels(self.class_names))
        return replace(self.model, num_classes=classes)

    @property
    def num_parameters(self) -> int:
        """Trainable numbers."""
        return num_parameters(self.spec)

    @property
    def multiplications(self) -> int:
        """Multiplications per view."""
        return multiplications(self.spec, default_input(self.model.backbone).crop)


@lru_cache(maxsize=1)
def published_weights() -> Mapping[str, Published]:
    """Every entry of the table by name."""
    return read_table((resources.files("trishift.zoo") / "published.yaml").read_text("utf-8"))


def read_table(text: str) -> dict[str, Published]:
    """Parse and validate a table.

    Raises:
        CheckpointError: an entry is wrong, or a name or a file appears twice.
    """
    from pydantic import TypeAdapter, ValidationError

    content, _ = parse_yaml(text)
    try:
        publishers = TypeAdapter(dict[str, Publisher]).validate_python(content["publishers"])
        entries = [
            _with_publisher(entry, publishers)
            for entry in TypeAdapter(list[Published]).validate_python(content["weights"])
        ]
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))
        raise CheckpointError(f"published weights: {place}: {first['msg'].lower()}; correct the table") from None
    table = {entry.name: entry for entry in entries}
    if len(table) < len(entries):
        names = [entry.name for entry in entries]
        twice = next(name for name in names if names.count(name) > 1)
        raise CheckpointError(f"published weights: {twice} appears twice; names must differ")
    return table


def _with_publisher(entry: Published, publishers: Mapping[str, Publisher]) -> Published:
    if entry.publisher not in publishers:
        raise CheckpointError(f"published weights: {entry.name}: unknown publisher {entry.publisher}; add it")
    publisher = publishers[entry.publisher]
    urls = entry.urls
    if urls is None:
        urls = () if entry.page else (f"{publisher.base}{entry.path}",)
    return replace(entry, urls=urls, license=publisher.license, source=publisher.title)


def matching(patterns: tuple[str, ...] = (), data: str | None = None) -> list[Published]:
    """Entries whose name matches any of the patterns (`tsm*`; all if there are none) and whose data set is `data`.

    Raises:
        CheckpointError: the data set or a pattern without wildcards is unknown.
    """
    table = published_weights()
    for pattern in patterns:
        if not set(pattern) & set("*?["):
            entry_named(pattern)
    sets = sorted({entry.data for entry in table.values()})
    if data is not None and data not in sets:
        raise CheckpointError(f"--data {data}: no published weights of this data set; one of {', '.join(sets)}")
    return [
        entry
        for entry in table.values()
        if data in (None, entry.data) and (not patterns or any(fnmatch.fnmatchcase(entry.name, p) for p in patterns))
    ]


def entry_named(name: str) -> Published:
    """Return the entry of a name.

    Raises:
        CheckpointError: there is none; the message lists the nearest names.
    """
    if entry := find_entry(name):
        return entry
    raise CheckpointError(f"{name}: no such file, and no published weights of that name; {nearest(name)}")


def find_entry(name: str) -> Published | None:
    """Return the entry of a name, or None."""
    return published_weights().get(name)


def nearest(name: str) -> str:
    """Say which names a misspelled or incomplete one may mean."""
    table = published_weights()
    if files := [entry.name for entry in table.values() if entry.file == name]:
        return f"this published file has the name {files[0]} here, which downloads it"
    if longer := [known for known in table if known.startswith(f"{name}-")]:
        return f"several are called like that: {', '.join(longer)}" if longer[1:] else f"did you mean {longer[0]}?"
    close = nearest_few(name, table)
    return f"did you mean {' or '.join(close)}?" if close else "`trishift models` lists the names"
