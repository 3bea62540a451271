"""A table of small published weights on a loopback server, in place of the package's own."""

from __future__ import annotations

import io
import json
import tarfile
from pathlib import Path

import pytest
from testing.originals import filled, paddle_resnet, tsm_resnet, write_pdparams
from tests.support.file_server import FileServer

from trishift.checkpoints.formats.paddle_legacy import write_folder
from trishift.checkpoints.formats.pytorch import write_pytorch
from trishift.zoo import published

TSM, VIDEO, FLUID = "tsm-tiny-jester", "tsm-tiny-k400", "tsm-tiny-hmdb51"
FILES = {
    TSM: "TSM_jester_tiny_segment2.pth",
    VIDEO: "TSM_k400_tiny.pdparams",
    FLUID: "tsm_hmdb51.tar.gz",
    "tsm-lost": "lost.pth",
}
_TABLE = """
publishers: {site: {title: Site, base: "URL/"}}
weights:
- name: tsm-tiny-jester
  publisher: site
  path: TSM_jester_tiny_segment2.pth
  urls: ["URL/dead/TSM_jester_tiny_segment2.pth", "URL/TSM_jester_tiny_segment2.pth"]
  dialect: tsm
  data: jester
  model: {backbone: resnet18, width: 8, num_segments: 2, shift: {}, dropout: 0.8}
  options: {num_segments: 2}
- name: tsm-tiny-k400
  publisher: site
  path: TSM_k400_tiny.pdparams
  dialect: paddlevideo
  data: kinetics400
  model: {backbone: resnet50, width: 16, num_segments: 8, shift: {order: past_first}}
  options: {num_segments: 8, shift: blockres}
- name: tsm-tiny-hmdb51
  publisher: site
  path: tsm_hmdb51.tar.gz
  dialect: paddle1
  data: hmdb51
  model: {backbone: resnet50, width: 4, num_segments: 8, shift: {order: past_first}}
  options: {num_segments: 8, shift: blockres}
- {name: tsm-lost, publisher: site, path: lost.pth, urls: [], dialect: tsm, data: jester, model: {}}
"""


def one_tensor(content: bytes) -> bytes:
    """A safetensors file with one tensor of bytes, the smallest file that is accepted as weights."""
    info = {"w": {"dtype": "U8", "shape": [len(content)], "data_offsets": [0, len(content)]}}
    head = json.dumps(info).encode()
    return len(head).to_bytes(8, "little") + head + content


def serve(server: FileServer, monkeypatch: pytest.MonkeyPatch, hashes: dict[str, str] | None = None) -> None:
    """Replace the table by that of small weights at the server, some with known hashes."""
    table = published.read_table(_TABLE.replace("URL", server.url))
    for name, digest in (hashes or {}).items():
        table[name] = published.replace(table[name], sha256=digest)
    monkeypatch.setattr(published, "published_weights", lambda: table)


def write(folder: Path) -> dict[str, bytes]:
    """Draw the weights; returns the published files, in their code bases' formats, by address path."""
    write_pytorch(
        folder / FILES[TSM], filled(tsm_resnet(18, shift="blockres", width=8, classes=27)), {"epoch": 3}, "state_dict"
    )
    write_pdparams(folder / FILES[VIDEO], filled(paddle_resnet(50, fluid=False, width=16, classes=400)))
    write_folder(folder / "tsm_hmdb51", filled(paddle_resnet(50, fluid=True, classes=51)))
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz", compresslevel=1) as tar:
        tar.add(folder / "tsm_hmdb51", "tsm_hmdb51")
    plain = {f"/{FILES[name]}": (folder / FILES[name]).read_bytes() for name in (TSM, VIDEO)}
    return {**plain, f"/{FILES[FLUID]}": packed.getvalue()}
