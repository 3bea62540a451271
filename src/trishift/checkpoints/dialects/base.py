"""What a dialect is: the names one code base gives to the tensors of our models.

A dialect spells canonical names its own way. That one direction serves both ways: reading a file looks every
canonical tensor up under its foreign name, writing one renames. Which model a file holds is found by trying which
backbone's names fit; what remains (placement of the shift, number of segments) `describe` reads off the names.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace

import numpy as np

from trishift.checkpoints.answers import Answers
from trishift.errors import CheckpointError
from trishift.model.architectures import RESNETS, block_names, residual_shift_blocks
from trishift.model.spec import FRAME_CHANNELS, InputSpec, Modality, ModelSpec, ShiftSpec, default_input, segment_length
from trishift.model.tensors import TensorInfo

TORCH_NORM = {role: role for role in ("weight", "bias", "running_mean", "running_var")}
MINDSPORE_NORM = {"weight": "gamma", "bias": "beta", "running_mean": "moving_mean", "running_var": "moving_variance"}
PADDLE_NORM = {"weight": "weight", "bias": "bias", "running_mean": "_mean", "running_var": "_variance"}
IMAGENET_RESNETS = ("resnet18", "resnet34", "resnet50", "resnet101", "resnet152")

Shape = tuple[int, ...]
Rules = tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Names:
    """The tensors of a file, seen through a dialect.

    Attributes:
        raw: names as they are in the file.
        shapes: simplified name to shape, matrices already as (out, in).
    """

    raw: Collection[str]
    shapes: Mapping[str, Shape]

    def any(self, pattern: str) -> bool:
        """Whether a raw name matches."""
        return any(re.search(pattern, name) for name in self.raw)


class Dialect:
    """A family of weight files. Subclasses override what differs; the defaults are PyTorch's habits.

    Attributes:
        name: what `--dialect` takes.
        title: for people.
        framework: whose file format the family uses.
        backbones: those that the family knows.
        norm_roles: its names for the tensors of a batch norm.
        transposes_linear: whether it stores matrices as (in, out).
        container: key under which its files hold the tensors, or None.
        prefix: what its files put before every name.
        wrappers: parts of names that wrappers leave behind, see `simplify`.
        label_lists: shipped class names that a file of the family may have, given their number.
    """

    name: str
    title: str
    framework: str = "pytorch"
    backbones: tuple[str, ...] = IMAGENET_RESNETS
    norm_roles: Mapping[str, str] = TORCH_NORM
    transposes_linear: bool = False
    container: str | None = None
    prefix: str = ""
    wrappers: tuple[str, ...] = ()
    label_lists: tuple[str, ...] = ("jester",)

    def claims(self, names: Collection[str], extras: Mapping[str, object]) -> bool:
        """Whether a file may belong to the family, where its names alone fit several."""
        return True

    def simplify(self, name: str) -> str:
        """A raw name without the traces of wrappers, as `spellings` gives it."""
        return ".".join(part for part in name.split(".") if part not in self.wrappers)

    def layer_names(self, layer: str, spec: ModelSpec) -> tuple[str, ...]:
        """Spellings of a canonical layer name, first the one that is written."""
        raise NotImplementedError

    def spellings(self, tensor: TensorInfo, spec: ModelSpec) -> tuple[str, ...]:
        """Spellings of a canonical tensor name, first the one that is written."""
        role = self.norm_roles[tensor.role] if tensor.layer == "norm" else tensor.role
        return tuple(f"{layer}.{role}" for layer in self.layer_names(tensor.layer_name, spec))

    def wrap(self, name: str, tensor: TensorInfo, spec: ModelSpec) -> str:
        """The inverse of `simplify`: put the traces of wrappers back."""
        return self.prefix + name

    def lacks(self, tensor: TensorInfo) -> bool:
        """Whether the family has no such tensor, which then is zero (a bias)."""
        return False

    def fillers(self, spec: ModelSpec) -> Mapping[str, Shape]:
        """Names and shapes of tensors without influence that the family's code asks for; written as zeros."""
        return {}

    def describe(self, model: ModelSpec, names: Names, answers: Answers) -> ModelSpec:
        """Complete a model of which backbone, channels, width, classes and relation head are known."""
        raise NotImplementedError

    def input(self, spec: ModelSpec, answers: Answers) -> InputSpec:
        """The pixels that the family's models expect."""
        return standard_input(spec, answers)

    def useless(self, name: str) -> str | None:
        """Why a tensor of the family is not needed, or None if it is unexpected."""
        if name.endswith("num_batches_tracked"):
            return "a counter"
        if re.search(r"(\.|_)(velocity|moments|momentum)(_\d+)?$|^(moments|velocity)\.", name):
            return "the optimizer's"
        return None

    def export_array(self, tensor: TensorInfo, array: np.ndarray) -> np.ndarray:
        """A canonical tensor as the family stores it."""
        return np.ascontiguousarray(array.T) if self.transposes_linear and array.ndim == 2 else array


