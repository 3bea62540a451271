"""The list of a model's tensors against the networks that are built from the same model."""

from __future__ import annotations

import pytest

from trishift.backends import open_session
from trishift.model.spec import HeadSpec, ModelSpec, ShiftSpec
from trishift.model.tensors import tensor_shapes

MODELS = [
    ModelSpec("resnet10", 3, width=8, in_channels=10),
    ModelSpec("resnet34", 3, width=8, non_local=True, temporal_pool=True, shift=ShiftSpec()),
    ModelSpec("resnet34", 3, width=8, non_local=True, non_local_form="gaussian"),
    ModelSpec("resnet34", 3, width=8, non_local=True, non_local_form="concatenation"),
    ModelSpec("resnet50", 3, width=8, head=HeadSpec("relation", hidden_width=16, relation_width=8)),
    ModelSpec("mobilenet_v2", 3, shift=ShiftSpec()),
    ModelSpec("bn_inception", 3, 5, head=HeadSpec("multiscale_relation", relation_width=8)),
]


@pytest.mark.parametrize("spec", MODELS, ids=lambda spec: spec.backbone)
def test_layout_is_that_of_the_network(spec):
    shapes = open_session("pytorch", spec).tensor_shapes()
    assert list(shapes.items()) == list(tensor_shapes(spec).items())
