"""Valid models and descriptions, and helpers that write inputs."""

from __future__ import annotations

import io
import json
import struct
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

CONFIG = Path(__file__).parents[2] / "configs" / "gestures" / "tsm.yaml"


BOMBS = ((zipfile.ZIP_DEFLATED, 400 * 2**20), (zipfile.ZIP_BZIP2, 400 * 2**20), (zipfile.ZIP_LZMA, 4 * 2**20))


PLAIN = {
    "a.weight": np.arange(24, dtype=np.float32).reshape(2, 3, 4) / 7,
    "half": np.float16([1.5, -2]),
    "scalar": np.array(2.5, np.float32),
    "count": np.array([3, 4], np.int64),
}


def small_model() -> Any:
    """A checkpoint of a small network, with labels and a recipe."""
    from testing.weights import smooth_weights

    from trishift.checkpoints import Checkpoint
    from trishift.model.spec import InputSpec, ModelSpec, ShiftSpec
    from trishift.recipe import load_recipe, recipe_to_dict

    spec = ModelSpec("resnet10", num_segments=4, num_classes=3, width=4, shift=ShiftSpec(div=4))
    recipe = recipe_to_dict(load_recipe(CONFIG))
    meta = {"recipe": recipe, "framework": "pytorch", "version": "1", "epoch": 3, "metrics": {"top1": 0.5}}
    return Checkpoint(smooth_weights(spec), spec, InputSpec(resize=32, crop=32), ("walk", "run", "sit down"), meta)


def foreign_tensors() -> dict[str, np.ndarray]:
    """A small TSM of the original code."""
    from testing import originals

    return originals.filled(originals.tsm_resnet(18, shift="blockres", prefix="module."))


def write_inputs(folder: Path, suffix: str, contents: Iterator[bytes]) -> None:
    for number, content in enumerate(contents):
        (folder / f"{number:03d}{suffix}").write_bytes(content)


def zipped(entries: dict[str, bytes], compression: int = zipfile.ZIP_STORED) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", compression) as archive:
        for name, content in entries.items():
            archive.writestr(name, content)
    return packed.getvalue()


def lying(archive: bytes, size: int, declared: int) -> bytes:
    """Change the declared size of an entry, in both headers."""
    return archive.replace(struct.pack("<I", size), struct.pack("<I", declared))


def with_header(header: bytes, data: bytes = b"", length: int | None = None) -> bytes:
    return struct.pack("<Q", len(header) if length is None else length) + header + data


def write_safetensors(path: Path) -> None:
    from trishift.checkpoints import canonical

    canonical.save(path, small_model())


def good_description() -> str:
    from trishift.checkpoints.canonical import encode_description

    return encode_description(small_model())


def hostile_descriptions() -> Iterator[str]:
    """Damaged descriptions of checkpoints: wrong types, huge numbers, deep nesting."""
    from trishift.checkpoints.canonical import encode_description

    good = json.loads(encode_description(small_model()))
    wrong: tuple[Any, ...] = (None, 5, -1, 2**70, 1e308, "x", [], {}, [[]], [5], True, "\x1b[31m\n", {"a": 1})
    for key in good:
        for value in wrong:
            yield json.dumps({**good, key: value})
    for section in ("spec", "input", "meta"):
        for key in good[section]:
            for value in wrong:
                yield json.dumps({**good, section: {**good[section], key: value}})
    for width, segments in ((10**9, 4), (4, 10**9), (2**70, 2**70)):
        head = {**good["spec"]["head"], "consensus": "multiscale_relation"}
        yield json.dumps({**good, "spec": {**good["spec"], "width": width, "num_segments": segments}})
        yield json.dumps({**good, "spec": {**good["spec"], "num_segments": segments, "head": head}})
    yield from (
        "",
        "{",
        "[" * 100_000,
        '{"a":' * 50_000,
        "9" * 5000,
        "NaN",
        "null",
        "[]",
        '{"format": 1e999}',
        '{"format": NaN}',
    )
