"""ImageNet weights of torchvision (ResNet, MobileNetV2) and of paddle.vision, which uses the same names."""

from __future__ import annotations

from trishift.checkpoints.answers import Answers
from trishift.checkpoints.dialects.base import (
    IMAGENET_RESNETS,
    PADDLE_NORM,
    Dialect,
    Names,
    rewrite,
    unshifted_image_model,
)
from trishift.model.spec import ModelSpec

_RULES = ((r"backbone\.(.*)", r"\1"),)


class Torchvision(Dialect):
    """`conv1.weight`, `layer1.0.bn1.running_mean`, `features.1.conv.0.0.weight`: canonical names without prefix."""

    name = "torchvision"
    title = "torchvision image classifier"
    backbones: tuple[str, ...] = (*IMAGENET_RESNETS, "mobilenet_v2")
    label_lists: tuple[str, ...] = ()

    def layer_names(self, layer: str, spec: ModelSpec) -> tuple[str, ...]:
        """`fc` in ResNets, `classifier.1` in MobileNetV2."""
        if layer == "head.fc":
            return ("classifier.1",) if spec.backbone == "mobilenet_v2" else ("fc",)
        return (rewrite(layer, _RULES),)

    def describe(self, model: ModelSpec, names: Names, answers: Answers) -> ModelSpec:
        """Describe an image classifier."""
        return unshifted_image_model(model, answers)


class PaddleVision(Torchvision):
    """The same with Paddle's names for running statistics, and transposed matrices."""

    name = "paddle_vision"
    title = "paddle.vision image classifier"
    framework = "paddle"
    norm_roles = PADDLE_NORM
    transposes_linear = True
