"""Explanations: Grad-CAM as its definition computes it, contributions that add up, and three frameworks that agree."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from tests.support import isolated
from tests.support.explanations import SPECS
from tests.support.installed import MISSING

from trishift.backends import open_session
from trishift.backends.session import Session
from trishift.errors import DataError, RecipeError
from trishift.evaluation.explaining import explain_clip, relation_contributions
from trishift.model.initialization import initial_tensors
from trishift.model.relations import prediction_relations
from trishift.model.spec import HeadSpec, ModelSpec

needs_pytorch = pytest.mark.skipif("pytorch" in MISSING, reason="pytorch is not installed")
CLIP = np.random.default_rng(0).standard_normal((4, 3, 64, 64)).astype(np.float32)


def session_of(name: str) -> Session:
    return open_session("pytorch", SPECS[name], weights=initial_tensors(SPECS[name], 1))


@needs_pytorch
def test_maps_are_grad_cam_by_its_definition() -> None:
    import torch

    session, kept = session_of("tsm"), []
    session.network.eval()
    hook = session.network.backbone.layer4.register_forward_hook(lambda _, __, output: kept.append(output))
    logits = session.network(torch.from_numpy(CLIP)[None])
    hook.remove()
    (gradient,) = torch.autograd.grad(logits[0, 2], kept[0])
    expected = torch.relu((gradient.mean((2, 3), keepdim=True) * kept[0]).sum(1)).detach().numpy()
    found = explain_clip(session, CLIP, 2)
    np.testing.assert_allclose(found.maps, expected, rtol=1e-4, atol=1e-9)
    assert found.heat.max() == 1 and found.label == 2
    assert explain_clip(session, CLIP).label == found.logits.argmax()


@needs_pytorch
def test_contributions_add_up() -> None:
    session = session_of("tsm")
    tensors = session.dump_tensors()
    session.load_tensors({**tensors, "head.fc.bias": np.arange(4, dtype=np.float32)})
    found = explain_clip(session, CLIP, 2)
    np.testing.assert_allclose(found.by_gradient.sum() + 2, found.logits[2], rtol=1e-5)
    clip = CLIP.copy()
    clip[2] = clip[1]  # its neighbor says the same
    found = explain_clip(session, clip, 2)
    assert found.left_out[2] == 0 and np.abs(found.left_out[[0, 1, 3]]).min() > 0


@needs_pytorch
@pytest.mark.parametrize("mode", ["expected", "all", "first", "sampled"])
def test_relations_add_up_to_the_logits(mode: str) -> None:
    spec = replace(SPECS["trn"], num_segments=4, head=HeadSpec("multiscale_relation", 16, 16, relations=mode))
    session = open_session("pytorch", spec, weights=initial_tensors(spec, 1))
    features = np.random.default_rng(0).standard_normal((4, spec.feature_width)).astype(np.float32)
    drawn = prediction_relations(spec)
    parts = relation_contributions(session.dump_tensors(), spec, features, drawn)
    total = sum(values.sum(axis=0) for _, values in parts)
    np.testing.assert_allclose(total, session.classify(features[None], drawn)[0], rtol=1e-4)
    scales = explain_clip(session, CLIP).relations
    assert [len(scale[0].segments) for scale in scales] == [4, 3, 2]
    for scale in scales:
        strengths = [abs(relation.contribution) for relation in scale]
        assert strengths == sorted(strengths, reverse=True)


@needs_pytorch
def test_refuses_what_cannot_be_explained() -> None:
    session = session_of("tsm")
    with pytest.raises(RecipeError, match="class 9 is out of range"):
        explain_clip(session, CLIP, 9)
    with pytest.raises(DataError, match="not finite"):
        explain_clip(session, CLIP * np.nan)
    light = open_session("pytorch", ModelSpec("pp_lcnet_v2", 3, 4))
    with pytest.raises(RecipeError, match="pp_lcnet_v2 widens its pooled features, which have no maps"):
        explain_clip(light, CLIP)
    session.has_layers = False
    with pytest.raises(RecipeError, match="give its weights"):
        explain_clip(session, CLIP)


@pytest.fixture(scope="module")
def expected(tmp_path_factory: pytest.TempPathFactory) -> dict[str, np.ndarray]:
    file = tmp_path_factory.mktemp("explanations") / "pytorch.npz"
    isolated.experiment("explanations", "pytorch", file)
    return dict(np.load(file))


@needs_pytorch
@pytest.mark.parametrize("framework", ["mindspore", "paddle"])
def test_frameworks_agree(framework: str, expected: dict[str, np.ndarray], tmp_path: Path) -> None:
    isolated.experiment("explanations", framework, tmp_path / "found.npz")
    found = np.load(tmp_path / "found.npz")
    assert {name.split("-")[0] for name in expected} == set(SPECS)
    for name, array in expected.items():
        scale = np.abs(array).max(initial=1e-30)
        np.testing.assert_allclose(found[name], array, rtol=0, atol=1e-3 * scale, err_msg=name)
