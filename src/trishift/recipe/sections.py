"""The sections of a recipe: frozen, typed, and validated on construction."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, fields, is_dataclass
from functools import cache
from typing import Any, Literal, get_type_hints

from trishift.backends.contract import Execution, OptimizerSpec
from trishift.data.mixing import MixingSpec
from trishift.data.protocol import Protocol
from trishift.data.sampling import check_length
from trishift.data.spec import DataSpec
from trishift.errors import RecipeError
from trishift.io.typed import FORBID_UNKNOWN_KEYS, inner_types
from trishift.model.backbones import BACKBONES
from trishift.model.feature_maps import check_size
from trishift.model.losses import LossSpec
from trishift.model.pixels import segment_length
from trishift.model.spec import InputSpec, ModelSpec
from trishift.recipe.options import BestSpec, DistillationSpec, FreezeSpec, LogSpec

_LEAST = {  # smallest values of numbers, where a section does not check its own
    **dict.fromkeys(("train.epochs", "train.batch_size", "train.accumulate"), 1),
    **dict.fromkeys(("train.save_every", "train.seed", "train.milestones", "train.warmup_epochs"), 0),
    **dict.fromkeys(("train.best.keep", "train.best.patience"), 1),
    **dict.fromkeys(("train.precise_bn", "train.warmup_steps", "train.lr_floor", "train.stochastic_depth"), 0),
    **dict.fromkeys(("train.momentum", "train.weight_decay", "train.head_lr_mult", "data.workers"), 0),
    **dict.fromkeys(("model.head.relation_width", "model.head.hidden_width", "model.head.relations_per_scale"), 1),
    **{"train.lr_batch_size": 1, "train.evaluate_every": 0},
}
_POSITIVE = (
    "train.lr",
    "train.gamma",
    "train.clip_norm",
    "train.layer_decay",
    "train.ema",
    "train.distillation.temperature",
    "input.scale",
)


def check_numbers(section: Any, prefix: str = "") -> None:
    """Refuse numbers that cannot be meant: infinite ones, and those below the least value of their key.

    Args:
        section: a section, or the whole recipe.
        prefix: its dotted key, with a trailing dot.

    Raises:
        RecipeError: names the first such key.
    """
    for name in (f.name for f in fields(section)):
        key, value = f"{prefix}{name}", getattr(section, name)
        if is_dataclass(value):
            check_numbers(value, f"{key}.")
        for number in value if isinstance(value, tuple) else (value,):
            if isinstance(number, float) and not math.isfinite(number):
                raise RecipeError(f"{key}: {number} is not a finite number")
            if isinstance(number, int | float) and number < _LEAST.get(key, number):
                raise RecipeError(f"{key}: must be {_LEAST[key]} or more, not {number}")
            if isinstance(number, int | float) and key in _POSITIVE and number <= 0:
                raise RecipeError(f"{key}: must be positive, not {number}")


def settle_numbers(section: Any) -> None:
    """Turn whole numbers into floats where floats are meant, as YAML, JSON and Python write 20 for 20.0.

    Otherwise the files of a run would depend on how its recipe was made.
    """
    for name, types in _number_types(section.__class__).items():
        value = getattr(section, name)
        if is_dataclass(value):
            settle_numbers(value)
        elif float in types and int not in types:
            settled = tuple(map(_as_float, value)) if isinstance(value, tuple) else _as_float(value)
            object.__setattr__(section, name, settled)


@cache
def _number_types(cls: Any) -> dict[str, set[Any]]:
    """The types in the annotation of every entry of a section, however nested."""
    return {name: set(inner_types(hint)) for name, hint in get_type_hints(cls).items()}


def _as_float(value: Any) -> Any:
    return float(value) if isinstance(value, int) and not isinstance(value, bool) else value


@dataclass(frozen=True)
class TrainSpec:
    """Training settings; the defaults are those of TSN, TSM and TRN.

    Attributes:
        epochs: passes over the training list.
        batch_size: clips per optimizer step, over all processes and accumulated micro-batches.
        accumulate: micro-batches per step, each of batch_size / (accumulate * processes) clips.
        lr: learning rate for `lr_batch_size` clips; scaled linearly with `batch_size` (Goyal et al. 2017).
        lr_batch_size: the batch size `lr` was chosen for; None means `batch_size` (no scaling).
        schedule: `step` (x gamma at every milestone) or `cosine` (to `lr_floor` at the end).
        milestones: epochs at which `step` lowers the rate.
        gamma: decay factor of `step`.
        lr_floor: the share of the rate that `cosine` keeps.
        warmup_epochs: the rate grows linearly from zero over these epochs (fractions allowed).
        warmup_steps: the same in optimizer steps.
        layer_decay: factor on the learning rate per stage of the network from the head down, see `model/stages.py`.
        freeze: stages that are not trained; a list of names is short for `{stages: ...}`.
        stochastic_depth: probability of skipping the last residual block for a clip; it grows linearly from the first
            block on (Huang et al. 2016, arXiv:1603.09382).
        optimizer: `sgd` or `adamw`, see `backends.contract.OptimizerSpec`; a name alone is short for `{name: ...}`.
        momentum, nesterov: SGD only.
        weight_decay: share of the weights that is added to the gradients (`adamw`: subtracted from the weights).
        clip_norm: total gradient norm above which gradients are scaled down, or None.
        partial_bn: freeze every batch norm of the backbone but the first (TSN).
        frozen_bn: freeze every batch norm, for batches too small to estimate statistics.
        multipliers: whether biases, norms and the head have separate factors on learning rate and weight decay, see
            `training.parameter_groups` (intended by MSN's code, which never applies them because of a bug).
        head_lr_mult: factor on the learning rate of linear weights, twice that for their biases (TSM: 5; TRN: 1);
            `stable`: chosen at the start so that the head cannot overshoot, see `training.head_start`.
        mixing: mixup, CutMix and VideoMix, see `mixing.MixingSpec`.
        loss: the loss function, see `losses.LossSpec`; a name alone is short for `{name: ...}`.
        distillation: teachers, see `DistillationSpec`; none by default.
        initial_weights: weights of any supported family to start from: a file, a published name or an address.
        new_head: discard the file's last layers and train new ones (for another set of classes); `auto`: only if
            its classes are not those of the data set.
        ema: decay of a running mean of all tensors over the optimizer steps, which is evaluated and kept instead of the
            weights; smaller at first, see `training.schedule.average_decay`. None for none.
        precise_bn: training batches from which batch norms are measured anew before evaluations; 0 for none.
        best: the weights to keep, see `BestSpec`.
        head_start: a new head starts from `drawn` weights, or from the `probe`, logistic regression on the frozen
            features of the training clips.
        evaluate_every: epochs between evaluations on the validation list; the last epoch is always evaluated. 0: train
            without a validation list.
        save_every: iterations between saves within an epoch; 0 saves only at the end of each epoch.
        legacy_drawn_offsets: initialize the offsets of MSN's deformable convolutions at random instead of with zeros.
        legacy_frozen_kernels: never update the kernels of MSN's deformable convolutions.
        seed: seeds initial weights, data order, augmentation, dropout and relation draws.
    """

    __pydantic_config__ = FORBID_UNKNOWN_KEYS

    epochs: int = 50
    batch_size: int = 64
    accumulate: int = 1
    lr: float = 0.01
    lr_batch_size: int | None = None
    schedule: Literal["step", "cosine"] = "step"
    milestones: tuple[int | float, ...] = (20, 40)
    gamma: float = 0.1
    lr_floor: float = 0.0
    warmup_epochs: float = 0.0
    warmup_steps: int = 0
    layer_decay: float = 1.0
    freeze: FreezeSpec = field(default_factory=FreezeSpec)
    stochastic_depth: float = 0.0
    optimizer: OptimizerSpec = field(default_factory=OptimizerSpec)
    momentum: float = 0.9
    nesterov: bool = False
    weight_decay: float = 5e-4
    clip_norm: float | None = 20.0
    partial_bn: bool = False
    frozen_bn: bool = False
    multipliers: bool = True
    head_lr_mult: float | Literal["stable"] = 5.0
    mixing: MixingSpec = field(default_factory=MixingSpec)
    loss: LossSpec = field(default_factory=LossSpec)
    distillation: DistillationSpec = field(default_factory=DistillationSpec)
    initial_weights: str | None = None
    new_head: bool | Literal["auto"] = False
    ema: float | None = None
    precise_bn: int = 0
    best: BestSpec = field(default_factory=BestSpec)
    head_start: Literal["drawn", "probe"] = "drawn"
    evaluate_every: int = 1
    save_every: int = 0
    legacy_drawn_offsets: bool = False
    legacy_frozen_kernels: bool = False
    seed: int = 0

    def __post_init__(self) -> None:
        check_numbers(self, "train.")
        if self.momentum >= 1:
            raise RecipeError(f"train.momentum: must be below 1, not {self.momentum}")
        for name in ("lr_floor", "stochastic_depth"):
            if getattr(self, name) >= 1:
                raise RecipeError(f"train.{name}: must be below 1, not {getattr(self, name)}")
        if self.ema is not None and self.ema >= 1:
            raise RecipeError(f"train.ema: must be below 1, not {self.ema}")
        if self.layer_decay > 1:
            raise RecipeError(f"train.layer_decay: must be 1 or less, not {self.layer_decay}")
        if self.precise_bn and self.frozen_bn:
            raise RecipeError("train.precise_bn: train.frozen_bn leaves no batch norm to measure; remove one of them")
        if self.lr_floor and self.schedule != "cosine":
            raise RecipeError("train.lr_floor: is for the cosine schedule; set train.schedule=cosine or remove it")
        if self.warmup_steps and self.warmup_epochs:
            raise RecipeError("train.warmup_steps: train.warmup_epochs is set as well; keep one of them")
        if self.nesterov and not self.momentum:
            raise RecipeError("train.nesterov: needs momentum; set train.momentum or remove train.nesterov")
        if self.nesterov and self.optimizer.name != "sgd":
            raise RecipeError(f"train.nesterov: {self.optimizer.name} has no such option; remove train.nesterov")
        if self.head_start == "probe" and self.initial_weights and self.new_head is not True:
            raise RecipeError("train.head_start: probe replaces the head of initial_weights; set train.new_head=true")
        if self.head_lr_mult == "stable" and not self.multipliers:
            raise RecipeError("train.head_lr_mult: stable needs train.multipliers=true, which applies it")
        if self.batch_size % self.accumulate:
            raise RecipeError(f"train.accumulate: {self.accumulate} does not divide batch_size {self.batch_size}")

    @property
    def evaluates_others(self) -> bool:
        """Whether evaluations see other weights or statistics than the next optimizer step."""
        return self.ema is not None or self.precise_bn > 0

    @property
    def scaled_lr(self) -> float:
        """The learning rate after linear scaling with the batch size."""
        return self.lr * self.batch_size / (self.lr_batch_size or self.batch_size)


@dataclass(frozen=True)
class Recipe:
    """A validated recipe; see the sections' classes for their keys.

    Attributes:
        name: names the run folder if no other is given.
        model: the network.
        input: the pixels it expects.
        data: clips, lists and reading.
        train: optimization.
        evaluation: the protocol of evaluations.
        execution: device, precision and speed.
        log: where the numbers of a run go.
    """

    __pydantic_config__ = FORBID_UNKNOWN_KEYS

    name: str = "run"
    model: ModelSpec = field(default_factory=ModelSpec)
    input: InputSpec = field(default_factory=InputSpec)
    data: DataSpec = field(default_factory=DataSpec)
    train: TrainSpec = field(default_factory=TrainSpec)
    evaluation: Protocol = field(default_factory=Protocol)
    execution: Execution = field(default_factory=Execution)
    log: LogSpec = field(default_factory=LogSpec)

    def __post_init__(self) -> None:
        settle_numbers(self)
        check_numbers(self)
        caffe = self.input.channel_order == "bgr" and self.input.scale == 1
        if BACKBONES[self.model.backbone].caffe_pixels and not caffe:
            raise RecipeError(
                f"input: {self.model.backbone} expects BGR pixels 0..255 (channel_order: bgr, scale: 1); "
                "remove the color settings from the input section to get them"
            )
        length = segment_length(self.input.modality, self.model.in_channels)
        for sampling in (self.data.sampling, self.evaluation.sampling):
            check_length(sampling, length)
        check_size(self.model, self.input.crop_size, "input.crop")
        check_size(self.model, self.data.augmentation.clip_size(self.input), "data.augmentation.size")
        if self.evaluation.full_resolution:
            check_size(self.model, self.input.resize_size, "input.resize")
        if self.train.loss.multi_label != self.model.multi_label:
            labels = "several labels" if self.train.loss.multi_label else "a single label"
            raise RecipeError(
                f"model.multi_label: {str(self.model.multi_label).lower()}, but train.loss {self.train.loss.name} is "
                f"for {labels} per clip; remove model.multi_label, the loss determines it"
            )
        self.train.freeze.check_names(self.model)
        self.train.best.check_metric(self.model)
        peer = self.train.distillation.peer.model(self.model)
        for name in (self.model.backbone, peer.backbone):
            if self.train.stochastic_depth and not BACKBONES[name].skips_blocks:
                raise RecipeError(f"train.stochastic_depth: {name} cannot skip its blocks; set it to 0")
        self._check_teachers(peer)
        if self.train.head_start == "probe" and self.model.head.consensus != "average":
            raise RecipeError(
                f"train.head_start: probe makes a linear head, not model.head.consensus {self.model.head.consensus}; "
                "set train.head_start=drawn"
            )
        self._check_motion()
        self._check_augmentation()

    def _check_teachers(self, peer: ModelSpec) -> None:
        if self.train.distillation.is_on and self.model.multi_label:
            raise RecipeError(
                f"train.distillation: is for a single label per clip, but train.loss {self.train.loss.name} is for "
                "several; remove train.distillation"
            )
        self.train.freeze.check_names(peer)
        check_size(peer, self.input.crop_size, "input.crop, for train.distillation.peer")
        if BACKBONES[peer.backbone].caffe_pixels != BACKBONES[self.model.backbone].caffe_pixels:
            raise RecipeError(
                f"train.distillation.peer: {peer.backbone} expects other pixels than {self.model.backbone}; choose "
                "another backbone"
            )
        if self.train.distillation.is_on and self.execution.distributed:
            raise RecipeError(
                "train.distillation: teachers and peers run in a single process; set execution.distributed=false "
                "and start without a launcher"
            )

    def _check_motion(self) -> None:
        motion = self.model.motion
        if motion and self.input.modality != "rgb":
            raise RecipeError(
                f"input.modality: {motion.title} needs RGB frames, not {self.input.modality}; remove model.motion"
            )
        for option in ("legacy_drawn_offsets", "legacy_frozen_kernels"):
            if getattr(self.train, option) and (motion is None or motion.kind != "msn"):
                raise RecipeError(f"train.{option}: only applies to models with model.motion.kind msn")

    def _check_augmentation(self) -> None:
        augmentation = self.data.augmentation
        unfit = augmentation.recolors or ("reverse" if augmentation.reverse != "none" else None)
        if self.input.modality == "flow" and unfit:
            reason = "optical flow has no colors" if augmentation.recolors else "played backward, flow is another flow"
            raise RecipeError(f"data.augmentation.{unfit}: {reason}; remove it for input.modality=flow")
        if self.model.multi_label and self.train.mixing.methods:
            raise RecipeError(
                f"train.mixing.{self.train.mixing.methods[0]}: clips with several labels cannot be mixed; set it to 0, "
                "or train.loss=cross_entropy"
            )
        if self.model.multi_label and self.data.balance.by != "none":
            raise RecipeError("data.balance.by: clips with several labels cannot be balanced; set data.balance=none")
