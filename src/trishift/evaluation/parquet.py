"""Predictions as Parquet, by pyarrow: a row per video, with the columns of `Prediction.to_dict`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from trishift.errors import DataError, FrameworkError, brief, install_hint

if TYPE_CHECKING:
    import pyarrow

_GROUP = 10_000  # rows in memory


def check_installed() -> None:
    """Refuse Parquet if pyarrow is missing, before the work.

    Raises:
        FrameworkError: pyarrow is not installed.
    """
    try:
        import pyarrow.parquet  # noqa: F401
    except ImportError:
        raise FrameworkError(f"Parquet needs pyarrow; {install_hint('parquet')}, or write .jsonl") from None


def _schema(has_thresholds: bool) -> pyarrow.Schema:
    import pyarrow

    entry = [("class", pyarrow.int32()), ("label", pyarrow.string()), ("probability", pyarrow.float64())]
    labels = []
    if has_thresholds:
        entry.append(("applies", pyarrow.bool_()))
        labels = [("labels", pyarrow.list_(pyarrow.string()))]
    return pyarrow.schema([("video", pyarrow.string()), *labels, ("predictions", pyarrow.list_(pyarrow.struct(entry)))])


def write_parquet(rows: Iterable[dict[str, Any]], file: BinaryIO) -> None:
    """Write predictions; bytes of file names that are not UTF-8 become `?`."""
    import pyarrow.parquet

    rows = iter(rows)
    block = list(islice(rows, _GROUP))
    schema = _schema(any("labels" in row for row in block))
    with pyarrow.parquet.ParquetWriter(file, schema) as writer:
        while block:
            for row in block:
                row["video"] = row["video"].encode("utf-8", "replace").decode()
            writer.write_table(pyarrow.Table.from_pylist(block, schema))
            block = list(islice(rows, _GROUP))


def read_parquet(path: Path) -> Iterator[dict[str, Any]]:
    """Read predictions.

    Raises:
        DataError: the file cannot be read, or is none.
    """
    import pyarrow.parquet

    try:
        with pyarrow.parquet.ParquetFile(path) as file:
            if not {"video", "predictions"} <= set(file.schema_arrow.names):
                raise DataError(f"{path}: has other columns than video and predictions; give files of `trishift infer`")
            for batch in file.iter_batches(_GROUP):
                yield from batch.to_pylist()
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror or brief(error)})") from None
    except pyarrow.ArrowException as error:
        raise DataError(f"{path}: is no Parquet file ({brief(error)}); make it anew") from None
