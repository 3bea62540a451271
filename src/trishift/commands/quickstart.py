"""`trishift quickstart`: train, evaluate and predict on the built-in gestures with ordinary commands.

Generates the clips, trains TSN, TSM and TRN, evaluates and predicts, evaluates TSM's checkpoint in every installed
framework, hands a short training run from framework to framework, and writes a table, `summary.json` and
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
RELAY, ALONE = "relay", "relay-alone"  # run folders: handed from framework to framework, and not
ONE_OF = 7  # the relay trains on every seventh clip, 8 steps per epoch; more would take minutes and show the same


@dataclass(frozen=True)
class Size:
    """Extra arguments of `prepare gestures`, and overrides of the recipes."""

    clips: tuple[str, ...] = ()
    recipe: tuple[str, ...] = ()


FULL = Size(recipe=("train.evaluate_every=2",))
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
    top1 = {}
    for model in MODELS:
        start = ("--overwrite", f"data.root={data}", *size.recipe)
        train(output / model, model, options.framework, options.device, *start)
        top1[model] = evaluate(output, model, options.framework, options.device)
    clips = sorted((data / "val").rglob("*.mp4"))[:3]
    call("infer", "--checkpoint", str(best(output, "tsm")), "--framework", options.framework,
         "--device", options.device, "--output", str(output / "predictions.json"), *map(str, clips))  # fmt: skip
    others = [] if options.tiny else [name for name in installed() if name != options.framework]
    parity = {name: evaluate(output, "tsm", name, options.device) for name in others}
    runners = [options.framework, *others]
    if others:
        run_relay(output, data, runners, options.device)
    summary = summarize(output, runners, {options.framework: top1["tsm"], **parity}, time.monotonic() - began)
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


def train(folder: Path, model: str, framework: str, device: str, *arguments: str) -> None:
    """Train a recipe of the gestures."""
    call("train", "--config", f"gestures/{model}", "--framework", framework, "--device", device,
         "--output", str(folder), *arguments)  # fmt: skip


def evaluate(output: Path, model: str, framework: str, device: str) -> float:
    """Evaluate a model's best checkpoint and return its top-1 accuracy."""
    path = result_file(output, model, framework)
    call("eval", "--checkpoint", str(best(output, model)), "--framework", framework, "--device", device,
         "--output", str(path), "--no-report")  # fmt: skip
    return float(json.loads(path.read_text(encoding="utf-8"))["top1"])


def installed() -> list[str]:
    """The frameworks installed in this environment."""
    return [name for name in FRAMEWORKS if importlib.util.find_spec(MODULES[name])]


def run_relay(output: Path, data: Path, frameworks: list[str], device: str) -> None:
    """Train TSM on a part of the clips: an epoch per framework, each continuing the last, and all in the first one."""
    from trishift.data.lists import read_list, write_list

    clips = read_list(data / "train.txt")[::ONE_OF]
    write_list(data / "relay.txt", clips)
    print(f"\nOne run handed from framework to framework, on {len(clips)} of the training clips: {data / 'relay.txt'}")
    settings = (f"data.root={data}", "data.train_list=relay.txt", "train.evaluate_every=0",
                f"train.epochs={len(frameworks)}", "log.report=false")  # fmt: skip
    for epoch, framework in enumerate(frameworks, 1):
        start = ("--resume", str(output / RELAY)) if epoch > 1 else ("--overwrite",)
        train(output / RELAY, "tsm", framework, device, *start, "--until", str(epoch), *settings)
    train(output / ALONE, "tsm", frameworks[0], device, "--overwrite", *settings)


def relay_losses(output: Path, frameworks: list[str]) -> dict[str, Any]:
    """Mean training loss per epoch of the relay, and of the same run in one framework."""
    from trishift.training.sinks import read_metrics

    losses = {}
    for kind, run in (("loss", RELAY), ("loss_in_one_framework", ALONE)):
        steps = read_metrics(output / run, "train")
        epochs = range(1, len(frameworks) + 1)
        losses[kind] = [fmean(step["loss"] for step in steps if step["epoch"] == epoch) for epoch in epochs]
    return {"frameworks": frameworks, **losses}


def summarize(output: Path, frameworks: list[str], parity: dict[str, float], seconds: float) -> dict[str, Any]:
    """The content of summary.json: accuracies and checkpoints by model, seconds, and TSM in every framework.

    `frameworks` lists the relay's frameworks in order; the first one trained everything else. One alone has no relay.
    """
    framework = frameworks[0]
    results = {m: json.loads(result_file(output, m, framework).read_text(encoding="utf-8")) for m in MODELS}
    return {
        "framework": framework,
        "accuracy": {model: result["top1"] for model, result in results.items()},
        "videos": {model: result["videos"] for model, result in results.items()},
        "seconds": round(seconds, 1),
        "checkpoint": {model: str(best(output, model)) for model in MODELS},
        "parity": {"tsm_top1": parity, "largest_logit_difference": largest_difference(output, parity)},
        **({"relay": relay_losses(output, frameworks)} if len(frameworks) > 1 else {}),
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
    if "relay" not in summary:  # with one framework
        return
    print("The same TSM checkpoint in every installed framework")
    for framework, accuracy in summary["parity"]["tsm_top1"].items():
        print(f"  {framework:<10} top-1 {accuracy:7.2%}")
    print(f"  largest relative difference of logits {summary['parity']['largest_logit_difference']:.1e}")
    print(f"Mean training loss of TSM on every {ONE_OF}th clip: handed on after every epoch, and entirely in "
          f"{summary['framework']}")  # fmt: skip
    for name, handed_on, alone in zip(*summary["relay"].values(), strict=True):
        print(f"  {name:<10} {handed_on:.4f}   {alone:.4f}")
