"""Two machines train like one process, end together, and must agree: the commands of docs/distributed.md.

The machines are network namespaces, see `tests.support.nodes`; each runs one process.
"""

from __future__ import annotations

import importlib.util
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
import yaml
from tests.support.nodes import Node, two_nodes
from tests.support.paths import ROOT
from tests.support.tiny import write_recipe

from trishift.backends import FRAMEWORKS, MODULES
from trishift.checkpoints.training_state import load_state

PAGE = (ROOT / "docs/distributed.md").read_text("utf-8")
DATA = {"augmentation": {"flip": "none"}}
TRAIN = {"batch_size": 8, "lr": 0.02, "frozen_bn": True, "clip_norm": 5}
ENDLESS = "train.epochs=500 train.save_every=1 train.evaluate_every=0"
LONGEST = 240  # seconds of a run
SMALL = (  # what this machine has less of than those of the page
    (r"--nproc_per_node 4", "--nproc_per_node 1"),
    (r"--worker_num 8 --local_worker_num 4", "--worker_num 2 --local_worker_num 1"),
    (r"--device (gpu|ascend)", "--device cpu"),
)


@pytest.fixture(scope="module")
def nodes() -> Iterator[list[Node]]:
    try:
        with two_nodes() as machines:
            yield machines
    except OSError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="module")
