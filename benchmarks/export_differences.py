"""Differences between checkpoints and their exports, for every model in every exact format: a table of docs/deploy.md.

    python -m benchmarks.export_differences [--backbones resnet50 mobilenet_v2 bn_inception] [--size 224]

Exports TSN, TSM in both directions and TRN on every backbone, each in a process of its own, and prints the larger of
the differences that the export measured for batches of 1 and 3. Exports that already exist in --folder are reused.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from testing.weights import smooth_weights

from trishift.checkpoints import Checkpoint
from trishift.checkpoints.canonical import save
from trishift.export.description import read_description
from trishift.export.formats import FORMATS
from trishift.model.spec import HeadSpec, ModelSpec, ShiftSpec, default_input

BACKBONES = ("resnet50", "mobilenet_v2", "pp_mobilenet_v3", "pp_lcnet_v2", "bn_inception")


def models(backbone: str) -> dict[str, ModelSpec]:
    """TSN, TSM and TRN of eight frames on a backbone."""
    shift = ShiftSpec(placement="block" if backbone == "bn_inception" else "blockres")
    tsn = ModelSpec(backbone, 27, num_segments=8)  # type: ignore[arg-type]
    return {
        "TSN": tsn,
        "TSM": replace(tsn, shift=shift),
        "online TSM": replace(tsn, shift=replace(shift, direction="unidirectional")),
        "TRN multi-scale": replace(tsn, head=HeadSpec("multiscale_relation")),
    }


def write_checkpoint(path: Path, spec: ModelSpec, size: int) -> None:
    """Write a checkpoint of synthetic weights that lose no precision (see `testing.weights`)."""
    pixels = replace(default_input(spec.backbone), resize=max(256, size), crop=size)
    save(path, Checkpoint(smooth_weights(spec), spec, pixels))


def export(checkpoint: Path, format: str, folder: Path) -> Path:
    """Path of the checkpoint's export in a format, which is written if it is missing."""
    path = folder / f"{checkpoint.stem}{FORMATS[format].suffix}"
    if not path.exists():
        command = [sys.executable, "-m", "trishift", "export", "--checkpoint", str(checkpoint)]
        command += ["--format", format, "--output", str(folder)]
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
        subprocess.run(command, stdout=subprocess.DEVNULL, env=environment, check=True)
    return path


def matrix(options: argparse.Namespace) -> Iterator[str]:
    """Lines of the matrix of differences."""
    formats = [format for format in FORMATS.values() if not format.lossy]
    yield row(["model", "backbone", *(format.title for format in formats)])
    yield row(["---", "---", *["---:"] * len(formats)])
    for backbone in options.backbones:
        for name, spec in models(backbone).items():
            checkpoint = options.folder / f"{name.replace(' ', '-')}-{backbone}-{options.size}.safetensors"
            if not checkpoint.is_file():
                write_checkpoint(checkpoint, spec, options.size)
            paths = [export(checkpoint, format.name, options.folder) for format in formats]
            measured = [max(read_description(path).measured["relative"].values()) for path in paths]
            yield row([name, backbone, *(f"{value:.1g}" for value in measured)])


def row(cells: list[str]) -> str:
    """Row of a Markdown table."""
    return f"| {' | '.join(cells)} |"


def main() -> None:
    """Parse, measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--backbones", nargs="+", default=BACKBONES)
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--folder", type=Path, default=Path("runs/deployment"), help="where exports are kept")
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    for line in matrix(options):
        print(line, flush=True)


if __name__ == "__main__":
    main()
