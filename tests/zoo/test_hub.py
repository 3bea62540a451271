"""Weights on hubs, against a loopback stand-in."""

from __future__ import annotations

import hashlib
import importlib.util
import json
from dataclasses import replace
from pathlib import Path

import pytest
from testing.originals import model_of
from tests.support import isolated
from tests.support.file_server import serving
from tests.support.hub_stand_in import COMMIT, hub_server
from tests.support.paths import SUPPORT
from tests.support.small_zoo import one_tensor

from trishift.checkpoints.canonical import load, save
from trishift.errors import CheckpointError
from trishift.model.spec import ModelSpec
from trishift.zoo.hub import HubAddress, choose_file

WEIGHTS = one_tensor(b"weights")
FILES = ["me/one/README.md", "me/one/model.safetensors", "me/none/README.md", "me/private/w.pth"]
FILES += ["me/two/a.pth", "me/two/sub/b.pth"]


def test_addresses_have_parts() -> None:
    address = HubAddress.parse("hf://me/one/sub/w.pth@v1.0")
    assert (address.repository, address.file, address.revision) == ("me/one", "sub/w.pth", "v1.0")
    for text in ("hf://me", "hf:///one", "hf://me/one@", "ms://me/one/../w.pth"):
        with pytest.raises(CheckpointError, match="write it as"):
            HubAddress.parse(text)


@pytest.mark.parametrize(
    ("names", "chosen"),
    [
        (["README.md", "w.pth"], "w.pth"),
        (["a.pth", "b.pth", "model.safetensors"], "model.safetensors"),
        (["last.safetensors", "best.safetensors", "x.safetensors"], "best.safetensors"),
        (["README.md"], None),
        (["a.pth", "b.ckpt"], None),
        (["a.safetensors", "b.safetensors"], None),
    ],
)
def test_only_an_unambiguous_file_is_chosen(names: list[str], chosen: str | None) -> None:
    address = HubAddress.parse("hf://me/one")
    if chosen is not None:
        assert choose_file(names, address) == chosen
        return
    with pytest.raises(CheckpointError, match=r"has no weight file|has several weight files; add one to the address"):
        choose_file(names, address)


@pytest.mark.skipif(not importlib.util.find_spec("huggingface_hub"), reason="huggingface_hub is not installed")
def test_hubs_are_read_and_their_errors_explained(tmp_path: Path) -> None:
    online = {
        "hf://me/one": "model.safetensors",
        "HF://me/two/sub/b.pth": "b.pth",
        f"hf://me/two/sub/b.pth#sha256={hashlib.sha256(WEIGHTS).hexdigest()}": "b.pth",
        "hf://me/two/a.pth#sha256=00000000": "the sha256 of the file is",
        f"hf://me/one/model.safetensors@{COMMIT}": "model.safetensors",
        "ms://me/one": "model.safetensors",
        "ms://me/two/a.pth@master": "a.pth",
        "hf://me/none": "the repository has no weight file",
        "hf://me/two": "add one to the address: a.pth, sub/b.pth",
        "hf://me/missing": "no such repository, or a private one",
        "hf://me/private": "set HF_TOKEN",
        "hf://me/one/w.pth": "the repository has no file w.pth",
        "hf://me/one/model.safetensors@v9": "has no revision v9",
        "ms://me/missing": "no such repository or revision",
        "ms://me/two/c.pth": "the repository has no file c.pth; its weights: a.pth",
    }
    offline = {key: online[key] for key in ("hf://me/one", "HF://me/two/sub/b.pth", "ms://me/one")} | {
        "hf://me/three/a.pth": "not in the hub's cache, and offline",
        "ms://me/two": "not in the cache, and offline",
        "ms://me/two/a.pth": "TRISHIFT_OFFLINE forbids",
    }
    with serving(hub_server()) as server:
        server.files |= dict.fromkeys(FILES, WEIGHTS)
        variables = {
            "HF_ENDPOINT": server.url,
            "MODELSCOPE_DOMAIN": server.url,
            "HF_HOME": str(tmp_path / "hub"),
            "TRISHIFT_HOME": str(tmp_path / "home"),
            "HF_TOKEN": "",
        }
        check(online, variables)
        requests = len(server.requests)
        check(offline, variables | {"TRISHIFT_OFFLINE": "1"})
        assert len(server.requests) == requests
        check({"hf://me/private": "w.pth"}, variables | {"HF_TOKEN": "secret"})
    check({"hf://me/three/w.pth": "check the connection", "hf://me/three": "check the connection"}, variables)


def check(expected: dict[str, str], variables: dict[str, str]) -> None:
    """Compare the file name, or a part of the error, of every address."""
    lines = isolated.python(SUPPORT / "hub_addresses.py", *expected, **variables).splitlines()
    for (address, wanted), line in zip(expected.items(), lines, strict=True):
        kind, text = json.loads(line)
        assert wanted in text and (kind == "path") == (wanted == Path(text).name), f"{address}: {line}"
        assert kind == "error" or Path(text).read_bytes() == WEIGHTS
        assert kind == "path" or text.startswith(address)


@pytest.mark.skipif(not importlib.util.find_spec("huggingface_hub"), reason="huggingface_hub is not installed")
def test_pushed_model_is_loaded_back(tmp_path: Path) -> None:
    spec = ModelSpec("resnet10", 2, 2, width=8)
    meta = {"recipe": {"name": "tiny", "data": {"root": "/home/me/clips"}}, "metrics": {"top1": 0.75}}
    save(tmp_path / "w.safetensors", replace(model_of(spec), labels=("wave", "point"), meta=meta))
    with serving(hub_server()) as server:
        variables = {
            "HF_ENDPOINT": server.url,
            "HF_HOME": str(tmp_path / "hub"),
            "TRISHIFT_HOME": str(tmp_path / "home"),
            "HF_HUB_DISABLE_XET": "1",  # the stand-in knows Git LFS only
        }
        words = ["-m", "trishift", "push", tmp_path / "w.safetensors", "hf://me/model", "--license", "mit"]
        with pytest.raises(RuntimeError, match=r"hf://me/model: .*HF_TOKEN"):
            isolated.python(*words, **variables, HF_TOKEN="wrong")
        variables["HF_TOKEN"] = "secret"
        assert "pushed: " in isolated.python(*words, **variables)
        assert sorted(server.files) == [
            f"me/model/{name}" for name in ("README.md", "config.json", "model.safetensors")
        ]
        assert any("/lfs/objects/batch" in path for path, _ in server.requests)
        line = isolated.python(SUPPORT / "hub_addresses.py", "hf://me/model", **variables)
    checkpoint = load(json.loads(line)[1])
    assert checkpoint.spec == spec and checkpoint.labels == ("wave", "point")
    assert checkpoint.meta["recipe"]["data"] == {"root": "clips"}  # no path of this machine
