"""BNInception as converted from Caffe (yjxiong's model zoo): flat layer names, batch-norm vectors as (C,) or (1, C)."""

from __future__ import annotations

from trishift.checkpoints.answers import Answers
from trishift.checkpoints.dialects.base import Dialect, Names, rewrite, unshifted_image_model
from trishift.model.spec import ModelSpec


class BNInception(Dialect):
    """`conv1_7x7_s2.weight`, `inception_3a_1x1_bn.running_mean`, `fc.weight` (or `last_linear.weight`)."""

    name = "bn_inception"
    title = "BNInception image classifier (Caffe conversion)"
    backbones: tuple[str, ...] = ("bn_inception",)
    label_lists: tuple[str, ...] = ()

    def layer_names(self, layer: str, spec: ModelSpec) -> tuple[str, ...]:
        """Canonical names without prefix."""
        if layer == "head.fc":
            return ("fc", "last_linear")
        return (rewrite(layer, ((r"backbone\.(.*)", r"\1"),)),)

    def describe(self, model: ModelSpec, names: Names, answers: Answers) -> ModelSpec:
        """Describe an image classifier."""
        return unshifted_image_model(model, answers)
