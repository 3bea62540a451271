"""Explanations: Grad-CAM as its definition computes it, contributions that add up, and three frameworks that agree."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
from tests.support import isolated
from tests.support.explanations import SPECS
from tests.support.installed import MISSING

from trishift.backends import open_session
from trishift.backends.session import Session
from trishift.errors import DataError, RecipeError
from trishift.evaluation.explaining import explain_clip, relation_contributions
from trishift.model.backbones.network import Widening
from trishift.model.initialization import initial_tensors
from trishift.model.relations import prediction_relations
from trishift.model.spec import HeadSpec

needs_pytorch = pytest.mark.skipif("pytorch" in MISSING, reason="pytorch is not installed")
RNG = np.random.default_rng(1)
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
@pytest.mark.parametrize(("name", "layer"), [("paddle mobilenet v3", "last"), ("paddle lcnet", "layer4")])
def test_maps_before_a_widening_layer_are_grad_cam(name: str, layer: str) -> None:
    import torch

    session, kept = session_of(name), []
    session.network.eval()
    module = session.network.backbone.get_submodule(layer)
    hook = module.register_forward_hook(lambda _, __, output: kept.append(output))
    logits = session.network(torch.from_numpy(CLIP[:2])[None])
    hook.remove()
    (gradient,) = torch.autograd.grad(logits[0, 2], kept[0])
    expected = torch.relu((gradient.mean((2, 3), keepdim=True) * kept[0]).sum(1)).detach().numpy()
    found = explain_clip(session, CLIP[:2], 2)
    assert expected.max() > 0
    np.testing.assert_allclose(found.maps, expected, rtol=1e-4, atol=1e-5 * expected.max())


@pytest.mark.parametrize("activation", ["relu", "hardswish"])
def test_gradients_pass_through_a_widening_layer(activation: Literal["relu", "hardswish"]) -> None:
    weight, means, gradients = (RNG.standard_normal(shape) for shape in ((5, 3), (2, 3), (2, 5)))

    def total(means: np.ndarray) -> float:
        x = 3 * means @ weight.T
        return float(
            (gradients * 0.8 * (np.maximum(x, 0) if activation == "relu" else x * np.clip(x + 3, 0, 6) / 6)).sum()
        )

    found = Widening("widen", activation, 0.8).gradients(3 * weight, means, gradients)
    steps = 1e-6 * np.eye(means.size).reshape(-1, *means.shape)
    expected = [(total(means + step) - total(means - step)) / 2e-6 for step in steps]
    np.testing.assert_allclose(found.ravel(), expected, rtol=1e-6, atol=1e-6)


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
        tolerance = 1e-3 if name.endswith("left_out") else 1e-5  # a small difference of two logits
        np.testing.assert_allclose(found[name], array, rtol=0, atol=tolerance * scale, err_msg=name)
