"""Dialects: the names one codebase gives to the tensors of Trishift's models.

A dialect maps canonical names to foreign ones. That single mapping serves both directions: reading looks up every
canonical tensor under its foreign name, and writing renames. The backbone of a file is the one whose names fit best;
`describe` infers the rest (placement of the shift, number of segments) from the names.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace

import numpy as np

from trishift.checkpoints.answers import Answers
from trishift.errors import CheckpointError
from trishift.model.backbones import BACKBONES
from trishift.model.backbones.resnet import RESNETS
from trishift.model.pixels import segment_length
from trishift.model.spec import InputSpec, Modality, ModelSpec, ShiftSpec, block_names, default_input
from trishift.model.tensors import TensorInfo

TORCH_NORM = {role: role for role in ("weight", "bias", "running_mean", "running_var")}
MINDSPORE_NORM = {"weight": "gamma", "bias": "beta", "running_mean": "moving_mean", "running_var": "moving_variance"}
PADDLE_NORM = {"weight": "weight", "bias": "bias", "running_mean": "_mean", "running_var": "_variance"}
IMAGENET_RESNETS = ("resnet18", "resnet34", "resnet50", "resnet101", "resnet152")

Shape = tuple[int, ...]
Rules = tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Names:
    """Names and shapes of a file's tensors, as read by a dialect.

    Attributes:
        raw: names in the file.
        shapes: simplified name to shape, with matrices as (out, in).
    """

    raw: Collection[str]
    shapes: Mapping[str, Shape]

    def any(self, pattern: str) -> bool:
        """Whether any raw name matches."""
        return any(re.search(pattern, name) for name in self.raw)


class Dialect:
    """A family of weight files. The defaults follow PyTorch's conventions; subclasses override what differs.

    Attributes:
        name: value of `--dialect`.
        title: name for display.
        framework: framework whose file format the family uses.
        backbones: supported backbones.
        norm_roles: its names for the tensors of a batch norm.
        transposes_linear: whether it stores matrices as (in, out).
        container: key of the tensors in its files, or None.
        prefix: prefix of every name in its files.
        wrappers: parts of names added by wrapper modules, see `simplify`.
        label_lists: shipped class names assigned to a file of the family with a matching number of classes.
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
        """Whether a file may belong to the family, if its names fit several."""
        return True

    def simplify(self, name: str) -> str:
        """Strip the parts added by wrapper modules from a raw name, to match `spellings`."""
        return ".".join(part for part in name.split(".") if part not in self.wrappers)

    def layer_names(self, layer: str, spec: ModelSpec) -> tuple[str, ...]:
        """Return the foreign spellings of a canonical layer name, the one used for writing first."""
        raise NotImplementedError

    def spellings(self, tensor: TensorInfo, spec: ModelSpec) -> tuple[str, ...]:
        """Return the foreign spellings of a canonical tensor name, the one used for writing first."""
        role = self.norm_roles[tensor.role] if tensor.layer == "norm" else tensor.role
        return tuple(f"{layer}.{role}" for layer in self.layer_names(tensor.layer_name, spec))

    def wrap(self, name: str, tensor: TensorInfo, spec: ModelSpec) -> str:
        """Invert `simplify`: add the parts of wrapper modules again."""
        return self.prefix + name

    def lacks(self, tensor: TensorInfo) -> bool:
        """Whether the family omits this tensor (a bias), which is then zero."""
        return False

    def fillers(self, spec: ModelSpec) -> Mapping[str, Shape]:
        """Return names and shapes of tensors without effect that must be present; written as zeros."""
        return {}

    def describe(self, model: ModelSpec, names: Names, answers: Answers) -> ModelSpec:
        """Complete a model with known backbone, channels, width, classes and relation head."""
        raise NotImplementedError

    def input(self, spec: ModelSpec, answers: Answers) -> InputSpec:
        """Return the pixel format the family's models expect."""
        return standard_input(spec, answers)

    def useless(self, name: str) -> str | None:
        """Return why a tensor of the family is not needed, or None if it is unexpected."""
        if name.endswith(("num_batches_tracked", "n_averaged")):
            return "a counter"
        if re.match(r"ema_\w+$", name):  # mmcv's EMAHook
            return "a moving average of another tensor"
        if re.search(r"(\.|_)(velocity|moments|momentum)(_\d+)?$|^(moments|velocity)\.", name):
            return "optimizer state"
        return None

    def export_array(self, tensor: TensorInfo, array: np.ndarray) -> np.ndarray:
        """Convert a canonical tensor to the family's layout."""
        return np.ascontiguousarray(array.T) if self.transposes_linear and array.ndim == 2 else array


