"""Readers of run folders, exports and scores."""

from __future__ import annotations

import io
import json
import os
import pickle
import shutil
import struct
import zipfile
from collections.abc import Iterator
from contextlib import redirect_stdout
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from benchmarks.reliability.hostile_pickles import PROTOCOL, Runs, hostile_arrays, hostile_pickles
from benchmarks.reliability.readers import Reader
from benchmarks.reliability.samples import (
    BOMBS,
    CONFIG,
    good_description,
    hostile_descriptions,
    lying,
    small_model,
    with_header,
    write_inputs,
    zipped,
)


def _run_seeds(folder: Path) -> None:
    from trishift.checkpoints import canonical
    from trishift.checkpoints.training_state import TrainingState, save_state
    from trishift.recipe import load_recipe, save_recipe

    for name in ("run", "run2"):
        run, model = folder / name, small_model()
        run.mkdir()
        save_recipe(load_recipe(CONFIG), run / "recipe.yaml")
        momentum = {key: np.ones_like(value) for key, value in list(model.tensors.items())[:5]}
        save_state(run / "last.safetensors", model, TrainingState(2, 3, 40, 0, momentum, {"epoch": 2, "top1": 0.4}))
        canonical.save(run / "best.safetensors", model)
        records = [
            *({"kind": "train", "iteration": i, "epoch": i // 20, "loss": 1 / (i + 1), "lr": 0.1} for i in range(40)),
            *({"kind": "evaluation", "iteration": i, "epoch": i // 20, "top1": 0.5} for i in (20, 40)),
        ]
        (run / "metrics.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))
        (run / "skipped.txt").write_text("a.mp4\tnot a video\nb.mp4\tempty\n")


def _export_seeds(folder: Path) -> None:
    from trishift.backends.program import ProgramSpec
    from trishift.export import description
    from trishift.export.formats import FORMATS
    from trishift.io.protobuf import bytes_field, varint_field

    checkpoint = small_model()
    program = ProgramSpec(checkpoint.spec, (32, 32))
    for name in ("onnx", "torch", "mindir", "paddle"):
        inner = description.Description(FORMATS[name], checkpoint, program, {"pytorch": "2", "opset": 17})
        alone, beside = folder / f"alone-{name}", folder / f"beside-{name}"
        for parent in (alone, beside):
            parent.mkdir()
            path, text = parent / f"model{FORMATS[name].suffix}", description.encode(inner)
            if name == "onnx":
                pair = bytes_field(1, b"trishift") + bytes_field(2, text.encode())
                path.write_bytes(
                    varint_field(1, 8) + bytes_field(2, b"pytorch") + bytes_field(7, b"g" * 500) + bytes_field(14, pair)
                )
            elif name == "torch":
                with zipfile.ZipFile(path, "w") as archive:
                    archive.writestr("archive/extra/trishift", text)
                    archive.writestr("archive/data/weights", b"w" * 500)
            elif name == "mindir":
                path.write_bytes(b"m" * 500)
            else:
                path.mkdir()
                (path / "inference.json").write_bytes(b"{}")
                (path / "inference.pdiparams").write_bytes(b"p" * 500)
        measured = {"largest": 1e-6, "tolerance": 1e-3}
        path = beside / f"model{FORMATS[name].suffix}"
        whole = description.Description(
            FORMATS[name], checkpoint, program, inner.written_by, measured, description.fingerprints(path)
        )
        description.write_description(whole, path)


def _score_seeds(folder: Path) -> None:
    names = np.array([f"clips/{i:03d}.mp4" for i in range(12)])
    rng = np.random.default_rng(0)
    for name, targets in (("a", rng.integers(0, 3, 12)), ("b", np.eye(3)[rng.integers(0, 3, 12)])):
        scores, labels = rng.normal(size=(12, 3)).astype(np.float32), np.array(["walk", "run", "sit"])
        with (folder / f"{name}.scores.npz").open("wb") as file:
            np.savez(file, names=names, scores=scores, targets=targets, labels=labels)
        with (folder / f"{name}_small.scores.npz").open("wb") as file:
            np.savez_compressed(file, names=names, scores=scores, targets=targets, labels=labels)


def _score_pickle_seeds(folder: Path) -> None:
    rows = [[np.float32([[i, 1, 2]]), i % 3] for i in range(12)]
    (folder / "view.pkl").write_bytes(pickle.dumps(rows, 2))
    (folder / "lists.pkl").write_bytes(pickle.dumps([[[float(i), 1.0, 2.0], i % 3] for i in range(12)], 2))
    views = folder / "views"
    views.mkdir()
    for crop in range(2):
        (views / f"0_crop{crop}.pkl").write_bytes(pickle.dumps(rows, 2))


def _hostile_runs(folder: Path) -> None:
    seeds = folder / "seeds"
    seeds.mkdir()
    _run_seeds(seeds)
    lines = (
        *(
            "5",
            "[]",
            "{}",
            '{"iteration": 1}',
            '{"iteration": true, "kind": 5}',
            '{"kind": "train", "iteration": 1e999}',
        ),
        *(
            '{"kind": "train", "iteration": 3, "epoch": 0}\n{"kind": "train", "iteration": 4}',
            '{"iteration": ' + "9" * 5000,
        ),
        *(
            '{"kind": "train", "iteration": 3, "epoch": 0}\n{"kind": "train", "iteration": 4, "epoch": "x"}',
            "[" * 100_000,
        ),
        *('{"iteration": 3, "kind": {}}', "\0" * 100, "\udcff", '{"kind": "train", "iteration": -9, "epoch": 1e308}'),
    )
    for number, text in enumerate(lines):
        shutil.copytree(seeds / "run", folder / f"metrics-{number:02d}")
        (folder / f"metrics-{number:02d}" / "metrics.jsonl").write_bytes(text.encode("utf-8", "surrogateescape"))
    for number, text in enumerate(hostile_descriptions()):
        shutil.copytree(seeds / "run", folder / f"state-{number:03d}")
        header = {"__metadata__": {"trishift": text if number % 2 else good_description(), "trishift.training": text}}
        (folder / f"state-{number:03d}" / "last.safetensors").write_bytes(with_header(json.dumps(header).encode()))
    state = {"format": 1, "epoch": 2, "batch": 3, "iteration": 40, "seed": 0, "best": {}}
    for number, (key, value) in enumerate(
        (k, v) for k in state for v in (None, "x", -1, 2**70, 1.5, [], {}, True, 1e999)
    ):
        shutil.copytree(seeds / "run", folder / f"position-{number:03d}")
        header = {
            "__metadata__": {"trishift": good_description(), "trishift.training": json.dumps({**state, key: value})}
        }
        (folder / f"position-{number:03d}" / "last.safetensors").write_bytes(with_header(json.dumps(header).encode()))
    shutil.rmtree(seeds)
    for name in ("recipe.yaml", "metrics.jsonl", "last.safetensors"):
        run = folder / f"device-{name}"
        run.mkdir()
        (run / name).symlink_to("/dev/zero")


def _hostile_exports(folder: Path) -> None:
    from trishift.io.protobuf import bytes_field, varint_field

    seeds = folder / "seeds"
    seeds.mkdir()
    _export_seeds(seeds)
    good = json.loads((seeds / "beside-onnx" / "model.onnx.trishift.json").read_text())
    wrong: tuple[Any, ...] = (
        None,
        5,
        -1,
        2**70,
        "x",
        [],
        {},
        [[]],
        True,
        {"a": 1},
        {"../../etc/passwd": {"bytes": 1, "sha256": "x"}},
    )
    changed = [{**good, key: value} for key in good for value in wrong]
    changed += [{**good, "program": {**good["program"], key: value}} for key in good["program"] for value in wrong]
    for path in ("/etc/passwd", "../../../../../../etc/passwd", "a\0b", "x" * 5000, "."):
        changed.append({**good, "format": "paddle", "files": {path: {"bytes": 1, "sha256": "x"}}})
        changed.append({**good, "files": {"model.onnx": path}})
    for number, content in enumerate(changed):
        case = folder / f"description-{number:03d}"
        shutil.copytree(seeds / ("beside-paddle" if content.get("format") == "paddle" else "beside-onnx"), case)
        place = (
            case / "model.paddle" / "trishift.json"
            if content.get("format") == "paddle"
            else case / "model.onnx.trishift.json"
        )
        place.write_text(json.dumps(content))
    for number, text in enumerate(("", "[" * 100_000, '{"trishift": 1e999}', '{"trishift": "x"}', "null", "9" * 5000)):
        shutil.copytree(seeds / "beside-onnx", folder / f"text-{number}")
        (folder / f"text-{number}" / "model.onnx.trishift.json").write_text(text)
    pair = bytes_field(1, b"trishift")
    onnx = (
        *(
            b"",
            b"\xff" * 50,
            varint_field(14, 2**64 - 1),
            bytes_field(14, pair),
            bytes_field(14, pair + varint_field(2, 2**63)),
        ),
        *(
            bytes_field(14, varint_field(1, 2**62)),
            bytes_field(14, pair + bytes_field(2, b"\xff\xff")),
            varint_field(14, 0),
        ),
        *(bytes_field(14, pair + bytes_field(2, b"[" * 50_000)), bytes_field(14, b"\xff" * 100), b"\x0a" * 100_000),
    )
    for number, data in enumerate(onnx):
        (folder / f"onnx-{number:02d}").mkdir()
        (folder / f"onnx-{number:02d}" / "model.onnx").write_bytes(data)
    for compression, size in BOMBS:
        bomb = zipped({"archive/extra/trishift": bytes(size)}, compression)
        for number, data in enumerate((bomb, lying(bomb, size, 4))):
            (folder / f"bomb-{compression}-{number}").mkdir()
            (folder / f"bomb-{compression}-{number}" / "model.pt2").write_bytes(data)
    (folder / "device").mkdir()
    (folder / "device" / "model.onnx").symlink_to("/dev/zero")
    shutil.rmtree(seeds)


def _npy(header: str, data: bytes = b"", version: bytes = b"\x01\0") -> bytes:
    length = struct.pack("<H" if version == b"\x01\0" else "<I", len(header))
    return b"\x93NUMPY" + version + length + header.encode() + data


def _hostile_scores(folder: Path) -> None:
    good = {
        "names.npy": _npy("{'descr': '<U1', 'fortran_order': False, 'shape': (1,), }\n", b"a\0\0\0"),
        "scores.npy": _npy("{'descr': '<f4', 'fortran_order': False, 'shape': (1, 1), }\n", b"\0" * 4),
        "targets.npy": _npy("{'descr': '<i8', 'fortran_order': False, 'shape': (1,), }\n", b"\0" * 8),
        "labels.npy": _npy("{'descr': '<U1', 'fortran_order': False, 'shape': (1,), }\n", b"a\0\0\0"),
    }
    headers = [
        f"{{'descr': {kind}, 'fortran_order': False, 'shape': {shape}, }}\n"
        for kind, shape in (
            *(
                ("'<f4'", "(2**40,)"),
                ("'<f4'", "(1099511627776,)"),
                ("'<f4'", "(0, 4611686018427387904)"),
                ("'O'", "(1,)"),
            ),
            *(
                ("'<f4'", "(-1,)"),
                ("'<f4'", "5"),
                ("'<f4'", "()"),
                ("'<U1000000'", "(1,)"),
                ("'<f4'", "(1,)*9"),
                ("[('a','<f4')]", "(1,)"),
            ),
            *(
                ("'<f4'", "(" + "1," * 70 + ")"),
                ("'V8'", "(1,)"),
                ("'<c8'", "(1,)"),
                ("'M8[s]'", "(1,)"),
                ("'|b1'", "(1,1)"),
            ),
            *(
                ("'<f4'", "(" * 3000 + ")" * 3000),
                ("'<f4'", "9" * 5000),
                ("'<U1'", "(1,)"),
                ("'S4'", "(1, 1)"),
                ("None", "(1,)"),
            ),
        )
    ]

    def contents() -> Iterator[bytes]:
        for key in good:
            for header in headers:
                yield zipped({**good, key: _npy(header, b"\0" * 16)})
            yield zipped({**good, key: b""})
            yield zipped({**good, key: pickle.dumps(Runs(os.system, "touch ran"), 2)})
            yield zipped({**good, key: _npy("x" * 70_000, b"", b"\x02\0")})
        for compression, size in BOMBS:
            header = f"{{'descr': '<f4', 'fortran_order': False, 'shape': ({size // 4}, 1), }}\n"
            large = _npy(header, bytes(size))
            bomb = zipped({**good, "scores.npy": large}, compression)
            yield bomb
            yield lying(bomb, len(large), 200)
        yield from (b"", b"PK", zipped({}), _npy(headers[0]), b"\x80\x02.")

    write_inputs(folder, ".scores.npz", contents())
    (folder / "device.npz").symlink_to("/dev/zero")


def _hostile_score_pickles(folder: Path) -> None:
    nested = b"]" + b"".join(b"q%c](h%ch%ce" % (i, i, i) for i in range(40))

    def contents() -> Iterator[bytes]:
        yield from hostile_pickles()
        yield from hostile_arrays()
        yield PROTOCOL + b"](](" + nested + b"K\0ee."
        row = pickle.dumps([np.zeros((1, 20_000), np.float32), 0], 4)[2:-1]
        yield b"\x80\x04](" + row + b"q\xff" + b"h\xff" * 100_000 + b"e."
        for rows in (
            [],
            [[]],
            [[1, 2]],
            [["a", "b"]],
            [[[1.0], 10**30]],
            [[[1.0], None]],
            [[[1.0], 0], [[1.0, 2.0], 0]],
            {},
            5,
        ):
            yield pickle.dumps(rows, 2)
        yield pickle.dumps([[[float("nan")] * 3, 0]] * 5, 2)
        yield pickle.dumps([[[10**400, 1], 0]], 2)

    write_inputs(folder, ".pkl", contents())
    for name in ("no views", "different"):
        (folder / name).mkdir()
    for number, row in enumerate(([[1.0, 2.0], 0], [[1.0, 2.0], 1], [[1.0], 0])):
        (folder / "different" / f"{number}.pkl").write_bytes(pickle.dumps([row], 2))


@lru_cache(maxsize=1)
def _own_recipe() -> Any:
    from trishift.recipe import load_recipe

    return load_recipe(CONFIG)


def read_run(path: Path, out: Path) -> None:
    """Read a run folder like `trishift train --resume` and `eval --checkpoint RUN`."""
    from trishift.checkpoints import inspect_weights
    from trishift.errors import TrishiftError
    from trishift.recipe import load_recipe, recipe_from_dict
    from trishift.training.run_folder import load_run, read_skipped
    from trishift.training.sinks import read_metrics

    read_metrics(path, "train"), read_metrics(path, "evaluation"), read_skipped(path / "skipped.txt")
    problem: TrishiftError | None = None
    for step in (
        lambda: load_recipe(path / "recipe.yaml"),
        lambda: load_run(path, _own_recipe()),
        lambda: str(inspect_weights(path)),
        lambda: recipe_from_dict(load_run(path, _own_recipe())[0].meta.get("recipe", {})),
    ):
        try:
            step()
        except TrishiftError as error:  # other files of the folder are still read
            problem = error
    if problem:
        raise problem


def read_export(path: Path, out: Path) -> None:
    """Describe an exported model and compare its files, like `trishift inspect`."""
    from trishift.commands.inspect import describe_export

    model = next(
        (each for each in sorted(path.iterdir()) if each.name.startswith("model.") and each.suffix != ".json"), path
    )
    with redirect_stdout(io.StringIO()):
        describe_export(model)
        describe_export(model, as_json=True)


def read_scores(path: Path, out: Path) -> None:
    """Read scores and compute metrics, like `trishift fuse`."""
    from trishift.evaluation.fusion import evaluation_of, fuse
    from trishift.evaluation.scores import read_scores

    scores = read_scores(path)
    str(fuse([scores, scores], [1, 2]).metrics)
    evaluation_of(scores)


READERS = {
    "run": Reader("run folder", _run_seeds, _hostile_runs, read_run),
    "export": Reader(
        "export's description (ONNX, MINDIR, Paddle, `.pt2`)", _export_seeds, _hostile_exports, read_export
    ),
    "scores": Reader("scores `.npz`", _score_seeds, _hostile_scores, read_scores),
    "score-pickles": Reader("scores of MSN (`.pkl`)", _score_pickle_seeds, _hostile_score_pickles, read_scores),
}
