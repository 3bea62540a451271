"""What the published implementations compute (`golden/*.json`), under canonical names, for the tests of all backends.

Each record lists the tensors of an original checkpoint and the logits which the original gave for weights and
input that `fill` and `GoldenRecord.clips` make from names and seeds.
"""

from __future__ import annotations

import json
import re
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from trishift.spec import HeadSpec, ModelSpec, MotionSpec, ShiftSpec

FOLDER = Path(__file__).parent / "golden"
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
    "trn_single_bninception_3f": ModelSpec("bn_inception", 174, num_segments=3, head=HeadSpec("relation")),
    "msn_resnet50_8f": ModelSpec(num_classes=174, in_channels=15, motion=MotionSpec()),
}

NO_INFLUENCE = {  # tensors that an original keeps and never needs
    "msn_resnet50_8f": r"^base_model\.(conv1_temp|conv1_5|conv_[12]\.bias)",
}

_RENAMES = (
    # MSN
    (r"^base_model\.(layer\d)_bak\.", r"backbone.\1."),
    (r"^base_model\.resnext_layer1\.", "backbone.motion_layer1."),
    (r"^base_model\.conv_([12])\.", r"backbone.pyramid.conv\1."),
    (r"^base_model\.conv_diff_1\.0\.", "backbone.pyramid.pixel_conv."),
    (r"^base_model\.conv_diff_1\.1\.", "backbone.pyramid.pixel_bn."),
    (r"^base_model\.conv_diff_2\.0\.", "backbone.pyramid.feature_conv."),
    (r"^base_model\.conv_diff_2\.1\.", "backbone.pyramid.feature_bn."),
    (r"\.shift\.conv\.", ".learned_shift."),
    (r"\.motion_layer\.conv_down\.", ".excitation.reduce."),
    (r"\.motion_layer\.bn1\.", ".excitation.reduce_bn."),
    (r"\.motion_layer\.conv\.", ".excitation.expand."),
    (r"\.motion_layer\.bn2\.", ".excitation.expand_bn."),
    (r"\.motion_layer\.conv1\.", ".excitation.pooled."),
    (r"\.motion_layer\.bn3\.", ".excitation.pooled_bn."),
    (r"\.motion_layer\.time_conv\.", ".excitation.temporal."),
    (r"\.motion_layer\.bn_t\.", ".excitation.temporal_bn."),
    (r"\.motion_layer\.motion_offset\.", ".excitation.deformable3."),
    (r"\.motion_layer\.motion_offset_7\.", ".excitation.deformable5."),
    (r"\.conv_offset\.", ".offset."),
    # temporal-shift-module
    (r"^base_model\.|^(?=features\.)", "backbone."),
    (r"^(new_fc|classifier|cls_head\.fc_cls|head\.fc)\.", "head.fc."),
    (r"\.net\.", "."),
    (r"\.block\.", "."),
    # TSM's non-local wrapper
    (r"\.nl\.(theta|phi|g)(\.0)?\.", r".non_local.\1."),
    (r"\.nl\.W\.0\.", ".non_local.out."),
    (r"\.nl\.W\.1\.", ".non_local.bn."),
    # MobileNetV2 with a flat `conv`
    (r"(features\.1\.conv)\.(0|1)\.", r"\1.0.\2."),
    (r"(features\.1\.conv)\.(3|4)\.", lambda m: f"{m[1]}.{int(m[2]) - 2}."),
    (r"(features\.(?:[2-9]|1[0-7])\.conv)\.([0134])\.(?=\D)", lambda m: f"{m[1]}.{int(m[2]) // 3}.{int(m[2]) % 3}."),
    (r"(features\.(?:[2-9]|1[0-7])\.conv)\.([67])\.", lambda m: f"{m[1]}.{int(m[2]) - 4}."),
    # TRN's heads
    (r"^consensus\.fc_fusion_scales\.(\d)\.1\.", r"head.relations.\1.hidden."),
    (r"^consensus\.fc_fusion_scales\.(\d)\.3\.", r"head.relations.\1.classifier."),
    (r"^consensus\.classifier\.1\.", "head.relations.0.hidden."),
    (r"^consensus\.classifier\.3\.", "head.relations.0.classifier."),
    # mmaction2's ConvModule
    (r"\.downsample\.conv\.", ".downsample.0."),
    (r"\.downsample\.bn\.", ".downsample.1."),
    (r"\.conv(\d)\.conv\.", r".conv\1."),
    (r"\.conv(\d)\.bn\.", r".bn\1."),
    # PaddleVideo
    (r"^backbone\.conv\.", "backbone.conv0."),
    (r"\.res(\d)([a-f])\.", lambda m: f".layer{int(m[1]) - 1}.{ord(m[2]) - ord('a')}."),
    (r"\.short\._conv\.", ".downsample.0."),
    (r"\.short\._batch_norm\.", ".downsample.1."),
    (r"\.conv(\d)\._conv\.", lambda m: f".conv{int(m[1]) + 1}."),
    (r"\.conv(\d)\._batch_norm\.", lambda m: f".bn{int(m[1]) + 1}."),
    (r"\._mean$", ".running_mean"),
    (r"\._variance$", ".running_var"),
)


def fill(name: str, shape: tuple[int, ...]) -> np.ndarray:
    """The weights that a record's tensor `name` had."""
    normal = np.random.default_rng(zlib.crc32(name.encode())).standard_normal(shape)
    if name.endswith(("running_var", "moving_variance")):
        value = 0.5 + np.abs(normal)
    elif name.endswith(("running_mean", "moving_mean", "bias", "beta")):
        value = 0.1 * normal
    elif len(shape) <= 1:
        value = 0.5 + 0.5 * np.abs(normal)
    else:
        value = normal * np.sqrt(1.0 / np.prod(shape[1:]))
    parent = name.split(".")[-2] if "." in name else ""
    return value.astype(np.float32) * np.float32(0.3 if "offset" in parent else 1)


@dataclass(frozen=True)
class GoldenRecord:
    """One record: a model, its weights under canonical names, an input and the original's logits."""

    spec: ModelSpec
    tensors: dict[str, np.ndarray]
    clips: np.ndarray
    logits: np.ndarray

    def relative_error(self, logits: np.ndarray) -> float:
        """max |a - b| / max |b| against the original's logits."""
        return float(np.abs(logits - self.logits).max() / np.abs(self.logits).max())


def load_record(name: str) -> GoldenRecord:
    """The record called `name`, ready for a session of any framework."""
    record = json.loads((FOLDER / f"{name}.json").read_text())
    spec = SPECS[name]
    pixels = np.random.default_rng(record["input_seed"]).standard_normal(record["input_shape"]).astype(np.float32)
    clips = pixels.reshape(-1, spec.num_segments, spec.in_channels, *pixels.shape[-2:])
    keys = [key for key in record["keys"] if not re.search(NO_INFLUENCE.get(name, "$^"), key[0])]
    return GoldenRecord(spec, _canonical(keys), clips, np.array(record["logits"], np.float32))


def _canonical(keys: list[tuple[str, list[int]]]) -> dict[str, np.ndarray]:
    tensors = {}
    for original, shape in keys:
        if original.endswith("num_batches_tracked"):
            continue
        value, name = fill(original, tuple(shape)), original
        for pattern, replacement in _RENAMES:
            name = re.sub(pattern, replacement, name)
        if ".non_local." in name and value.ndim == 5:
            value = value[..., 0]
        if original == "head.fc.weight":  # Paddle's linear layers are (in, out)
            value = value.T
        tensors[name] = value
    return tensors
