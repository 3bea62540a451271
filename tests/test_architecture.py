"""Packages are layers: which may import which, and what `import trishift` loads."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Container
from dataclasses import replace
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest
from tests.support.paths import ROOT

from trishift.model.backbones import BACKBONES
from trishift.model.motion import MotionSpec, tdn
from trishift.model.spec import ModelSpec

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
    ("zoo",),
    ("evaluation",),
    ("export", "streaming", "training"),
    ("reporting",),
    ("api",),
    ("serving", "speed", "checking"),
    ("commands",),
    ("cli",),
    ("__main__",),
)
LAYER_OF = {part: layer for layer, parts in enumerate(LAYERS) for part in parts}


@cache
def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


@cache
def imports(path: Path) -> frozenset[str]:
    """Dotted names of all modules that a file imports, at module level or inside functions."""
    names: set[str] = set()
    for node in ast.walk(parsed(path)):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module == "trishift":
            names |= {f"trishift.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module)
    return frozenset(names)


def part_of(path: Path) -> str:
    return path.relative_to(SOURCE).parts[0].removesuffix(".py")


FILES = sorted(SOURCE.rglob("*.py"))


def test_only_its_own_backend_imports_a_framework() -> None:
    for framework, folder in FRAMEWORKS.items():
        users = {path for path in FILES if any(name.split(".")[0] == framework for name in imports(path))}
        assert users
        assert not {path for path in users if not path.is_relative_to(SOURCE / "backends" / folder)}, framework


def test_imports_go_down() -> None:
    for path in FILES:
        part = part_of(path)
        if part == "__init__":  # the public face of the package
            continue
        used = {name.split(".")[1] for name in imports(path) if name.startswith("trishift.")} - {part}
        assert not {name for name in used if LAYER_OF[name] >= LAYER_OF[part]}, path


@pytest.mark.parametrize(
    ("call", "places"),
    [
        ("csv.reader(", {"data/lists/text.py"}),  # cells that span lines
        ("np.load(", {"io/npz.py", "checkpoints/verification.py"}),  # bombs, damage; the latter reads its own file
    ],
)
def test_untrusted_files_have_one_reader(call: str, places: set[str]) -> None:
    found = {path for path in FILES if re.search(rf"(?<![\w.]){re.escape(call)}", path.read_text("utf-8"))}
    assert {path.relative_to(SOURCE).as_posix() for path in found} == places


def test_no_import_cycles() -> None:
    modules = {module_name(path): path for path in FILES}
    assert_no_cycle({name: loaded_modules(parsed(path), modules) for name, path in modules.items()})


def test_import_cycles_are_seen() -> None:
    sources = {
        "trishift.a": "try:\n    from trishift import b\nexcept ImportError: ...",
        "trishift.b": "from trishift.c import name",
        "trishift.c": "def function():\n    import trishift.a",
    }
    assert_no_cycle({name: loaded_modules(ast.parse(source), sources) for name, source in sources.items()})
    sources["trishift.c"] = "class C:\n    import trishift.a"
    with pytest.raises(AssertionError, match=r"trishift\.a.*trishift\.b"):
        assert_no_cycle({name: loaded_modules(ast.parse(source), sources) for name, source in sources.items()})


def assert_no_cycle(graph: dict[str, set[str]]) -> None:
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        raise AssertionError(f"modules import each other: {error.args[1]}") from None


def module_name(path: Path) -> str:
    return ".".join(path.relative_to(SOURCE.parent).with_suffix("").parts).removesuffix(".__init__")


def loaded_modules(tree: ast.AST, known: Container[str]) -> set[str]:
    """Those of the known modules that importing a module imports: not inside functions, or for types only."""
    found: set[str] = set()
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            continue
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= {name if name in known else node.module for name in names}
        elif not isinstance(node, ast.FunctionDef | ast.Lambda):
            found |= loaded_modules(node, known)
    return {name for name in found if name in known}


def test_only_its_family_knows_a_backbone() -> None:
    places = tuple(SOURCE / folder for folder in ("model/backbones", "checkpoints/dialects"))
    families = {path.stem for path in (SOURCE / "model/backbones").glob("*.py")} - {"__init__", "network"}
    assert families == {network.module.split(".")[0] for network in BACKBONES.values()}
    modules = {f"trishift.model.backbones.{family}" for family in families}
    for path in (path for path in FILES if not any(path.is_relative_to(place) for place in places)):
        words = {node.value for node in ast.walk(parsed(path)) if isinstance(node, ast.Constant)}
        assert not words & (BACKBONES.keys() - {ModelSpec.backbone}), path
        assert path.parent.parent.name == "backends" or not imports(path) & modules, path


@pytest.mark.parametrize("folder", FRAMEWORKS.values())
def test_every_backbone_has_a_class_in_each_backend(folder: str) -> None:
    motion = ModelSpec("resnet14", in_channels=15, motion=MotionSpec())
    for spec in (*map(ModelSpec, BACKBONES), motion, replace(motion, motion=tdn(8))):
        file, name = BACKBONES[spec.backbone].built_by(spec).split(".")
        assert name in outline(parsed(SOURCE / "backends" / folder / f"{file}.py"))


@pytest.mark.parametrize("folder", FRAMEWORKS.values())
def test_backends_are_independent(folder: str) -> None:
    others = {f"trishift.backends.{other}" for other in FRAMEWORKS.values() if other != folder}
    for path in (SOURCE / "backends" / folder).glob("*.py"):
        assert not any(name.startswith(tuple(others)) for name in imports(path)), path


def test_commands_have_a_main_and_are_independent() -> None:
    for path in (SOURCE / "commands").glob("*.py"):
        functions = {node.name for node in parsed(path).body if isinstance(node, ast.FunctionDef)}
        assert "main" in functions or path.stem == "__init__", path
        siblings = {name for name in imports(path) if name.startswith("trishift.commands.")}
        assert all(name.startswith("trishift.commands.shared.") for name in siblings), path


PROGRAMS = {
    "benchmarks": {"tests"},
    "tests": {"benchmarks"},
    "testing": {"tests", "benchmarks"},
}


@pytest.mark.parametrize("folder", PROGRAMS)
def test_programs_share_only_testing(folder: str) -> None:
    files = sorted((ROOT / folder).rglob("*.py"))
    assert files
    for path in files:
        assert not {name.split(".")[0] for name in imports(path)} & PROGRAMS[folder], path


def test_mirrors_have_the_same_files_and_signatures() -> None:
    reference = mirror("pytorch")
    for folder in ("mindspore", "paddle"):
        other = mirror(folder)
        assert reference.keys() == other.keys(), f"only in one: {sorted(reference.keys() ^ other.keys())}"
        for name, signature in reference.items():
            assert signature == other[name], f"{folder}/{name}"


def test_outline_sees_differences() -> None:
    source = "class A(nn.Module):\n    def forward(self, x: torch.Tensor, k: int = 1) -> Tensor: ...\n"
    alike = (
        "class A(nn.Cell):\n    def construct(self, x: Tensor, k: int = 1) -> Tensor: ...\n    def _help(self): ...\n"
    )
    assert outline(ast.parse(source)) == outline(ast.parse(alike))
    for old, new in (("k: int", "j: int"), ("= 1", "= 2"), ("-> Tensor", "-> int"), ("nn.Cell", "nn.Conv2d")):
        assert outline(ast.parse(source)) != outline(ast.parse(alike.replace(old, new))), new


# PyTorch's names for what the other frameworks name differently
HOOKS = {"construct": "forward", "extend_repr": "extra_repr"}
TYPES = {
    "nn.Cell": "nn.Module",
    "nn.Layer": "nn.Module",
    "nn.Conv2D": "nn.Conv2d",
    "nn.BatchNorm2D": "nn.BatchNorm2d",
    "nn.SequentialCell": "nn.Sequential",
    "nn.Parameter": "Tensor",
    "Parameter": "Tensor",
    "torch.Tensor": "Tensor",
}


def mirror(folder: str) -> dict[str, object]:
    """Public signatures of a backend by file and name; files map to None."""
    found: dict[str, object] = {}
    for path in (SOURCE / "backends" / folder).glob("*.py"):
        found[path.name] = None
        found |= {f"{path.name}: {name}": signature for name, signature in outline(parsed(path)).items()}
    return found


def outline(body: ast.Module | ast.ClassDef, prefix: str = "") -> dict[str, object]:
    """Parameters, defaults and annotations of functions and methods, and base classes of classes, by name."""
    found: dict[str, object] = {}
    for node in body.body:
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
            found[f"{prefix}{node.name}"] = [unified(base) for base in node.bases]
            found |= outline(node, f"{prefix}{node.name}.")
        elif isinstance(node, ast.FunctionDef) and (not node.name.startswith("_") or node.name.startswith("__")):
            kinds = [
                ast.unparse(decorator) for decorator in node.decorator_list if "no_grad" not in ast.unparse(decorator)
            ]
            found[f"{prefix}{HOOKS.get(node.name, node.name)}"] = (unified(node.args), unified(node.returns), kinds)
    return found


def unified(node: ast.AST | None) -> str:
    """Source text with one name for the types that frameworks name differently."""
    text = "" if node is None else ast.unparse(node)
    return re.sub(r"[\w.]+", lambda word: TYPES.get(word.group(), word.group()), text)


def test_import_loads_no_framework_and_little_else() -> None:
    code = "import sys, trishift; print(sorted({m.split('.')[0] for m in sys.modules}))"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    heavy = {"torch", "mindspore", "paddle", "sklearn", "matplotlib", "pydantic", "av", "numpy", "yaml", "requests"}
    assert not heavy & set(ast.literal_eval(loaded))
