"""Wrong command lines: one line with the nearest command, option or recipe entry."""

from __future__ import annotations

import pytest
from tests.support.command_line import command

from trishift.cli import COMMANDS
from trishift.commands.shared.parser import make_parser


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("trian", "trian: unknown command; did you mean 'train'?"),
        ("Infer", "Infer: unknown command; did you mean 'infer'?"),
        ("prdict", "prdict: unknown command; did you mean 'predict'?"),
        ("train --epochs 3", "--epochs: unknown option; did you mean train.epochs=3?"),
        ("train --lr=0.1", "--lr: unknown option; did you mean train.lr=0.1?"),
        ("train --train.lr 0.1", "--train.lr: unknown option; did you mean train.lr=0.1?"),
        ("train --num-segments 16", "--num-segments: unknown option; did you mean model.num_segments=16?"),
        ("train --otput runs/a", "--otput: unknown option; did you mean --output?"),
        ("eval --checkpoint a.pth --batch_size 4", "--batch_size: unknown option; did you mean --batch-size?"),
        ("infer --checkpiont a.pth b.mp4", "--checkpiont: unknown option; did you mean --checkpoint?"),
        (
            "infer --checkpoint a.pth b --framework pytroch",
            "--framework: 'pytroch' is unknown; did you mean 'py",
        ),
        ("export --checkpoint a.pth --format onx", "--format: 'onx' is unknown; did you mean 'onnx'?"),
        ("export --checkpoint a.pth --format tflite", "--format: 'tflite' is unknown; one of onnx, mindir,"),
        ("prepare foldr clips", "KIND: 'foldr' is unknown; did you mean 'folder'?"),
        ("prepare folder clips --ouput lists", "--ouput: unknown option; did you mean --output?"),
        ("infer", "the following arguments are required: --checkpoint; see trishift infer --help"),
        ("infer --checkpoint a.pth --top-k few", "--top-k: invalid int value: 'few'; see trishift infer --help"),
        ("convert a.pth b.pth c.pth", "c.pth: unexpected; see trishift convert --help"),
    ],
)
def test_wrong_command_lines_are_one_line(words: str, message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert command(*words.split()) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    (line,) = printed.err.splitlines()
    assert line.startswith(f"error: {message}")


@pytest.mark.parametrize("words", ["-- -1.mp4 --top-k", "a.mp4 -- -1.mp4 --top-k", "--top-k 2 -- -1.mp4 --top-k"])
def test_words_after_two_dashes_are_no_options(words: str) -> None:
    parser = make_parser("infer", "", "")
    parser.add_argument("--top-k", type=int)
    parser.add_argument("videos", nargs="*")
    options = parser.parse_intermixed_args(words.split())
    assert options.videos == words.replace("--top-k 2", "").replace("-- ", "").split()
    assert options.top_k in (None, 2)


def test_completions_know_every_command_and_option(capsys: pytest.CaptureFixture[str]) -> None:
    assert command("completion", "bash") == 0
    script = capsys.readouterr().out
    assert script.startswith("# AUTOMATICALLY GENERATED")
    for name in COMMANDS:
        assert f"_shtab_trishift_{name.replace('-', '_')}_option_strings=" in script, name
    assert "--no-films" in script and " --resume " in script
