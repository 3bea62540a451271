"""A tiny recipe that trains on a few gestures within seconds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml


def write_recipe(path: Path, root: Path, **changes: dict[str, Any]) -> Path:
    """Write a recipe for a folder of one-hand or two-hand gestures; `changes` update its sections."""
    suffix = "csv" if (root / "train.csv").is_file() else "txt"
    sections: dict[str, Any] = {
        "model": {"backbone": "resnet10", "width": 8, "num_segments": 4, "shift": {"div": 4}},
        "input": {"resize": 32, "crop": 32},
        "data": {
            **{"root": str(root), "train_list": f"train.{suffix}", "val_list": f"val.{suffix}"},
            "labels": "labels.txt",
        },
        "train": {"epochs": 1, "batch_size": 12, "lr": 0.01},
    }
    for section, values in changes.items():
        sections[section] |= values
    path.write_text(yaml.safe_dump({"name": "tiny", **sections}), encoding="utf-8")
    return path
