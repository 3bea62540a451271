"""The options of the training section that published recipes leave off."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Literal

from trishift.errors import RecipeError
from trishift.io.typed import FORBID_UNKNOWN_KEYS
from trishift.model.spec import Backbone, ModelSpec
from trishift.model.stages import STAGE_SETS, stage_names


@dataclass(frozen=True)
class FreezeSpec:
    """Stages whose tensors and batch norms do not change, at first or at all.

    Attributes:
        stages: names of stages, or of sets of stages (`early`, `backbone`), see `model/stages.py`.
        until: epochs after which they are trained, one number for all or one per entry of `stages`; None: never.
    """

    __pydantic_config__ = FORBID_UNKNOWN_KEYS

    stages: tuple[str, ...] = ()
    until: int | tuple[int, ...] | None = None

    def __post_init__(self) -> None:
        numbers = self.until if isinstance(self.until, tuple) else (0 if self.until is None else self.until,)
        if min(numbers, default=0) < 0:
            raise RecipeError(f"train.freeze.until: must be 0 or more, not {min(numbers)}")
        if isinstance(self.until, tuple) and len(self.until) != len(self.stages):
            raise RecipeError(
                f"train.freeze.until: {len(self.until)} numbers for {len(self.stages)} stages; give one per stage"
            )

    def check_names(self, model: ModelSpec) -> None:
        """Refuse names that are not stages of a model.

        Raises:
            RecipeError: names the first of them and the valid ones.
        """
        known = stage_names(model)
        for name in self.stages:
            if name not in (*known, *STAGE_SETS):
                raise RecipeError(
                    f"train.freeze.stages: {model.backbone} has no stage {name!r}; "
                    f"choose from {', '.join((*known, *STAGE_SETS))}"
                )

    def frozen(self, epoch: int) -> frozenset[str]:
        """The entries of `stages` that are frozen in an epoch, counted from 0."""
        spans = self.until if isinstance(self.until, tuple) else (self.until,) * len(self.stages)
        pairs = zip(self.stages, spans, strict=True)
        return frozenset(stage for stage, span in pairs if span is None or epoch < span)


METRICS = {  # reported by evaluations of clips with a single label and with several, the default first
    False: ("top1", "top5", "mean_class_accuracy"),
    True: ("sample_map", "class_map", "p_at_1", "p_at_5"),
}


@dataclass(frozen=True)
class BestSpec:
    """The choice of the weights that are kept, by evaluations on the validation list.

    Attributes:
        metric: the metric to compare, see `METRICS`; None for the default of the task.
        keep: number of evaluated weights to keep; more than one are also in the folder `kept`.
        patience: stop when this many epochs have brought nothing better; None trains to the end.
    """

    __pydantic_config__ = FORBID_UNKNOWN_KEYS

    metric: str | None = None
    keep: int = 1
    patience: int | None = None

    def check_metric(self, model: ModelSpec) -> None:
        """Refuse a metric that evaluations of a model do not report.

        Raises:
            RecipeError: names the valid ones.
        """
        known = METRICS[model.multi_label]
        if self.metric not in (None, *known):
            raise RecipeError(f"train.best.metric: {self.metric!r} is not reported; choose from {', '.join(known)}")


@dataclass(frozen=True)
class PeerSpec:
    """The second student of mutual learning, where it differs from the first.

    Attributes:
        backbone: its network; None: the same.
        negative_slope: see `model.negative_slope`.
        dropout: see `model.dropout`.
        temporal_attention: see `model.temporal_attention`.
        head_lr_mult: see `train.head_lr_mult`.
        initial_weights: weights it starts from, as for `train.initial_weights`, if its backbone differs.
    """

    __pydantic_config__ = FORBID_UNKNOWN_KEYS

    backbone: Backbone | None = None
    negative_slope: float | None = None
    dropout: float | None = None
    temporal_attention: bool | None = None
    head_lr_mult: float | None = None
    initial_weights: str | None = None

    def __post_init__(self) -> None:
        if self.initial_weights and not self.backbone:
            raise RecipeError(
                "train.distillation.peer.initial_weights: a second student of the same network starts like the first; "
                "remove it, or set train.distillation.peer.backbone"
            )

    def model(self, student: ModelSpec) -> ModelSpec:
        """The second student's model.

        Raises:
            RecipeError: the network does not have an option of the first student.
        """
        names = ("backbone", "negative_slope", "dropout", "temporal_attention")
        given = {name: value for name in names if (value := getattr(self, name)) is not None}
        try:
            return replace(student, **given)
        except RecipeError as error:
            raise RecipeError(f"train.distillation.peer: {error}") from None


@dataclass(frozen=True)
class DistillationSpec:
    """Teachers that guide the training, see `losses.GuideSpec`.

    Attributes:
        teachers: weights of any family, trained for the same classes: files, published names or addresses. Their
            probabilities are averaged.
        mutual: whether a second student learns beside the first, each from the other, see `training/mutual.py`.
        joint: whether the two compare what they say in training, with dropout and the batch's statistics, by both
            directions of the divergence (PaddleVideo's PP-TSMv2).
        peer: how the second student differs from the first.
        temperature: flattens the probabilities of teachers and student before they are compared.
        weight: share of the teachers in the loss; the labels have the rest, or with `joint`, their full weight.
    """

    __pydantic_config__ = FORBID_UNKNOWN_KEYS

    teachers: tuple[str, ...] = ()
    mutual: bool = False
    joint: bool = False
    peer: PeerSpec = field(default_factory=PeerSpec)
    temperature: float = 2.0
    weight: float = 0.5

    def __post_init__(self) -> None:
        if not 0 < self.weight <= 1:
            raise RecipeError(f"train.distillation.weight: {self.weight} is not in (0, 1]")
        if self.joint and (self.teachers or not self.mutual):
            raise RecipeError(
                "train.distillation.joint: is for two students without other teachers; set train.distillation.mutual="
                "true and remove train.distillation.teachers"
            )
        if self.peer != PeerSpec() and not self.mutual:
            raise RecipeError("train.distillation.peer: there is no second student; set train.distillation.mutual=true")

    @property
    def is_on(self) -> bool:
        """Whether anything guides the training."""
        return bool(self.teachers) or self.mutual


@dataclass(frozen=True)
class LogSpec:
    """Where the numbers of a run go, beside metrics.jsonl and the report in its folder.

    Attributes:
        to: `tensorboard` (files in the run folder), `wandb`, `mlflow` and `swanlab`, through their own packages, which
            take project, server and key from the environment; one name is short for a list.
        report: write report.html and its pictures after training.
    """

    __pydantic_config__ = FORBID_UNKNOWN_KEYS

    to: tuple[Literal["tensorboard", "wandb", "mlflow", "swanlab"], ...] = ("tensorboard",)
    report: bool = True

    def __post_init__(self) -> None:
        for name in self.to:
            if self.to.count(name) > 1:
                raise RecipeError(f"log.to: {name} is listed twice; remove one of them")
