"""`trishift quickstart`: train, evaluate and predict on the built-in gestures with ordinary commands.

Generates the clips, trains TSN, TSM and TRN, evaluates and predicts, evaluates TSM's checkpoint in every installed
framework, hands one training run from framework to framework, and writes a table, `summary.json` and
`quickstart.png`.
"""

from __future__ import annotations

import importlib.util
import json
import os
import shlex
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

from trishift.backends import FRAMEWORKS, MODULES
from trishift.commands.shared.arguments import add_framework
from trishift.commands.shared.devices import AUTO, add_device, named_device
from trishift.commands.shared.outputs import check_folder
from trishift.commands.shared.parser import make_parser
from trishift.errors import TrishiftError
from trishift.io.atomic import write_text

EXAMPLES = """\
  trishift quickstart
  trishift quickstart --framework mindspore --output runs/quickstart-mindspore
  trishift quickstart --tiny                                   (does it run here? seconds, without learning much)
"""
MODELS = ("tsn", "tsm", "trn")


@dataclass(frozen=True)
class Size:
    """Extra arguments of `prepare gestures`, and overrides of the recipes."""

    clips: tuple[str, ...] = ()
    recipe: tuple[str, ...] = ()


FULL = Size()
TINY = Size(
    ("--train", "36", "--val", "18", "--size", "32"),
    ("input.resize=32", "input.crop=32", "model.width=8", "train.epochs=1"),
)


def main(arguments: list[str]) -> None:
    """Run the commands, then print and write the summary."""
    parser = make_parser("quickstart", "Train, evaluate and predict on the built-in gestures.", EXAMPLES)
    add_framework(parser)
    add_device(parser)
    parser.add_argument("--output", type=Path, default=Path("runs/quickstart"), help="default: runs/quickstart")
    parser.add_argument("--tiny", action="store_true", help="few small clips, one epoch, one framework: a trial run")
    options = parser.parse_args(arguments)
    if options.device != AUTO:
        named_device(options.device)  # refuse a wrong name before the work
    check_folder(options.output)
    print(f"output: {options.output.resolve()}")

    from trishift.reporting.quickstart import draw

    output: Path = options.output
    size = TINY if options.tiny else FULL
    began = time.monotonic()
    data = output / "gestures"
    call("prepare", "gestures", str(data), *size.clips)
    for model in MODELS:
        call("train", "--config", f"gestures/{model}", "--framework", options.framework, "--device", options.device,
             "--output", str(output / model), "--overwrite", f"data.root={data}", *size.recipe)  # fmt: skip
        evaluate(output, model, options.framework, options.device)
    clips = sorted((data / "val").rglob("*.mp4"))[:3]
    call("infer", "--checkpoint", str(best(output, "tsm")), "--framework", options.framework,
         "--device", options.device, "--output", str(output / "predictions.json"), *map(str, clips))  # fmt: skip
    compared = [options.framework] if options.tiny else installed()
    parity = {name: evaluate(output, "tsm", name, options.device) for name in compared}
    runners = [options.framework, *(name for name in parity if name != options.framework)]
    run_relay(output, data, runners, options.device, size)
    summary = summarize(output, runners, parity, time.monotonic() - began)
    write_text(output / "summary.json", json.dumps(summary, indent=2) + "\n")
    draw(data, output, output / "quickstart.png", runners)
    print_table(summary)
    print(f"\nwritten: {output / 'summary.json'}, {output / 'quickstart.png'}")


def call(*arguments: str) -> None:
    """Run a Trishift command in a separate process and print it as the user would type it."""
    print(f"\n$ trishift {shlex.join(arguments)}", flush=True)
    environment = {**os.environ, "PYTHONSAFEPATH": "1"}  # modules of the current folder are not ours
    with subprocess.Popen([sys.executable, "-m", "trishift", *arguments], env=environment) as process:
        try:
            status = process.wait()
        except BaseException:
            process.terminate()  # gives it the time to clean up
            raise
    if status:
        raise TrishiftError(f"quickstart: `trishift {arguments[0]}` failed with status {status}, see above")


def best(output: Path, model: str) -> Path:
    """The best checkpoint of a model's run."""
    return output / model / "best.safetensors"