def folder(gestures: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A recipe and its data: five steps of eight clips."""
    path = tmp_path_factory.mktemp("nodes")
    shutil.copytree(gestures, path / "data")
    lines = (path / "data/train.txt").read_text().splitlines(keepends=True)
    (path / "data/train.txt").write_text("".join((lines * 2)[:40]))
    write_recipe(path / "tiny.yaml", path / "data", model={"dropout": 0.3}, data=DATA, train=TRAIN)
    return path


@pytest.fixture(scope="module")
def alone(folder: Path) -> Path:
    """The run of one process, in PyTorch for all frameworks: parity tests compare these with each other."""
    output = folder / "alone"
    command = f"python train.py --config {folder}/tiny.yaml --output {output} --device cpu"
    assert subprocess.run(["bash", "-c", command], env=environment(folder, "pytorch", output), cwd=ROOT).returncode == 0
    return output


def needs(framework: str) -> None:
    if importlib.util.find_spec(MODULES[framework]) is None:
        pytest.skip(f"{framework} is not installed")


def environment(folder: Path, framework: str, output: Path) -> dict[str, str]:
    paths = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    sources = os.pathsep.join([str(ROOT / "src"), os.environ.get("PYTHONPATH", "")])
    recipe = {"FRAMEWORK": framework, "CONFIG": str(folder / "tiny.yaml"), "OUTPUT": str(output)}
    machine = {"DEVICE": "cpu", "NPROC": "1", "OMP_NUM_THREADS": "1"}
    return {**os.environ, "PATH": paths, "PYTHONPATH": sources, **machine, **recipe}


def block(heading: str, number: int = 0, language: str = "bash") -> str:
    """A fenced block of the page under a heading."""
    section = PAGE.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    return re.findall(rf"^```{language}\n(.*?)^```$", section, re.MULTILINE | re.DOTALL)[number]


def start(node: Node, command: str, log: Path, variables: dict[str, str]) -> subprocess.Popen[bytes]:
    with log.open("wb") as file:
        words = node.command("bash", "-euc", command)
        return subprocess.Popen(words, env=variables, stdout=file, stderr=subprocess.STDOUT, cwd=ROOT)


class Job:
    """A command on each of two machines."""

    def __init__(self, nodes: list[Node], commands: list[str], output: Path, *variables: dict[str, str]) -> None:
        self.logs = [output.with_name(f"{output.name}-{number}.log") for number in (0, 1)]
        self.processes = [start(*job) for job in zip(nodes, commands, self.logs, variables, strict=True)]

    def wait(self) -> list[int]:
        """The exit statuses."""
        try:
            return [process.wait(LONGEST) for process in self.processes]
        finally:
            for process in self.processes:
                process.kill()

    def wait_for(self, file: Path) -> None:
        while not file.exists():
            assert self.processes[0].poll() is None, self.texts()
            time.sleep(0.1)

    def texts(self) -> list[str]:
        return [log.read_text("utf-8", errors="replace") for log in self.logs]


def script(
    nodes: list[Node],
    folder: Path,
    framework: str,
    output: Path,
    words: str = "",
    more: str = "",
    root: Path | None = None,
) -> Job:
    """The page's commands with the script; `more` are words for the second machine, and `root` are its clips."""
    commands = [block("With the script", number).strip() for number in (0, 1)]
    roots = (folder / "data", root or folder / "data")
    commands = [command.replace("data/gestures", str(own)) for command, own in zip(commands, roots, strict=True)]
    variables = environment(folder, framework, output)
    ends = [words, f"{words} {more}"]
    return Job(nodes, [f"{c} {end}" for c, end in zip(commands, ends, strict=True)], output, variables, variables)


def difference(one: Path, two: Path, steps: int) -> float:
    """The largest difference of the weights of two runs, relative to the largest weight of a tensor."""
    (first, state), (second, other) = (load_state(path / "last.safetensors") for path in (one, two))
    assert state.iteration == other.iteration == steps
    return max(
        float(np.abs(value - second.tensors[name]).max() / max(np.abs(value).max(), 1e-12))
        for name, value in first.tensors.items()
    )


def launchers(nodes: list[Node], folder: Path, framework: str, output: Path, words: str = "") -> Job:
    """The page's command with a framework's launcher."""
    command = block("With the launchers", FRAMEWORKS.index(framework)).strip()
    command = command.replace("gestures/tsm", f"{folder}/tiny.yaml")
    for pattern, smaller in SMALL:
        command = re.sub(pattern, smaller, command)
    command = command.replace("ranks/", f"{output}-ranks/") + f" --output {output} {words}"
    shared = {**environment(folder, framework, output), "MASTER_ADDR": nodes[0].address, "GLOO_SOCKET_IFNAME": "eth0"}
    own = [{"NODE_RANK": str(number), "NODE_ADDR": node.address} for number, node in enumerate(nodes)]
    return Job(nodes, [command, command], output, *(shared | variables for variables in own))


def continue_alone(folder: Path, framework: str, output: Path) -> None:
    """Continue an `ENDLESS` run by the page's command, to the end of the epoch, and compare it with an unbroken one.

    Both are runs of one process.
    """
    _, state = load_state(output / "last.safetensors")
    until, whole = state.epoch + 1, output.with_name(f"{output.name}-whole")
    resumed = block("Continue a run").strip().replace("data/gestures", f"{folder}/data")
    resumed = resumed.replace("runs/tsm", str(output))
    unbroken = f"python train.py --config {folder}/tiny.yaml --framework {framework} --device cpu --output {whole}"
    variables = environment(folder, framework, output)
    for command in (resumed, unbroken):
        words = ["bash", "-c", f"{command} {ENDLESS} --until {until}"]
        assert subprocess.run(words, env=variables, cwd=ROOT).returncode == 0, command
    assert difference(whole, output, steps=5 * until) < 1e-3
    np.testing.assert_allclose(losses(output), losses(whole), rtol=1e-3)


def losses(run: Path) -> list[float]:
    """Those of all steps."""
    records = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    steps = [record for record in records if record["kind"] == "train"]
    assert [step["iteration"] for step in steps] == list(range(len(steps)))
    return [step["loss"] for step in steps]


@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_two_machines_train_like_one_process(nodes: list[Node], folder: Path, alone: Path, framework: str) -> None:
    needs(framework)
    output = folder / f"launched-{framework}"
    job = launchers(nodes, folder, framework, output)
    assert job.wait() == [0, 0], job.texts()
    assert "2 processes" in job.texts()[0]
    assert difference(alone, output, steps=5) < 1e-4


@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_a_machine_that_is_gone_ends_the_run_and_another_number_of_processes_continues_it(
    folder: Path, framework: str
) -> None:
    needs(framework)
    output = folder / f"gone-{framework}"
    try:
        with two_nodes() as nodes:
            job = script(nodes, folder, framework, output, ENDLESS)
            job.wait_for(output / "last.safetensors")
            nodes[1].unplug()
            cut = time.monotonic()
            assert all(job.wait())
            assert time.monotonic() - cut < 60
    except OSError as error:
        pytest.skip(str(error))
    text = job.texts()[0]
    assert re.search(r"^error: rank 1 on node-b is gone: .*the last checkpoint is intact; .*--resume", text, re.M)
    continue_alone(folder, framework, output)


@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_a_stop_on_one_machine_stops_both_after_the_same_step(nodes: list[Node], folder: Path, framework: str) -> None:
    """As when a pod is evicted: SIGTERM reaches the script of one machine only."""
    needs(framework)
    output = folder / f"stopped-{framework}"
    job = script(nodes, folder, framework, output, ENDLESS)
    job.wait_for(output / "last.safetensors")
    job.processes[1].send_signal(signal.SIGTERM)
    assert all(job.wait())
    assert_stopped_together(*job.texts())
    assert_stopped_together(*reversed(job.texts()))
    continue_alone(folder, framework, output)


@pytest.mark.parametrize("framework", FRAMEWORKS)
@pytest.mark.parametrize("number", [0, 1])
def test_a_launcher_that_is_killed_stops_both_machines(
    nodes: list[Node], folder: Path, framework: str, number: int
) -> None:
    """Its own process survives: it must not train on, while the other launcher waits for the killed one."""
    needs(framework)
    output = folder / f"launcher-{framework}-{number}"
    job = launchers(nodes, folder, framework, output, ENDLESS)
    job.wait_for(output / "last.safetensors")
    job.processes[number].kill()
    killed = time.monotonic()
    assert all(job.wait())
    while remaining := processes_of(output):
        assert time.monotonic() - killed < 60, remaining
        time.sleep(0.5)
    assert time.monotonic() - killed < 60
    logs = [*job.texts(), *(log.read_text() for log in output.with_name(f"{output.name}-ranks").glob("**/*log*"))]
    assert any(f"the launcher of rank {number} on node-{'ab'[number]} is gone\n" in log for log in logs), logs
    assert_stopped_together(job.texts()[1 - number], *logs)


def assert_stopped_together(*texts: str) -> None:
    assert re.search(r"^stopped after step \d+/5 of epoch \d+; saved to .*--resume", texts[0], re.M), texts
    assert len({step for text in texts for step in re.findall(r"stopped after (step \d+/5 of epoch \d+)", text)}) == 1
    assert not any("is gone: killed" in text for text in texts), texts


def processes_of(output: Path) -> dict[int, str]:
    """The commands of the processes that work on a run; `tail`, which a killed msrun leaves behind, is ended."""
    found = {}
    for file in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):  # it has just ended
            command, number = file.read_bytes().replace(b"\0", b" ").decode(), int(file.parent.name)
            if str(output) in command and "tail -f" in command:
                os.kill(number, signal.SIGKILL)
            elif str(output) in command:
                found[number] = command
    return found


