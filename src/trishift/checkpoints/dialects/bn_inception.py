"""Inception networks as converted from Caffe (yjxiong's zoo): flat names, batch-norm vectors as (C,) or (1, C)."""

from __future__ import annotations

from trishift.checkpoints.answers import Answers
from trishift.checkpoints.dialects.base import Dialect, Names, unshifted_image_model
from trishift.model.backbones.inception_v3 import inception_v3_layers
from trishift.model.spec import ModelSpec

_INCEPTION_V3 = {
    f"backbone.{name}.{part}": source + suffix
    for name, source, _ in inception_v3_layers()
    for part, suffix in (("conv", "_Conv2D"), ("bn", "_batchnorm"))
}


def caffe_layer(layer: str) -> str:
    """Flat name of a backbone's canonical layer: BNInception's own, or InceptionV3's `mixed_1_tower_conv_Conv2D`."""
    return _INCEPTION_V3.get(layer) or layer.removeprefix("backbone.")


class BNInception(Dialect):
    """`conv1_7x7_s2.weight`, `inception_3a_1x1_bn.running_mean`, `fc.weight` (or `last_linear.weight`)."""

    name = "bn_inception"
    title = "BNInception image classifier (Caffe conversion)"
    backbones: tuple[str, ...] = ("bn_inception",)
    heads: tuple[str, ...] = ("fc", "last_linear")
    label_lists: tuple[str, ...] = ()

    def layer_names(self, layer: str, spec: ModelSpec) -> tuple[str, ...]:
        """Flat names of the Caffe layers."""
        return self.heads if layer == "head.fc" else (caffe_layer(layer),)

    def describe(self, model: ModelSpec, names: Names, answers: Answers) -> ModelSpec:
        """Describe an image classifier."""
        return unshifted_image_model(model, answers)


class InceptionV3(BNInception):
    """`conv_Conv2D.weight`, `mixed_1_tower_conv_batchnorm.running_mean`, `top_cls_fc.weight`."""

    name = "inception_v3"
    title = "InceptionV3 image classifier (Caffe conversion)"
    backbones = ("inception_v3",)
    heads = ("top_cls_fc",)
