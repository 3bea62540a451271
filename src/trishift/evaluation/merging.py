"""Results of the shards of a list, merged into the result of the whole list.

Evaluations are merged from their result.json and the scores beside it; predictions from files of one format.
"""

from __future__ import annotations

import io
import json
import pickle
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from trishift.errors import CheckpointError, DataError
from trishift.evaluation.evaluator import Evaluation, joined
from trishift.evaluation.parquet import read_parquet
from trishift.evaluation.prediction_files import FORMATS, LINES, PARQUET, write_rows
from trishift.evaluation.scores import PICKLES, read_scores
from trishift.evaluation.shards import Shard
from trishift.io.atomic import write_atomically
from trishift.io.pickles import NUMPY, unpickle
from trishift.io.wording import unreadable

SHARD = "shard"  # entry of a shard's result.json
_CONTEXT = ("checkpoint", "framework", "protocol", "temperature")  # entries that must be equal in all shards


def is_evaluation(path: Path) -> bool:
    """Whether a file is the result.json of an evaluation."""
    return path.suffix == ".json" and isinstance(_read_json(path), dict)


def merge_evaluations(paths: Sequence[Path]) -> tuple[Evaluation, dict[str, str]]:
    """Merge the results of all shards of an evaluation, given in any order.

    Returns:
        The evaluation of the whole list, and the entries `checkpoint` and `framework` of result.json.

    Raises:
        DataError: a file is damaged or not a shard, shards are missing or given twice, or they are of different
            evaluations.
    """
    results = sorted(((_shard(path), path) for path in paths), key=lambda result: result[0].index)
    count = results[0][0].count
    found = [shard.index for shard, _ in results]
    if found != list(range(1, count + 1)) or any(shard.count != count for shard, _ in results):
        given = ", ".join(str(shard) for shard, _ in results)
        raise DataError(f"shards {given}: give every shard once, 1/{count} to {count}/{count}")
    context = [{name: _read_json(path).get(name) for name in _CONTEXT} for _, path in results]
    evaluations = [_evaluation(path) for _, path in results]
    for (_, path), described, evaluation in zip(results, context, evaluations, strict=True):
        for name, value in described.items():
            if value != context[0][name]:
                raise DataError(f"{path}: {name} is {value}, but {context[0][name]} in {results[0][1]}; evaluate again")
        if evaluation.labels != evaluations[0].labels:
            raise DataError(f"{path}: has other classes than {results[0][1]}; evaluate again")
    merged = joined(evaluations)
    merged.check()
    return merged, {name: str(context[0][name]) for name in ("checkpoint", "framework")}


def _shard(path: Path) -> Shard:
    result = _read_json(path)
    text = result.get(SHARD) if isinstance(result, dict) else None
    if not isinstance(text, str):
        raise DataError(f"{path}: is not the result of `trishift eval --shard I/N`; there is nothing to merge")
    return Shard.parse(text)


def _evaluation(path: Path) -> Evaluation:
    result, scores = _read_json(path), read_scores(path)
    try:
        misses = [(str(miss["name"]), str(miss["reason"])) for miss in result["misses"]]
        protocol = str(result["protocol"])
    except (KeyError, TypeError) as error:
        raise DataError(f"{path}: is damaged ({error!r}); evaluate again") from None
    names, labels = list(scores.names or ()), scores.labels or ()
    groups, temperature = None if scores.groups is None else list(scores.groups), _temperature(path, result)
    return Evaluation(protocol, labels, names, scores.logits, scores.targets, misses, groups, temperature)


def _temperature(path: Path, result: dict[str, Any]) -> float:
    value = result.get("temperature", 1.0)
    if not (type(value) in (int, float) and 0 < value < float("inf")):
        raise DataError(f"{path}: is damaged (temperature {value!r}); evaluate again")
    return float(value)


def merge_predictions(paths: Sequence[Path], output: Path) -> None:
    """Write the content of prediction files of one format, in the given order, to a file of that format.

    Raises:
        DataError: a file is damaged, or the files have different formats.
        OutputError: the file cannot be written.
    """
    suffix = paths[0].suffix
    for path in paths:
        if path.suffix not in FORMATS:
            raise DataError(f"{path}: unknown format {path.suffix!r}; use {', '.join(FORMATS)}")
        if path.suffix != suffix:
            raise DataError(f"{path}: is not a {suffix} file like {paths[0]}; merge files of one format")
    if suffix in (LINES, ".csv"):
        header = _header(paths) if suffix == ".csv" else b""
        write_atomically(output, lambda file: _join(paths, header, file))
    elif suffix in PICKLES:
        content = pickle.dumps([row for path in paths for row in _read_pickle(path)], protocol=2)
        write_atomically(output, lambda file: file.write(content))
    else:
        read = read_parquet if suffix == PARQUET else _read_rows
        write_rows((row for path in paths for row in read(path)), output)


def _header(paths: Sequence[Path]) -> bytes:
    """The first line of tables, which is the same in all that have rows."""
    wanted = (b"", paths[0])
    for path in paths:
        with _readable(path) as file:
            header, has_rows = file.readline(), bool(file.readline())
        if wanted[0] and header and header != wanted[0]:
            raise DataError(
                f"{path}: its columns are not those of {wanted[1]}; merge the files of one `trishift infer`"
            )
        wanted = (header, path) if has_rows or not wanted[0] else wanted
    return wanted[0]


def _join(paths: Sequence[Path], header: bytes, output: BinaryIO) -> None:
    """Copy files one after the other, with one header."""
    output.write(header)
    for path in paths:
        with _readable(path) as file:
            if header:
                file.readline()
            shutil.copyfileobj(file, output)


@contextmanager
def _readable(path: Path) -> Iterator[BinaryIO]:
    try:
        file = path.open("rb")
    except OSError as error:
        raise DataError(unreadable(path, error)) from None
    with file:
        yield file


def _read(path: Path) -> bytes:
    with _readable(path) as file:
        return file.read()


def _read_json(path: Path) -> Any:
    try:
        return json.loads(_read(path).decode("utf-8", "surrogateescape"))
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path}: is not JSON ({error})") from None


def _read_rows(path: Path) -> list[Any]:
    rows = _read_json(path)
    if not isinstance(rows, list):
        raise DataError(f"{path}: is not a list of predictions; merge files of `trishift infer` or of `trishift eval`")
    return rows


def _read_pickle(path: Path) -> list[Any]:
    content = _read(path)
    try:
        rows = unpickle(io.BytesIO(content), NUMPY)
    except CheckpointError as error:
        raise DataError(f"{path}: {error}") from None
    except Exception as error:  # damaged pickles raise arbitrary errors
        raise DataError(f"{path}: is not a file of `trishift infer` ({error})") from None
    if not isinstance(rows, list):
        raise DataError(f"{path}: is not a file of `trishift infer`")
    return rows
