"""From 30 drawn clips of two gestures to a live page of one's own model, by the commands of the readme alone."""

from __future__ import annotations

import re
import shlex
import shutil
import socket
import subprocess
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from starlette.types import ASGIApp
from tests.support.command_line import command
from tests.support.guides import blocks, steps
from tests.support.live_page import find_chromium, watch
from tests.support.paths import ROOT

from trishift.data.sources import open_clip
from trishift.serving import running

README = ROOT / "README.md"
WEIGHTS = ROOT / "tests/serving/gestures.safetensors"  # in place of those of the quickstart, see README.md beside it
PATH = (  # what a reader does, in this order
    *("git clone", "pip install '.[pytorch]'", "trishift quickstart", "trishift prepare gestures", "trishift finetune"),
    *("trishift infer --checkpoint runs/", "bash scripts/web_assets.sh", "pip install '.[pytorch,export,serve]'"),
    "trishift demo runs/",
)
SMALL = {"finetune": ["--folds", "2", "train.epochs=1"], "demo": ["--port", "0"]}


def test_readme_leads_to_a_live_page_of_the_own_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    find_chromium()
    monkeypatch.chdir(tmp_path)
    Path("runs/quickstart/tsm").mkdir(parents=True)
    shutil.copy(WEIGHTS, "runs/quickstart/tsm/best.safetensors")
    with_camera: dict[str, Any] = {}

    def run(app: ASGIApp, bound: socket.socket, patience: float) -> None:
        bound.close()
        with open_clip("drawn/train/swiping_right_0015.mp4") as clip:  # not one of the 30
            with_camera.update(watch(app, clip.read(range(clip.num_frames)), tmp_path))

    monkeypatch.setattr(running, "run", run)
    for step in own_steps():
        words = shlex.split(step, comments=True)
        if words[0] == "trishift":
            assert command(*words[1:], *SMALL.get(words[1], [])) == 0, step
        elif not re.search("web_assets|pip install", step):
            subprocess.run(["bash", "-euc", step], check=True)
    assert len(list(Path("CLIPS").glob("*/*.mp4"))) == 30
    [(shown, _)] = Counter(with_camera["shown"]).most_common(1)
    assert shown == "swiping_right"
    assert with_camera["runtime"].startswith("WebAssembly") and with_camera["fps"] > 0


def own_steps() -> list[str]:
    """The steps of the readme from the clips to the page."""
    found = [step for block in blocks(README) if block.language == "bash" for step in steps(block.text)]
    first, last = (next(n for n, step in enumerate(found) if step.startswith(PATH[place])) for place in (3, -1))
    return found[first : last + 1]


def test_readme_names_the_steps_in_order() -> None:
    text = README.read_text("utf-8")
    places = [text.index(step) for step in PATH]
    assert places == sorted(places)
