"""The table of published weights: addresses of the right form, models that import and equal their recipes'."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path, PurePosixPath
from urllib.parse import urlsplit

import pytest
from scripts.list_recipes import read_header, recipe_files
from testing.originals import in_file
from tests.support.command_line import command
from tests.support.paths import ROOT

import trishift
from trishift.checkpoints import Checkpoint
from trishift.checkpoints.dialects import DIALECTS
from trishift.checkpoints.reading import import_file
from trishift.errors import CheckpointError
from trishift.model.tensors import tensor_table
from trishift.recipe import load_recipe
from trishift.zoo.converted import described
from trishift.zoo.fetching import is_hash, obtain, wanted_published
from trishift.zoo.published import Published, entry_named, published_weights, read_table

ENTRIES = list(published_weights().values())
MODELS = list({(e.dialect, e.recipe, e.spec, e.class_names): e for e in ENTRIES}.values())  # all different ones
HASH_IN_NAME = re.compile(r"-([0-9a-f]{8,16})\.pth$")


def imported(entry: Published) -> Checkpoint:
    """Import a file with the published names and shapes that holds no data."""
    family, spec = DIALECTS[entry.dialect], entry.spec
    stored = [info for info in tensor_table(spec) if not family.lacks(info)]
    shapes = dict(family.fillers(spec))
    for info in stored:
        turned = family.transposes_linear and len(info.shape) == 2
        name = family.wrap(family.spellings(info, spec)[0], info, spec)
        shapes[name] = info.shape[::-1] if turned else info.shape
    extras = {"best_mAP": 63.6} if entry.dialect == "m4" else {}
    checkpoint, report = import_file(
        in_file(shapes, "weights", **extras), entry.dialect, labels=entry.class_names, **entry.options
    )
    assert report.complete and len(report.names) == len(stored)
    return described(entry, checkpoint)


@pytest.mark.parametrize("entry", MODELS, ids=lambda entry: entry.name)
def test_entries_import_as_their_recipes_model(entry: Published) -> None:
    small = replace(entry, model=replace(entry.model, width=16)) if "resnet" in entry.model.backbone else entry
    checkpoint = imported(small)
    assert checkpoint.spec == small.spec
    assert (checkpoint.labels is None) == (entry.data == "imagenet")
    if entry.recipe:
        recipe = load_recipe(ROOT / "configs" / entry.recipe)
        assert replace(recipe.model, num_classes=entry.spec.num_classes) == entry.spec
        assert recipe.input == checkpoint.input


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry.name)
def test_addresses_and_hashes_are_well_formed(entry: Published) -> None:
    for url in entry.urls or ():
        parts = urlsplit(url)
        assert parts.scheme in ("https", "http") and parts.hostname and not parts.query and url == url.strip()
        assert PurePosixPath(parts.path).name == entry.file and " " not in url
        assert parts.scheme == "https" or entry.publisher == "trn"  # its server speaks nothing else
    if entry.page is not None:
        parts = urlsplit(entry.page)
        assert entry.urls == () and parts.scheme == "https" and parts.hostname and not parts.query
    assert not entry.sha256 or is_hash(entry.sha256)
    in_name = HASH_IN_NAME.search(entry.file)
    assert entry.publisher == "tsm" or in_name is None or in_name[1] == entry.sha256
    assert re.fullmatch(r"[a-z0-9][a-z0-9.-]*", entry.name)
    assert len({e.file for e in ENTRIES if e.file == entry.file}) == 1


def test_sizes_equal_published_counts() -> None:
    """M4's file size, the online demo's and mmaction2's TRN tables."""
    assert entry_named("tsm-r50-8f-m4").num_parameters == 24_149_369
    assert entry_named("tsm-mobilenetv2-online-jester").num_parameters == 2_258_459
    assert round(entry_named("trn-r50-8f-sthv1-mmaction2").num_parameters / 1e6, 2) == 26.64
    assert round(entry_named("tsm-r50-nl-8f-dense-k400").num_parameters / 1e6, 2) == 31.69


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("tsm-r50-8f-k40", "did you mean tsm-r50-8f-k400"),
        ("TSM-R50-8F-K400", "did you mean tsm-r50-8f-k400"),
        ("tsm-r101-8f", "several are called like that: tsm-r101-8f-sthv1, tsm-r101-8f-sthv2"),
        ("TSM_k400.pdparams", "has the name tsm-r50-8f-k400-paddlevideo here"),
        ("slowfast", "`trishift models` lists the names"),
    ],
)
def test_unknown_names_are_refused_with_the_nearest(name: str, hint: str) -> None:
    with pytest.raises(CheckpointError, match=re.escape(hint)):
        entry_named(name)


def test_files_on_pages_for_browsers_are_named_with_their_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRISHIFT_HOME", str(tmp_path))
    entry = entry_named("tdn-r50-8f-sthv2")
    with pytest.raises(CheckpointError) as caught:
        obtain(wanted_published(entry))
    message = str(caught.value)
    assert f"on a page for browsers, {entry.page}; download it there; put the file at" in message
    assert str(tmp_path / "weights" / entry.name / "best.pth.tar") in message


def test_models_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert command("models", "tsm*", "--data", "kinetics400", "--json") == 0
    facts = json.loads(capsys.readouterr().out)
    names = trishift.list_models("tsm*", data="kinetics400")
    assert [fact["name"] for fact in facts] == names and len(names) > 10
    assert facts[0]["accuracy"][0] == {"top1": 71.2, "top5": None, "protocol": "center", "segments": None}
    assert facts[0]["state"] == "-" and facts[0]["spec"]["backbone"] == "resnet50"
    assert command("models", "--data", "kinetics") == 1
    assert "one of imagenet, jester, kinetics400" in capsys.readouterr().err


def test_printed_commands_name_weights_that_exist() -> None:
    headers = [read_header(path) for path in recipe_files()]
    started = [found[1] for header in headers for found in re.finditer(r"initial_weights=(\S+)", header["Command"])]
    assert len(started) > 40 and {entry_named(name).name for name in started} == set(started)
    readme = " ".join((ROOT / "README.md").read_text("utf-8").split())
    first = re.search(r"trishift infer --checkpoint (\S+)", readme)
    assert first is not None and entry_named(first[1]) and f"[{len(ENTRIES)} published weight files]" in readme


VALID = """
publishers: {site: {title: Site, base: "https://example.com/"}}
weights:
- {name: a, publisher: site, path: a.pth, dialect: tsm, data: jester, model: {backbone: resnet50}}
"""


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("dialect: tsm,", "dialect: tsm, hash: x,", "0.hash: unexpected"),
        ("resnet50", "resnet51", "backbone"),
        ("publisher: site", "publisher: other", "unknown publisher other"),
        ("- {", "- {name: a, publisher: site, path: b, dialect: tsm, data: jester, model: {}}\n- {", "a appears twice"),
    ],
)
def test_a_wrong_table_is_refused(old: str, new: str, message: str) -> None:
    assert read_table(VALID)["a"].urls == ("https://example.com/a.pth",)
    with pytest.raises(CheckpointError, match=message):
        read_table(VALID.replace(old, new))