def rewrite(name: str, rules: Rules) -> str:
    """`name` after the first rule (pattern, replacement) that matches all of it; unchanged if none does."""
    for pattern, replacement in rules:
        result, count = re.subn(rf"^{pattern}$", replacement, name)
        if count:
            return result
    return name


def standard_input(spec: ModelSpec, answers: Answers) -> InputSpec:
    """The originals' input of a backbone and a modality; 3 channels are RGB, 15 differences, others optical flow."""
    implied: dict[int, Modality] = {3: "rgb", 15: "rgbdiff"}
    modality: Modality = answers.given("modality") or implied.get(spec.in_channels, "flow")
    if modality not in FRAME_CHANNELS:
        raise CheckpointError(f"modality={modality!r} is unknown; one of {', '.join(FRAME_CHANNELS)}")
    segment_length(modality, spec.in_channels)  # refuses a modality that has no such segments
    return default_input(spec.backbone, modality)


def every_branch(backbone: str) -> str | tuple[str, ...]:
    """The placement that shifts the branch of every block, unlike the original's rule also in deep ResNets."""
    return placement_of(set(block_names(backbone)), backbone)


def ask_shift(answers: Answers, placement: str | tuple[str, ...], **fields: object) -> ShiftSpec | None:
    """The shift of a family whose names do not show it: with `placement`, or none."""
    name = placement if isinstance(placement, str) else "blockres"
    answer = answers.ask("shift", f"whether it shifts: shift='{name}' for a TSM, shift='none' for a TSN")
    if answer == "none":
        return None
    if answer not in (name, "tsm") and not isinstance(answer, tuple):
        raise CheckpointError(f"shift={answer!r}: weights of this family shift {name!r} or 'none'")
    return ShiftSpec(placement=placement, **fields)  # type: ignore[arg-type]


def ask_segments(answers: Answers, model: ModelSpec) -> int:
    """T: known from the relations, else asked for."""
    if model.head.consensus != "average":
        return int(answers.confirm("num_segments", model.num_segments))
    return int(answers.ask("num_segments", "the number of frames per clip"))


def placement_of(blocks: set[str], backbone: str) -> str | tuple[str, ...]:
    """The placement that shifts the branch of exactly these blocks."""
    residual = residual_shift_blocks(backbone)
    return "blockres" if blocks == set(residual) else tuple(sorted(blocks, key=_natural))


def _natural(name: str) -> list[int]:
    return [int(number) for number in re.findall(r"\d+", name)]


def unshifted_image_model(model: ModelSpec, answers: Answers) -> ModelSpec:
    """An image classifier as a recognizer of single frames, or of T if the user says so."""
    return replace(model, num_segments=int(answers.given("num_segments") or 1), shift=None)


def is_resnet(spec: ModelSpec) -> bool:
    """Whether the backbone is a ResNet."""
    return spec.backbone in RESNETS