def test_slurm_starts_both_machines(nodes: list[Node], folder: Path, alone: Path) -> None:
    """The job script, under stand-ins for `srun`, which starts a task on each machine, and `scontrol`."""
    output = folder / "slurm"
    tools = folder / "slurm-tools"
    tools.mkdir()
    (tools / "scontrol").write_text(f"#!/bin/sh\necho {nodes[0].address}\necho {nodes[1].address}\n")
    tasks = [f'SLURM_NODEID={n} {" ".join(node.command())} "$@" &' for n, node in enumerate(nodes)]
    (tools / "srun").write_text("\n".join(["#!/bin/sh", "shift", *tasks, "first=$!", "wait", ""]))
    for tool in tools.iterdir():
        tool.chmod(0o755)
    variables = environment(folder, "pytorch", output) | {"SLURM_NNODES": "2", "SLURM_JOB_NODELIST": "node-[a-b]"}
    variables["PATH"] = f"{tools}{os.pathsep}{variables['PATH']}"
    text = block("Slurm").replace("data/gestures", f"{folder}/data")
    subprocess.run(["bash", "-euc", text], env=variables, cwd=ROOT, timeout=LONGEST)
    assert difference(alone, output, steps=5) < 1e-4


def test_kubernetes_starts_both_machines(nodes: list[Node], folder: Path, alone: Path) -> None:
    """The containers of the job, with what Kubernetes sets: the number of a pod, and names that have addresses."""
    output = folder / "kubernetes"
    service, job = yaml.safe_load_all(block("Kubernetes", language="yaml"))
    pod = job["spec"]["template"]["spec"]
    container = pod["containers"][0]
    variables = environment(folder, "pytorch", output) | {each["name"]: each["value"] for each in container["env"]}
    assert variables["MASTER_ADDR"] == f"{job['metadata']['name']}-0.{pod['subdomain']}"
    assert service["metadata"]["name"] == pod["subdomain"]
    assert int(variables["NNODES"]) == job["spec"]["completions"] == job["spec"]["parallelism"] == len(nodes)
    variables |= {"MASTER_ADDR": nodes[0].address, "OUTPUT": str(output)}
    command = container["command"][2].replace("/data/gestures", f"{folder}/data")
    indices = [{"JOB_COMPLETION_INDEX": str(number)} for number in (0, 1)]
    run = Job(nodes, [command, command], output, *(variables | index for index in indices))
    assert run.wait() == [0, 0], run.texts()
    assert difference(alone, output, steps=5) < 1e-4


