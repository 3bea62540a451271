"""docs/migration.md: every command is accepted, with files and options that exist."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
from testing.migration_commands import commands, rows
from tests.support.command_line import parse
from tests.support.paths import ROOT

from trishift.cli import COMMANDS
from trishift.data.prepare.jester import ORIGINAL_NAMES
from trishift.data.prepare.pipeline import ListNames
from trishift.data.protocol import PROTOCOLS
from trishift.recipe import load_recipe

OPERANDS = {  # minimum and maximum number of operands per script
    "unpack_jester_dataset.sh": (2, 2),
    "preprocess_jester_dataset.sh": (1, 1),
    "convert_bn_inception.sh": (2, 2),
    "run_standalone_train_gpu.sh": (2, 3),
    "run_distributed_train_gpu.sh": (1, 2),
    "run_eval_gpu.sh": (2, 2),
    "run_export_gpu.sh": (2, 2),
}


def test_every_row_has_a_command() -> None:
    assert len(rows()) > 40
    for original, ours in rows():
        assert re.search(r"`[^`]+ [^`]+`", ours), original


@pytest.mark.parametrize("command", commands())
def test_the_program_accepts_the_command(command: str, monkeypatch: pytest.MonkeyPatch) -> None:
    variables = re.match(r"(?:[A-Z]+=\S+ )*", command)
    assert variables is not None
    words = shlex.split(command[variables.end() :])
    settings = dict(word.split("=", 1) for word in shlex.split(variables.group()))
    if "CONFIG" in settings:
        load_recipe(ROOT / settings["CONFIG"])
    if words[0] == "pip":
        return
    if words[0] == "bash":
        least, most = OPERANDS[Path(words[1]).name]
        assert (ROOT / words[1]).is_file()
        assert least <= len(words[2:]) <= most
        return
    if words[0] == "python":
        assert (ROOT / words[1]).is_file()
        words = ["trishift", words[1].removesuffix(".py"), *words[2:]]
    assert words[0] == "trishift" and words[1] in COMMANDS
    options = parse(monkeypatch, words[1:])
    if getattr(options, "config", None):
        load_recipe(ROOT / options.config, options.overrides)
    assert getattr(options, "protocol", None) in (None, *PROTOCOLS)


def test_jester_output_matches_its_recipes(monkeypatch: pytest.MonkeyPatch) -> None:
    (command,) = [command for command in commands() if command.startswith("trishift prepare jester")]
    options = parse(monkeypatch, shlex.split(command)[1:])
    names = ORIGINAL_NAMES if options.original_names else ListNames()
    data = load_recipe(ROOT / "configs/jester/base.yaml").data
    assert data.root == str(options.output)
    assert [data.train_list, data.val_list] == [f"{part}{names.suffix}" for part in ("train", "val")]
    assert data.labels == names.labels