def result_file(output: Path, model: str, framework: str) -> Path:
    """Path of the evaluation result of a model in a framework."""
    return output / model / f"result-{framework}.json"


def evaluate(output: Path, model: str, framework: str, device: str) -> float:
    """Evaluate a model's best checkpoint and return its top-1 accuracy."""
    path = result_file(output, model, framework)
    call("eval", "--checkpoint", str(best(output, model)), "--framework", framework, "--device", device,
         "--output", str(path))  # fmt: skip
    return float(json.loads(path.read_text(encoding="utf-8"))["top1"])


def installed() -> list[str]:
    """The frameworks installed in this environment."""
    return [name for name in FRAMEWORKS if importlib.util.find_spec(MODULES[name])]


def run_relay(output: Path, data: Path, frameworks: list[str], device: str, size: Size) -> None:
    """Train TSM again, one epoch per framework, each continuing where the previous one stopped."""
    for epoch, framework in enumerate(frameworks, 1):
        start = ["--resume", str(output / "relay")] if epoch > 1 else ["--overwrite"]
        call("train", "--config", "gestures/tsm", "--framework", framework, "--device", device,
             "--output", str(output / "relay"), "--until", str(epoch), *start, f"data.root={data}",
             *size.recipe)  # fmt: skip


def epoch_losses(run: Path, epochs: int) -> list[float]:
    """Mean training loss per epoch, for the first epochs of a run."""
    from trishift.training.sinks import read_metrics

    steps = read_metrics(run, "train")
    return [fmean(step["loss"] for step in steps if step["epoch"] == epoch) for epoch in range(1, epochs + 1)]


def summarize(output: Path, frameworks: list[str], parity: dict[str, float], seconds: float) -> dict[str, Any]:
    """The content of summary.json: accuracies and checkpoints by model, seconds, and TSM in every framework.

    `frameworks` lists the relay's frameworks in order; the first one trained everything else.
    """
    framework, epochs = frameworks[0], len(frameworks)
    results = {m: json.loads(result_file(output, m, framework).read_text(encoding="utf-8")) for m in MODELS}
    return {
        "framework": framework,
        "accuracy": {model: result["top1"] for model, result in results.items()},
        "videos": {model: result["videos"] for model, result in results.items()},
        "seconds": round(seconds, 1),
        "checkpoint": {model: str(best(output, model)) for model in MODELS},
        "parity": {"tsm_top1": parity, "largest_logit_difference": largest_difference(output, parity)},
        "relay": {
            "frameworks": frameworks,
            "loss": epoch_losses(output / "relay", epochs),
            "loss_in_one_framework": epoch_losses(output / "tsm", epochs),
        },
    }


def largest_difference(output: Path, frameworks: dict[str, float]) -> float:
    """Largest difference of TSM's logits between frameworks, relative to the largest logit."""
    import numpy as np

    from trishift.io.npz import read_npz

    scores = []
    for name in frameworks:
        scores += read_npz(result_file(output, "tsm", name).with_suffix(".scores.npz"), ["scores"])
    differences = [float(np.abs(other - scores[0]).max() / np.abs(scores[0]).max()) for other in scores]
    return max(differences)


def print_table(summary: dict[str, Any]) -> None:
    """Print the summary as small tables."""
    print(f"\nGestures, {summary['framework']}, {summary['seconds']:.0f} s in total")
    for model, accuracy in summary["accuracy"].items():
        print(f"  {model.upper()}   top-1 {accuracy:7.2%}   {summary['checkpoint'][model]}")
    print("The same TSM checkpoint in every installed framework")
    for framework, accuracy in summary["parity"]["tsm_top1"].items():
        print(f"  {framework:<10} top-1 {accuracy:7.2%}")
    print(f"  largest relative difference of logits {summary['parity']['largest_logit_difference']:.1e}")
    relay = summary["relay"]
    print(f"Mean training loss of TSM: handed on after every epoch, and entirely in {summary['framework']}")
    for name, handed_on, alone in zip(*relay.values(), strict=True):
        print(f"  {name:<10} {handed_on:.4f}   {alone:.4f}")
