"""The memory format and the form of the model in the arguments of commands."""

from __future__ import annotations

import argparse

import pytest

from trishift.commands.shared.arguments import add_execution, add_runtime, execution_of, runtime_of
from trishift.errors import RecipeError


@pytest.mark.parametrize(
    ("words", "expected"), [([], None), (["--no-channels-last"], False), (["--channels-last"], True)]
)
def test_backends_choose_unless_told(words: list[str], expected: bool | None) -> None:
    parser = argparse.ArgumentParser()
    add_execution(parser)
    options = parser.parse_args([*words, "--device", "cpu"])
    options.framework = "pytorch"
    assert execution_of(options).channels_last is expected


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ([], "auto"),
        (["--compile"], "compiled"),
        (["--compile", "--runtime", "compiled"], "compiled"),
        (["--runtime", "paddle-inference"], "paddle"),
        (["--runtime", "mindir"], "mindspore"),
        (["--runtime", "native"], "native"),
    ],
)
def test_forms_have_other_names(words: list[str], expected: str) -> None:
    parser = argparse.ArgumentParser()
    add_runtime(parser)
    assert runtime_of(parser.parse_args(words)) == expected


def test_contradicting_forms_are_refused() -> None:
    parser = argparse.ArgumentParser()
    add_runtime(parser)
    with pytest.raises(RecipeError, match="--compile: means --runtime compiled, not openvino; remove one"):
        runtime_of(parser.parse_args(["--compile", "--runtime", "openvino"]))


def test_features_offer_forms_with_layers(capsys: pytest.CaptureFixture[str]) -> None:
    parser = argparse.ArgumentParser()
    add_runtime(parser, layers=True)
    assert runtime_of(parser.parse_args([])) == "auto"
    with pytest.raises(SystemExit):
        parser.parse_args(["--runtime", "openvino"])
    assert "(choose from 'auto', 'native')" in capsys.readouterr().err
