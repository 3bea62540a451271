"""Run every command of docs/migration.md, on miniature downloads and on weight files of real size and format.

    python -m benchmarks.migration                      all commands
    python -m benchmarks.migration --only "prepare "    commands that contain a text, if their inputs exist

The commands run in the order of the page, in a folder with the repository's scripts and recipes. Names in capitals are
replaced by folders. Added arguments make training runs small (an epoch of one or two steps, frames of 32 pixels, two
processes on a CPU), and a video replaces the camera. You can interrupt and repeat the benchmark: it skips commands that
succeeded. Their output is in WORK/logs.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from benchmarks.migration_downloads import write_downloads
from benchmarks.migration_weights import write_weights
from testing.migration_commands import commands

ROOT = Path(__file__).parents[1]
REPOSITORY = (
    *("train.py", "eval.py", "infer.py", "export.py", "configs", "convert", "scripts"),
    *("pyproject.toml", "requirements.txt", "requirements-dev.txt"),
)

NEEDED = {  # files that the page assumes, made before the first command that contains the text
    "train.batch_size=256": "for i in {1..64}; do cat data/kinetics/train.txt; done > data/kinetics/256.txt",
    "configs/ucf101/": "trishift prepare ucf101 DOWNLOADS --output data/ucf101",
    "msn_16f.json": "python eval.py --checkpoint best.pth.tar --num-segments 16 "
    "--config configs/somethingv1/msn_r50_16f.yaml --protocol center --output msn_16f.json",
    "tdn_16f.json": "python eval.py --checkpoint tdn_16f.pth.tar "
    "--config configs/somethingv2/tdn_r50_16f.yaml --protocol center --output tdn_16f.json",
}
REPLACED = (
    (r"prepare (\w+) DOWNLOADS", r"prepare \1 downloads/\1"),
    (r"\b(DATASET_ROOT|TARGET_PATH)\b", "data/jester-zoo"),
    (r"\bDATA_PATH\b", "downloads/jester"),
    (r"\bDATA\b", "data/custom"),
    (r"\bFRAMES\b", "data/custom/1"),
    (r"\bFOLDER\b", "views"),
    (r"best.pth.tar(.* configs/kinetics/)", r"kinetics/best.pth.tar\1"),  # two models with the same file name
    (r"stream 0(.*) --show", r"stream video.mp4\1"),  # neither camera nor screen
)
ADDED = (
    (r"prepare kinetics(?!.*--frames)", "--force"),  # the videos after the frames, in one folder
    (r"train.py --config|_train_gpu", "train.epochs=1 train.warmup_epochs=0 data.workers=1"),
    (r"train.py --config(?!.*/tdn_)|_train_gpu", "input.resize=32 input.crop=32"),
    (r"train.py --config.*/tdn_", "input.resize=64 input.crop=64"),  # smaller frames leave nothing to average
    (r"(train.py --config|_train_gpu)(?!.* train.batch_size)", "train.batch_size=4"),
    (r" train.batch_size=256", "train.accumulate=32 data.train_list=256.txt"),
    (r"train.py .*--resume", "train.epochs=2"),
    (r"segment8_e50.pth .* --protocol center", "--output a.json"),
    (r"segment8_e50.pth .* --protocol ten", "--output b.json"),
)
ENVIRONMENT = {"DEVICE": "cpu", "NPROC": "2"}


@dataclass(frozen=True)
class Outcome:
    """Result of a command; `error` is empty or the last line printed."""

    seconds: float
    error: str

    def __str__(self) -> str:
        return f"{self.seconds:.1f} | {self.error or 'ok'}"


def steps() -> list[str]:
    """Distinct commands of the page in its order, and the commands that make their inputs."""
    ordered = list(dict.fromkeys(commands()))
    for text, command in NEEDED.items():
        ordered.insert(next(i for i, other in enumerate(ordered) if text in other), command)
    return ordered


def adapted(command: str) -> str:
    """The command with real folders and small settings."""
    line = command
    for pattern, replacement in REPLACED:
        line = re.sub(pattern, replacement, line)
    return " ".join([line, *(words for pattern, words in ADDED if re.search(pattern, command))])


def make_folder(work: Path) -> None:
    """Make a folder of links to the repository and environment, downloads and weights; it appears when complete."""
    if (work / "logs").is_dir():
        return
    if work.exists():
        sys.exit(f"error: {work}: exists and was not made by this script; name another folder with --work")
    unfinished = work.with_name(f"{work.name}.unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)
    (unfinished / "logs").mkdir(parents=True)
    for name in REPOSITORY:
        (unfinished / name).symlink_to(ROOT / name)
    link_environment(unfinished / ".venv")
    write_downloads(unfinished)
    write_weights(unfinished)
    unfinished.rename(work)


def link_environment(folder: Path) -> None:
    """Make a virtual environment of links into this one, with the stamp that keeps scripts from installing anything."""
    folder.mkdir()
    for source in Path(sys.prefix).iterdir():
        if source.name != "installed":
            (folder / source.name).symlink_to(source)
    files = [ROOT / name for name in ("requirements.txt", "pyproject.toml")]
    stamp = subprocess.run(["cksum"], input=b"".join(f.read_bytes() for f in files), capture_output=True, check=True)
    (folder / "installed").write_bytes(stamp.stdout)


def run(command: str, work: Path, log: Path) -> Outcome:
    """Run a command line in the work folder."""
    paths = [Path(sys.executable).parent, os.environ["PATH"]]
    environment = {
        **os.environ,
        **ENVIRONMENT,
        "PATH": os.pathsep.join(map(str, paths)),
        "PYTHONPATH": str(ROOT / "src"),
    }
    began = time.perf_counter()
    with log.open("w", encoding="utf-8") as output:
        output.write(f"$ {command}\n")
        output.flush()
        done = subprocess.run(["bash", "-c", command], cwd=work, env=environment, stdout=output, stderr=output)
    seconds = time.perf_counter() - began
    return Outcome(seconds, last_line(log, done.returncode) if done.returncode else "")


def last_line(log: Path, status: int) -> str:
    """The one-line error, or else the last line printed."""
    lines = [line for line in log.read_text(encoding="utf-8", errors="replace").splitlines() if line.strip()]
    errors = [line for line in lines if line.startswith("error: ")]
    return (errors or lines)[-1].replace("|", "\\|") + f" (status {status})"


def read_outcomes(path: Path) -> dict[str, Outcome]:
    """Read outcomes by command."""
    if not path.is_file():
        return {}
    return {command: Outcome(**entry) for command, entry in json.loads(path.read_text(encoding="utf-8")).items()}


def main() -> None:
    """Run the chosen commands that have not succeeded yet, print the table, and exit with 1 if a command failed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, default=Path("runs/migration"), help="default: runs/migration")
    parser.add_argument("--only", default="", metavar="TEXT", help="commands that contain this text")
    options = parser.parse_args()

    work = options.work.absolute()
    make_folder(work)
    file = work / "outcomes.json"
    outcomes = read_outcomes(file)
    chosen = [(number, command) for number, command in enumerate(steps(), 1) if options.only in command]
    print("| command | seconds | result |\n|---|---|---|")
    for number, command in chosen:
        if command not in outcomes or outcomes[command].error:
            outcomes[command] = run(adapted(command), work, work / "logs" / f"{number:02d}.txt")
            file.write_text(json.dumps({key: asdict(value) for key, value in outcomes.items()}, indent=1))
        print(f"| `{command}` | {outcomes[command]} |", flush=True)
    found = [outcomes[command] for _, command in chosen]
    failed = sum(bool(outcome.error) for outcome in found)
    needed = sum(command in NEEDED.values() for _, command in chosen)
    seconds = sum(outcome.seconds for outcome in found)
    print(f"\n{len(found) - needed} commands and {needed} that make their inputs: {failed} failed, {seconds:.0f} s")
    sys.exit(failed > 0)


if __name__ == "__main__":
    main()
