"""Results of the published implementations: `golden/*.json`.

Each record lists the tensors of an original checkpoint and the original's logits for weights and input that `fill` and
`clips` generate from names and seeds.
"""

from __future__ import annotations

import re
import zlib
from pathlib import Path
from typing import Any

import numpy as np

from trishift.model.motion import MotionSpec, tdn
from trishift.model.spec import HeadSpec, ModelSpec, ShiftSpec

GOLDEN = Path(__file__).with_name("golden")
ALL_INVERTED_RESIDUALS = tuple(f"features.{k}" for k in range(1, 18))

SPECS = {
    "tsn_resnet50_8f": ModelSpec(num_classes=400),
    "tsm_resnet50_8f": ModelSpec(num_classes=400, shift=ShiftSpec()),
    "tsm_resnet50_8f_tpool": ModelSpec(num_classes=51, shift=ShiftSpec(), temporal_pool=True),
    "tsm_nl_resnet50_8f": ModelSpec(num_classes=400, shift=ShiftSpec(), non_local=True),
    "mmaction2_tsm_resnet50_8f": ModelSpec(num_classes=400, shift=ShiftSpec()),
    "paddlevideo_tsm_resnet50_8f": ModelSpec(num_classes=400, shift=ShiftSpec(div=8, order="past_first")),
    "tsm_mobilenetv2_8f": ModelSpec("mobilenet_v2", 27, shift=ShiftSpec()),
    "embedded_tsm_mobilenetv2_8f": ModelSpec("mobilenet_v2", 27, shift=ShiftSpec(placement=ALL_INVERTED_RESIDUALS)),
    "tsm_mobilenetv2_online": ModelSpec(
        "mobilenet_v2", 27, num_segments=6, shift=ShiftSpec(direction="unidirectional")
    ),
    "tsn_bninception_8f": ModelSpec("bn_inception", 101),
    "trn_multiscale_bninception_8f_all": ModelSpec(
        "bn_inception", 27, head=HeadSpec("multiscale_relation", relations="all")
    ),
    "trn_multiscale_inceptionv3_8f_all": ModelSpec(
        "inception_v3", 339, head=HeadSpec("multiscale_relation", relations="all")
    ),
    "trn_single_bninception_3f": ModelSpec("bn_inception", 174, num_segments=3, head=HeadSpec("relation")),
    "pptsm_resnet50_vd_8f": ModelSpec("resnet50_vd", 400, negative_slope=0.01, shift=ShiftSpec(order="past_first")),
    "pptsm_mobilenetv3_8f": ModelSpec("pp_mobilenet_v3", 400, shift=ShiftSpec(order="past_first"), dropout=0.2),
    "pptsmv2_lcnet": ModelSpec(
        "pp_lcnet_v2", 400, 16, shift=ShiftSpec(16, order="past_first"), temporal_attention=True, dropout=0.2
    ),
    "msn_resnet50_8f": ModelSpec(num_classes=174, in_channels=15, motion=MotionSpec()),
    "tdn_resnet50_8f": ModelSpec(num_classes=174, in_channels=15, motion=tdn(8)),
}

GAINS = {  # of tensors in networks without residuals, through which the input would fade
    r"_Conv2D\.weight$": 1.5,
    r"^backbone\.(stem|stages)\..*conv\d?\.weight$": 1.65,
    r"^backbone\.blocks\..*conv\d?\.weight$": 1.4,
    r"^base_model\.mixed_10_.*_batchnorm\.weight$": 0.05,
}

NO_INFLUENCE = {  # tensors an original stores but never uses
    "msn_resnet50_8f": r"^base_model\.(conv1_temp|conv1_5|conv_[12]\.bias)",
    "pptsmv2_lcnet": r"dw_conv\.(weight|bias)$",
    "tdn_resnet50_8f": r"^base_model\.conv1_temp",
}


def fill(name: str, shape: tuple[int, ...]) -> np.ndarray:
    """Return the weights of a record's tensor `name`."""
    normal = np.random.default_rng(zlib.crc32(name.encode())).standard_normal(shape)
    if name.endswith(("running_var", "moving_variance", "._variance")):
        value = 0.5 + np.abs(normal)
    elif name.endswith(("running_mean", "moving_mean", "._mean", "bias", "beta")):
        value = 0.1 * normal
    elif len(shape) <= 1:
        value = 0.5 + 0.5 * np.abs(normal)
    else:
        value = normal * np.sqrt(1.0 / np.prod(shape[1:]))
    value = value * next((gain for pattern, gain in GAINS.items() if re.search(pattern, name)), 1.0)
    parent = name.split(".")[-2] if "." in name else ""
    return value.astype(np.float32) * np.float32(0.3 if "offset" in parent else 1)


def clips(entry: dict[str, Any], spec: ModelSpec) -> np.ndarray:
    """Return a record's input: (N, T, C, H, W)."""
    generator = np.random.default_rng(entry["input_seed"])
    draw = generator.standard_normal(entry["input_shape"])
    if "input_offset" in entry:  # a level for every channel of every frame, which shows their order
        draw += entry["input_offset"] * generator.standard_normal((*entry["input_shape"][:2], 1, 1))
    return draw.astype(np.float32).reshape(-1, spec.num_segments, spec.in_channels, *draw.shape[-2:])


def logits(entry: dict[str, Any]) -> np.ndarray:
    """Return the (N, K) logits of its clips; online records have one row per frame, averaged per clip."""
    rows = np.array(entry["logits"], np.float32)
    return rows.mean(axis=0, keepdims=True) if entry.get("online") else rows