def rewrite(name: str, rules: Rules) -> str:
    """Apply the first rule (pattern, replacement) that matches all of `name`; return it unchanged if none does."""
    for pattern, replacement in rules:
        result, count = re.subn(rf"^{pattern}$", replacement, name)
        if count:
            return result
    return name


def standard_input(spec: ModelSpec, answers: Answers) -> InputSpec:
    """Return the originals' input for a backbone: 3 channels mean RGB, 15 differences, any other number flow."""
    implied: dict[int, Modality] = {3: "rgb", 15: "rgbdiff"}
    modality: Modality = answers.given("modality") or implied.get(spec.in_channels, "flow")
    segment_length(modality, spec.in_channels)  # raises if the modality cannot have that many channels
    return default_input(spec.backbone, modality)


def every_branch(backbone: str) -> str | tuple[str, ...]:
    """Return the placement with a shift in every branch, also in deep ResNets (unlike the original's rule)."""
    return placement_of(set(block_names(backbone)), backbone)


def ask_shift(answers: Answers, placement: str | tuple[str, ...], **fields: object) -> ShiftSpec | None:
    """Ask for the shift in a family whose names do not show it: `placement` or none."""
    name = placement if isinstance(placement, str) else "blockres"
    answer = answers.ask("shift", f"whether it shifts: shift='{name}' for a TSM, shift='none' for a TSN")
    return ShiftSpec(placement=placement, **fields) if shifts(answers, answer, name) else None  # type: ignore[arg-type]


def shifts(answers: Answers, answer: object, placement: str = "blockres") -> bool:
    """Whether a family shifts, which knows one placement.

    Raises:
        CheckpointError: the answer is another placement.
    """
    if answer not in (placement, "tsm", "none") and not isinstance(answer, tuple):
        raise CheckpointError(
            f"{answers.path}: shift={answer!r}, but weights of this family allow {placement!r} and 'none'"
        )
    return answer != "none"


def share_of_segments(answers: Answers, segments: int) -> int:
    """`div` of the shift of PaddleVideo's operator: T, unless the user sets it.

    Raises:
        CheckpointError: the file's name says another T.
    """
    given = answers.given("shift_div")
    if given is None:
        difference = "segments shift another share of the channels"
        answers.confirm_named("num_segments", segments, difference, " (or shift_div to the named number, too)")
    return int(given or segments)


def ask_segments(answers: Answers, model: ModelSpec) -> int:
    """Return T: inferred from the relations, else asked for."""
    if model.head.consensus != "average":
        return int(answers.confirm("num_segments", model.num_segments))
    return int(answers.ask("num_segments", "the number of frames per clip"))


def placement_of(blocks: set[str], backbone: str) -> str | tuple[str, ...]:
    """Return the placement that shifts the branch of exactly these blocks."""
    residual = BACKBONES[backbone].residual_blocks
    return "blockres" if blocks == set(residual) else tuple(sorted(blocks, key=_natural))


def _natural(name: str) -> list[int]:
    return [int(number) for number in re.findall(r"\d+", name)]


def unshifted_image_model(model: ModelSpec, answers: Answers) -> ModelSpec:
    """Treat an image classifier as a recognizer of single frames, or of T frames if the user sets it."""
    return replace(model, num_segments=int(answers.given("num_segments") or 1), shift=None)


def is_resnet(spec: ModelSpec) -> bool:
    """Whether the backbone is a ResNet."""
    return spec.backbone in RESNETS
