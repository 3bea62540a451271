"""Every command in the guides runs, on small clips and networks, or is listed with the reason why not.

The pages share one folder (`tests/support/guide_stage.py`), in which a command that several pages have runs once.
"""

from __future__ import annotations

import re
import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support import guide_stage
from tests.support.command_line import command
from tests.support.guides import Block, blocks, name, steps
from tests.support.paths import ROOT

PAGES = [
    *(ROOT / name for name in ("docs/install.md", "docs/quickstart.md", "README.md", "README.zh-CN.md")),
    *sorted((ROOT / "docs/tutorials").glob("*.md")),
    *sorted((ROOT / "docs/zh").glob("*.md")),
]
NETWORK = "input.resize=32 input.crop=32 model.width=8 data.workers=1"
GESTURES = "data.root=runs/quickstart/gestures data.train_list=train.txt data.val_list=val.txt data.labels=labels.txt"
SMALL = (  # words added to commands that match
    (r"^train --config (?!.*train\.epochs)", "train.epochs=1"),
    (r"^train --config ", NETWORK),
    (r"^train --config (kinetics/|.*data/parts)", "train.batch_size=8"),
    (r"^train --config kinetics/(?!.*data\.)", GESTURES),
    (r"^train --config kinetics/.* data\.", "data.labels=labels.txt"),
    (r"^quickstart(?!.*--tiny)", "--tiny"),
    (r"^prepare gestures .*--hands 2", "--train 72 --val 72 --size 32"),
    (r"^prepare gestures (?!.*--(train|hands))", "--train 36 --val 18 --size 32"),
    (r"^prepare gestures .*--train 144", "--size 32"),
    (r"^finetune (?!.*--folds)", "--folds 2"),
    (r"^finetune (?!.*train\.epochs)", "train.epochs=1"),
    (r"^finetune ", "input.resize=32 input.crop=32"),
    (r"^finetune clips", "train.batch_size=7"),
)
ELSEWHERE = {  # commands that other tests run, in the framework, runtime or environment that they need
    r"--format (paddle|mindir)|best\.mindir": "tests/export/test_parity.py",
    r"openvino-int8|--format onnx (?!.*uint8)": "tests/commands/test_export.py",
    r"^trishift convert .*--verify": "tests/checkpoints/test_conversion.py",
    r"finetune clips --from (tsm\.safetensors|mobilenetv2)": "tests/commands/test_finetune.py",
    r"web_assets|finetune .*unidirectional|(CLIPS|clips)-finetune drawn": "tests/test_readme.py",
    r"^trishift stream 0": "tests/streaming/test_sources.py",
    r"^trishift demo": "tests/serving/test_page.py",
    r"^trishift serve": "tests/commands/test_serve.py",
    r"^trishift benchmark": "tests/test_speed.py",
    r"^trishift audit": "tests/evaluation/test_auditing.py",
    r"^trishift curve": "tests/training/test_learning_curve.py",
    r"^trishift explain": "tests/reporting/test_explanations.py",
    r"^trishift check": "tests/checking/test_check.py",
    r"^trishift doctor": "tests/commands/test_config.py",
    r"^trishift quickstart": "tests/support/guide_stage.py",
    r"pip install": "scripts/check_package.sh",
    r"^docker": ".github/workflows/tests.yml",
    r"trn\.ckpt|tsm_again|tsm\.ckpt tsm": "tests/checkpoints/test_golden.py",
}
FINE = {"inspect": (0, 4)}  # 4: in need of options


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[set[str]]:
    """The current folder becomes the stage; yields the commands that ran."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        guide_stage.build(tmp_path_factory.mktemp("guides"), monkeypatch)
        yield set()


def small_words(step: str) -> list[str]:
    """The words after `trishift`, for PyTorch, which stands for all frameworks, and for less work."""
    words = shlex.split(re.sub(r" --framework \w+", "", step), comments=True)[1:]
    line = shlex.join(words)
    return [*words, *(word for pattern, added in SMALL if re.search(pattern, line) for word in added.split())]


def run_block(block: Block, done: set[str]) -> None:
    """Run a block's steps that no page has run: ours in this process, others in a shell."""
    if block.language == "python":
        exec(compile(re.sub(r'framework="\w+"', 'framework="pytorch"', block.text), "guide", "exec"), {})
        return
    for step in steps(block.text):
        words = small_words(step) if step.startswith("trishift ") else ["bash", "-euc", step]
        if shlex.join(words) in done or any(re.search(pattern, step) for pattern in ELSEWHERE):
            continue
        done.add(shlex.join(words))
        if words[0] == "bash":
            subprocess.run(words, check=True)
        else:
            assert command(*words) in FINE.get(words[0], (0,)), step


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_commands_run(page: Path, stage: set[str]) -> None:
    for block in blocks(page):
        if not block.reason:
            run_block(block, stage)


@pytest.mark.parametrize(("page", "reason"), [(name(p), b.reason) for p in PAGES for b in blocks(p) if b.reason])
def test_commands_that_need_more(page: str, reason: str) -> None:
    pytest.skip(reason)


def test_other_tests_exist() -> None:
    assert all((ROOT / test).is_file() for test in ELSEWHERE.values())
