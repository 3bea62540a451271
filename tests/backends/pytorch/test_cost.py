"""The cost counted from the tensor table equals PyTorch's own count and the published figures."""

from __future__ import annotations

from dataclasses import replace
from math import comb

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from trishift.backends.pytorch.recognizer import Recognizer
from trishift.model.cost import multiplications, num_parameters
from trishift.model.feature_maps import small_size
from trishift.model.motion import MotionSpec, tdn
from trishift.model.sizes import Size
from trishift.model.spec import HeadSpec, ModelSpec, ShiftSpec

MULTISCALE = HeadSpec("multiscale_relation")
SPECS = [
    ModelSpec("resnet18", 7, 4, temporal_pool=True),
    ModelSpec("resnet50", 400, 8, shift=ShiftSpec()),
    *(ModelSpec("resnet50", 7, 2, non_local=True, non_local_form=form) for form in ("embedded_gaussian", "gaussian")),
    *(ModelSpec("resnet50", 7, 2, non_local=True, non_local_form=form) for form in ("dot_product", "concatenation")),
    ModelSpec("resnet50", 174, 8, in_channels=15, motion=MotionSpec()),
    ModelSpec("resnet50", 174, 8, in_channels=15, motion=tdn(8)),
    ModelSpec("mobilenet_v2", 27, 8),
    ModelSpec("pp_mobilenet_v2", 400, 8),
    ModelSpec("pp_mobilenet_v3", 400, 8),
    ModelSpec("pp_lcnet_v2", 400, 16, temporal_attention=True),
    ModelSpec("bn_inception", 174, 8, head=MULTISCALE),
    ModelSpec("inception_v3", 339, 8, head=MULTISCALE),
]


def name_of(spec: ModelSpec | Size | None) -> str:
    if not isinstance(spec, ModelSpec):
        return str(spec or "even")
    option = spec.non_local_form if spec.non_local else spec.motion.kind if spec.motion else "plain"
    return f"{spec.backbone}-{spec.head.consensus}-{option}"


ODD = [(spec, (33, 70)) for spec in SPECS if spec.backbone == "bn_inception" or spec.motion]


@pytest.mark.parametrize(("spec", "size"), [*((spec, None) for spec in SPECS), *ODD], ids=name_of)
def test_multiplications_equal_pytorchs_count(spec: ModelSpec, size: Size | None) -> None:
    side = small_size(spec)[0]
    size = size or (side, side + 32)
    with torch.device("meta"), torch.no_grad():
        network = Recognizer(spec).eval()
        with FlopCounterMode(display=False) as counter:
            network(torch.zeros(1, spec.num_segments, spec.in_channels, *size))
    # PyTorch counts no products with a vector (concatenation) and no learned shift (MSN, TDN)
    assert multiplications(spec, size) == pytest.approx(counter.get_total_flops() / 2, rel=9e-4)
    assert num_parameters(spec) == sum(tensor.numel() for tensor in network.parameters())


@pytest.mark.parametrize(
    ("spec", "billions", "millions"),
    [  # torchvision's table of ImageNet models, per frame, and temporal-shift-module's counts
        (ModelSpec("resnet18", 1000, 1), 1.81, 11.69),
        (ModelSpec("resnet50", 1000, 1), 4.09, 25.56),
        (ModelSpec("resnet101", 1000, 1), 7.80, 44.55),
        (ModelSpec("mobilenet_v2", 1000, 1), 0.30, 3.50),
        (ModelSpec("resnet50", 400, 8, shift=ShiftSpec()), 8 * 4.09, 24.33),
        (ModelSpec("resnet50", 400, 8, non_local=True), None, 31.69),
    ],
)
def test_cost_equals_published_figures(spec: ModelSpec, billions: float | None, millions: float) -> None:
    assert num_parameters(spec) / 1e6 == pytest.approx(millions, abs=0.006)
    assert billions is None or multiplications(spec) / 1e9 == pytest.approx(billions, abs=0.02)


@pytest.mark.parametrize(
    ("backbone", "billions", "numbers"),
    [  # of 8 frames; counted in PaddleVideo's networks, whose PP-LCNetV2 has 113,152 more that it does not use
        ("pp_mobilenet_v3", 1.75, 4_711_606),
        ("pp_lcnet_v2", 4.79, 5_918_608),
    ],
)
def test_cost_of_mobile_networks(backbone: str, billions: float, numbers: int) -> None:
    spec = ModelSpec(backbone, 400, 8)
    assert num_parameters(spec) == numbers
    assert multiplications(spec) / 1e9 == pytest.approx(billions, abs=0.006)


def test_cost_of_tdn() -> None:
    """Figures counted from the original's layers; its unused `conv1_temp` has 9472 numbers."""
    small, large = (
        ModelSpec(backbone, 174, 8, in_channels=15, motion=tdn(8)) for backbone in ("resnet50", "resnet101")
    )
    assert (num_parameters(small), num_parameters(large)) == (24_420_046 - 9472, 43_681_726 - 9472)
    assert multiplications(small) == pytest.approx(35.6e9, abs=0.05e9)
    assert multiplications(replace(small, num_segments=16)) == pytest.approx(71.2e9, abs=0.1e9)
    assert multiplications(large) == pytest.approx(65.8e9, abs=0.05e9)


def test_cost_of_trn_inception_v3() -> None:
    spec = ModelSpec("inception_v3", 339, 8, head=MULTISCALE)
    assert num_parameters(spec) == 25_232_741
    hidden, classifiers = sum(k * comb(8, k) for k in range(2, 9)) * 256 * 256, sum(comb(8, k) for k in range(2, 9))
    relations = hidden + classifiers * 256 * 339  # one after the other, as in the original
    assert multiplications(spec, 299) + relations == pytest.approx(45.8e9, abs=0.05e9)
