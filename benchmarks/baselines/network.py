"""TSN and TSM in PyTorch, as published in 2018 and 2019: the baseline of inference and training.

Written from the papers (Wang et al., arXiv:1608.00859; Lin et al., arXiv:1811.08383). Frames are NCHW and float32, the
shift fills a tensor of zeros slice by slice, and nothing is fused or compiled. Tensors have our names.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from trishift.model.backbones.resnet import RESNETS
from trishift.model.spec import ModelSpec
from trishift.model.tensors import Tensors


class Shift(nn.Module):
    """The bidirectional shift of an eighth of the channels per direction."""

    def __init__(self, segments: int, div: int) -> None:
        super().__init__()
        self.segments, self.div = segments, div

    def forward(self, x: Tensor) -> Tensor:
        """(N * T, C, H, W) in and out."""
        clips = x.view(-1, self.segments, *x.shape[1:])
        fold = clips.shape[2] // self.div
        shifted = torch.zeros_like(clips)
        shifted[:, :-1, :fold] = clips[:, 1:, :fold]
        shifted[:, 1:, fold : 2 * fold] = clips[:, :-1, fold : 2 * fold]
        shifted[:, :, 2 * fold :] = clips[:, :, 2 * fold :]
        return shifted.view(x.shape)


class Bottleneck(nn.Module):
    """1x1, 3x3 and 1x1 convolution, each with its norm, and the identity path."""

    def __init__(self, inputs: int, width: int, stride: int, shift: nn.Module) -> None:
        super().__init__()
        outputs = 4 * width
        self.shift = shift
        self.conv1, self.bn1 = nn.Conv2d(inputs, width, 1, bias=False), nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, stride, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv3, self.bn3 = nn.Conv2d(width, outputs, 1, bias=False), nn.BatchNorm2d(outputs)
        self.downsample: nn.Module = nn.Identity()
        if stride > 1 or inputs != outputs:
            self.downsample = nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))

    def forward(self, x: Tensor) -> Tensor:
        """(N * T, C, H, W) to (N * T, 4 * width, H', W')."""
        out = F.relu(self.bn1(self.conv1(self.shift(x))))
        out = F.relu(self.bn2(self.conv2(out)))
        return F.relu(self.bn3(self.conv3(out)) + self.downsample(x))


class Backbone(nn.Module):
    """A ResNet of bottlenecks without its classifier."""

    def __init__(self, spec: ModelSpec) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(spec.in_channels, spec.width, 7, 2, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(spec.width)
        stages: dict[int, list[nn.Module]] = {}
        for block in RESNETS[spec.backbone].blocks(spec.width):
            shift = nn.Identity() if spec.shift is None else Shift(spec.num_segments, spec.shift.div)
            layer = Bottleneck(block.in_channels, block.width, block.stride, shift)
            stages.setdefault(block.stage, []).append(layer)
        for stage, layers in stages.items():
            self.add_module(f"layer{stage}", nn.Sequential(*layers))

    def forward(self, x: Tensor) -> Tensor:
        """(N * T, C, H, W) to (N * T, F)."""
        x = F.max_pool2d(F.relu(self.bn1(self.conv1(x))), 3, 2, 1)
        for stage in (self.layer1, self.layer2, self.layer3, self.layer4):
            x = stage(x)
        return F.adaptive_avg_pool2d(x, 1).flatten(1)


class PublishedNetwork(nn.Module):
    """Average of the logits of all segments."""

    def __init__(self, spec: ModelSpec, weights: Tensors) -> None:
        super().__init__()
        assert RESNETS[spec.backbone].block == "bottleneck"
        self.segments = spec.num_segments
        self.backbone = Backbone(spec)
        self.head = nn.ModuleDict({"fc": nn.Linear(spec.feature_width, spec.num_classes)})
        tensors = {name: torch.from_numpy(array) for name, array in weights.items()}
        missing, unknown = self.load_state_dict(tensors, strict=False)
        assert not unknown and all(name.endswith("num_batches_tracked") for name in missing)

    def forward(self, clips: Tensor) -> Tensor:
        """(N, T, C, H, W) to (N, K)."""
        logits = self.head["fc"](self.backbone(clips.flatten(0, 1)))
        return logits.view(-1, self.segments, logits.shape[1]).mean(1)


def prediction(spec: ModelSpec, weights: Tensors, clips: np.ndarray, device: str = "cpu") -> Callable[[], np.ndarray]:
    """A forward pass in evaluation mode; on a GPU in float32 proper, from pinned memory."""
    network = PublishedNetwork(spec, weights).eval().to(device)
    host = _on_host(clips, device)

    @torch.no_grad()
    def call() -> np.ndarray:
        torch.backends.cudnn.allow_tf32 = False
        logits: np.ndarray = network(host.to(device, non_blocking=True)).cpu().numpy()
        return logits

    return call


def train_step(
    spec: ModelSpec, weights: Tensors, clips: np.ndarray, targets: np.ndarray, lr: float, device: str = "cpu"
) -> Callable[[], float]:
    """A step of the published recipe: SGD, clipped gradients, and only the first norm in training mode."""
    network = PublishedNetwork(spec, weights).train().to(device)
    norms = [module for module in network.modules() if isinstance(module, nn.BatchNorm2d)]
    for norm in norms[1:]:
        norm.eval()
        norm.requires_grad_(False)
    trained = [parameter for parameter in network.parameters() if parameter.requires_grad]
    optimizer = torch.optim.SGD(trained, lr, momentum=0.9, weight_decay=1e-4)
    host = _on_host(clips, device)

    def call() -> float:
        torch.backends.cudnn.allow_tf32 = False
        optimizer.zero_grad()
        logits = network(host.to(device, non_blocking=True))
        loss = F.cross_entropy(logits, torch.from_numpy(targets).to(device))
        loss.backward()
        nn.utils.clip_grad_norm_(network.parameters(), 20)
        optimizer.step()
        return loss.item()

    return call


def _on_host(clips: np.ndarray, device: str) -> Tensor:
    """Clips as a loader of that time passed them on."""
    tensor = torch.from_numpy(clips)
    return tensor if device == "cpu" else tensor.pin_memory()
