"""The folders are floors: who may import what, and what `import trishift` costs."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest
from tests.support.paths import ROOT

SOURCE = ROOT / "src" / "trishift"
FRAMEWORKS = {"torch": "pytorch", "mindspore": "mindspore", "paddle": "paddle"}
LAYERS = (  # lowest first; a package imports only from the layers below its own, without exception
    ("errors", "version"),
    ("io",),
    ("model",),
    ("data",),
    ("backends",),
    ("recipe",),
    ("checkpoints",),
    ("evaluation",),
    ("export", "streaming", "training"),
    ("reporting",),
    ("api",),
    ("commands",),
    ("cli",),
    ("__main__",),
)
LAYER_OF = {part: layer for layer, parts in enumerate(LAYERS) for part in parts}


def imports(path: Path) -> set[str]:
    """Dotted names of all modules that a file imports, wherever the import stands."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module == "trishift":
            names |= {f"trishift.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module)
    return names


def part_of(path: Path) -> str:
    return path.relative_to(SOURCE).parts[0].removesuffix(".py")


FILES = sorted(SOURCE.rglob("*.py"))


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(SOURCE)))
def test_only_its_own_backend_imports_a_framework(path: Path) -> None:
    for framework, folder in FRAMEWORKS.items():
        if any(name.split(".")[0] == framework for name in imports(path)):
            assert path.is_relative_to(SOURCE / "backends" / folder)


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(SOURCE)))
def test_packages_import_only_from_the_layers_below(path: Path) -> None:
    part = part_of(path)
    if part == "__init__":  # the public face of the package
        return
    used = {name.split(".")[1] for name in imports(path) if name.startswith("trishift.")} - {part}
    assert not {name for name in used if LAYER_OF[name] >= LAYER_OF[part]}


@pytest.mark.parametrize("folder", FRAMEWORKS.values())
def test_backends_do_not_know_each_other(folder: str) -> None:
    others = {f"trishift.backends.{other}" for other in FRAMEWORKS.values() if other != folder}
    for path in (SOURCE / "backends" / folder).glob("*.py"):
        assert not any(name.startswith(tuple(others)) for name in imports(path)), path


def test_commands_are_modules_with_a_main_that_do_not_know_each_other() -> None:
    for path in (SOURCE / "commands").glob("*.py"):
        functions = {node.name for node in ast.parse(path.read_text("utf-8")).body if isinstance(node, ast.FunctionDef)}
        assert "main" in functions or path.stem == "__init__", path
        siblings = {name for name in imports(path) if name.startswith("trishift.commands.")}
        assert all(name.startswith("trishift.commands.shared.") for name in siblings), path


PROGRAMS = {"benchmarks": {"tests"}, "tests": {"benchmarks"}, "testing": {"tests", "benchmarks"}}


@pytest.mark.parametrize("folder", PROGRAMS)
def test_tests_and_benchmarks_share_only_testing(folder: str) -> None:
    files = sorted((ROOT / folder).rglob("*.py"))
    assert files
    for path in files:
        assert not {name.split(".")[0] for name in imports(path)} & PROGRAMS[folder], path


def test_backends_hold_the_same_files_classes_and_functions() -> None:
    def outline(folder: str) -> dict[str, set[str]]:
        return {
            path.name: {
                node.name
                for node in ast.parse(path.read_text(encoding="utf-8")).body
                if isinstance(node, ast.ClassDef) and not node.name.startswith("_")
            }
            for path in (SOURCE / "backends" / folder).glob("*.py")
        }

    reference = outline("pytorch")
    assert set(reference) == set(outline("mindspore")) == set(outline("paddle"))
    for folder in ("mindspore", "paddle"):
        for name, classes in reference.items():
            assert classes <= outline(folder)[name], f"{folder}/{name} lacks {classes - outline(folder)[name]}"


def test_import_loads_no_framework_and_little_else() -> None:
    code = "import sys, trishift; print(sorted({m.split('.')[0] for m in sys.modules}))"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    heavy = {"torch", "mindspore", "paddle", "sklearn", "matplotlib", "pydantic", "av", "numpy", "yaml"}
    assert not heavy & set(ast.literal_eval(loaded))