def test_a_machine_with_another_recipe_or_list_is_refused(nodes: list[Node], folder: Path) -> None:
    other = folder / "other"
    shutil.copytree(folder / "data", other)
    lines = (other / "val.txt").read_text().splitlines(keepends=True)
    (other / "val.txt").write_text("".join(reversed(lines)))
    cases = [
        ("train.lr=0.03", folder / "data", r"train\.lr 0\.03, but rank 0 on node-a has 0\.02"),
        ("train.lr=0.02", other, r"validation list val\.txt \w+, but rank 0 on node-a has \w+"),
    ]
    for number, (word, root, message) in enumerate(cases):
        job = script(nodes, folder, "pytorch", folder / f"refused-{number}", "", word, root=root)
        assert all(job.wait())
        for text in job.texts():
            assert re.search(f"^error: rank 1 on node-b has {message}; give all machines the same", text, re.M), text
        assert not (folder / f"refused-{number}" / "recipe.yaml").exists()


def test_a_machine_with_other_code_is_refused(nodes: list[Node], folder: Path) -> None:
    sources = folder / "sources"
    shutil.copytree(ROOT / "src/trishift", sources / "trishift", ignore=shutil.ignore_patterns("__pycache__", "ort"))
    with (sources / "trishift/errors.py").open("a") as file:
        file.write("# changed\n")
    output = folder / "other-code"
    variables = environment(folder, "pytorch", output)
    other = variables | {"PYTHONPATH": str(sources)}
    commands = [block("With the script", n).replace("data/gestures", f"{folder}/data") for n in (0, 1)]
    job = Job(nodes, commands, output, variables, other)
    assert all(job.wait())
    message = r"^error: rank 1 on node-b has code \w+, but rank 0 on node-a has \w+; give all"
    assert all(re.search(message, text, re.M) for text in job.texts()), job.texts()


def test_a_machine_that_fails_tells_the_others_why(nodes: list[Node], folder: Path) -> None:
    """Clips are missing on one machine: the other says so, instead of waiting for it."""
    other = folder / "without-clips"
    other.mkdir()
    for file in (folder / "data").glob("*.txt"):
        shutil.copy(file, other)
    job = script(nodes, folder, "pytorch", folder / "missing-clips", root=other)
    assert all(job.wait())
    first, second = job.texts()
    reason = "train.txt: none of 16 sampled clips can be read"
    assert re.search(f"^error: rank 1 on node-b: {reason}", first, re.M), first
    assert re.search(f"^error: {reason}", second, re.M), second
