"""Import of any supported file as a canonical checkpoint."""

from __future__ import annotations

import logging
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from trishift.checkpoints.answers import Answers
from trishift.checkpoints.canonical import (
    CALIBRATION,
    DESCRIPTION_KEY,
    TRAINING_PREFIX,
    Checkpoint,
    decode_description,
    is_canonical,
)
from trishift.checkpoints.dialects.base import Dialect
from trishift.checkpoints.dialects.native import NATIVE
from trishift.checkpoints.files import open_weights
from trishift.checkpoints.formats.stored import StoredTensor, WeightFile
from trishift.checkpoints.labels import labels_for
from trishift.checkpoints.recognition import model_from_shapes, recognize, visible_names
from trishift.checkpoints.report import ConversionReport
from trishift.checkpoints.selection import one_network, refuse_rounded
from trishift.errors import CheckpointError, RecipeError
from trishift.io.wording import counted
from trishift.model.feature_maps import check_size
from trishift.model.sizes import size_of
from trishift.model.spec import InputSpec, ModelSpec
from trishift.model.tensors import TensorInfo, tensor_table

_METRICS = ("best_prec1", "best_mAP", "best_acc1")  # in the containers of the original codebases
_log = logging.getLogger(__name__)


def read_checkpoint(path: str | Path, **options: Any) -> Checkpoint:
    """Read weights of any supported family and file format; see `import_weights`, whose report is logged."""
    checkpoint, report = import_weights(path, **options)
    _log.info("%s", report)
    return checkpoint


def import_weights(
    path: str | Path,
    *,
    dialect: str | None = None,
    allow_partial: bool = False,
    fallback: ModelSpec | None = None,
    **options: Any,
) -> tuple[Checkpoint, ConversionReport]:
    """Read weights of any supported family and file format, with a report on every tensor.

    Args:
        path: the file, a run folder (for its best weights), or the folder of a Paddle 1.x model.
        dialect: family, to override recognition.
        allow_partial: keep the tensors that fit and skip the rest.
        fallback: a model that supplies missing options (for initial weights of a training run).
        options: properties that names do not determine, see `answers.OPTIONS`.

    Raises:
        CheckpointError: the file is unreadable, not recognized or ambiguous, or its tensors do not fit.

    Example:
        >>> from trishift.checkpoints import import_weights
        >>> checkpoint, report = import_weights("model.safetensors")
        >>> report.complete
        True
        >>> checkpoint.tensors["head.fc.weight"].shape
        (9, 64)
    """
    return import_file(open_weights(path), dialect, allow_partial, fallback, **options)


def import_file(
    file: WeightFile,
    dialect: str | None = None,
    allow_partial: bool = False,
    fallback: ModelSpec | None = None,
    **options: Any,
) -> tuple[Checkpoint, ConversionReport]:
    """`import_weights` for a file that is already open."""
    answers = Answers(file.path, options, fallback)
    file = one_network(file, answers)
    description = file.extras.get(DESCRIPTION_KEY)
    try:
        if isinstance(description, str):
            return _read_described(file, description, answers, allow_partial)
        return _read_foreign(file, dialect, answers, allow_partial)
    except RecipeError as error:  # shapes or options that describe no valid model
        raise CheckpointError(f"{file.path}: {error}") from error


def _read_foreign(
    file: WeightFile, dialect: str | None, answers: Answers, allow_partial: bool
) -> tuple[Checkpoint, ConversionReport]:
    refuse_rounded(file)
    recognition = recognize(file, dialect)
    names = visible_names(file, recognition)
    family = recognition.dialect
    spec = family.describe(model_from_shapes(file.path, recognition, names), names, answers)
    spec = _with_relations(_with_direction(spec, answers), answers)
    report = ConversionReport(str(file.path), f"{family.title}, {describe_model(spec)}", notes=answers.notes)
    report.dropped |= recognition.plain.copies
    tensors = _take_tensors(file, family, dict(recognition.names), spec, report)
    if not spec.num_classes:
        answers.notes.append("the file has no classifier: only the backbone is usable")
    if not allow_partial:
        report.require_complete()
    checkpoint = Checkpoint(
        tensors=tensors,
        spec=spec,
        input=_with_size(family.input(spec, answers), spec, answers),
        labels=labels_for(spec.num_classes, family.label_lists, answers),
        meta={"origin": {"file": file.path.name, "format": file.format, "dialect": family.name}, **_meta(file)},
    )
    return checkpoint, report


def _read_described(
    file: WeightFile, description: str, answers: Answers, allow_partial: bool
) -> tuple[Checkpoint, ConversionReport]:
    """Read a file written by Trishift, canonical or in a framework's own format."""
    described = decode_description(file.path, {}, description)
    tensors = {name: t for name, t in file.tensors.items() if not name.startswith(TRAINING_PREFIX)}
    if described.spec is None:
        loaded = {name: tensor.read() for name, tensor in tensors.items()}
        names = {name: name for name in loaded}
        return replace(described, tensors=loaded), ConversionReport(str(file.path), "tensors without model", names)
    spec = _override(described.spec, answers)
    canonical = is_canonical(file.extras) and file.format == "safetensors"
    family = NATIVE["pytorch"] if canonical else _native_dialect(file)
    report = ConversionReport(str(file.path), f"Trishift, {describe_model(spec)}", notes=answers.notes)
    arrays = _take_tensors(replace(file, tensors=tensors), family, {name: name for name in tensors}, spec, report)
    if not allow_partial:
        report.require_complete()
    labels = described.labels if answers.given("labels") is None else labels_for(spec.num_classes, (), answers)
    pixels = described.input and _with_size(described.input, spec, answers)
    if CALIBRATION in described.meta and (spec, pixels) != (described.spec, described.input):
        _log.warning("%s: its calibration is ignored, as it is not for these segments, relations or pixels", file.path)
        described = described.without_calibration()
    return replace(described, tensors=arrays, spec=spec, input=pixels, labels=labels), report


def _native_dialect(file: WeightFile) -> Dialect:
    """Detect the framework of a native file by the names of its running means."""
    for family in NATIVE.values():
        if any(name.endswith("." + family.norm_roles["running_mean"]) for name in file.tensors):
            return family
    raise CheckpointError(f"{file.path}: has a Trishift description but no batch norms; the file is damaged")


def _override(spec: ModelSpec, answers: Answers) -> ModelSpec:
    """Apply the user's T and relations to a described model, where they can be chosen."""
    segments = answers.given("num_segments") or spec.num_segments
    if spec.head.consensus != "average" or (spec.motion and spec.motion.kind == "tdn"):  # TDN's shares depend on it
        answers.confirm("num_segments", spec.num_segments)
    shift = spec.shift
    fixed = {"shift_div": shift.div, "shift_direction": shift.direction} if shift else {"shift": "none"}
    for option, value in fixed.items():
        answers.confirm(option, value)
    return _with_relations(replace(spec, num_segments=int(segments)), answers)


def _with_direction(spec: ModelSpec, answers: Answers) -> ModelSpec:
    """Apply the user's direction of the shift, which no foreign names show."""
    direction = answers.given("shift_direction")
    if direction is None:
        return spec
    if spec.shift is None:
        raise CheckpointError(f"shift_direction={direction}: the model has no shift; leave shift_direction out")
    return replace(spec, shift=replace(spec.shift, direction=direction))


def _with_relations(spec: ModelSpec, answers: Answers) -> ModelSpec:
    mode = answers.given("relations")
    if mode is None or spec.head.consensus == "average":
        return spec
    return replace(spec, head=replace(spec.head, relations=mode))


def _with_size(pixels: InputSpec, spec: ModelSpec, answers: Answers) -> InputSpec:
    """Apply the user's input size, which no weights determine."""
    size = answers.given("size")
    if size is None:
        return pixels
    check_size(spec, size_of(size))
    return pixels.with_crop(size)


def _take_tensors(
    file: WeightFile, family: Dialect, names: dict[str, str], spec: ModelSpec, report: ConversionReport
) -> dict[str, np.ndarray]:
    """Read every tensor of the model found in the file, in network order; `names` maps simplified to raw names."""
    report.dropped |= file.ignored
    tensors: dict[str, np.ndarray] = {}
    for info in tensor_table(spec):
        name = next((name for name in family.spellings(info, spec) if name in names), None)
        if name is None:
            if family.lacks(info):
                tensors[info.name] = np.zeros(info.shape, np.float32)
                report.filled.append(info.name)
            else:
                report.missing.append(info.name)
            continue
        raw = names.pop(name)
        array = _adapt(file.tensors[raw], info, family, report)
        if array is None:
            continue
        tensors[info.name] = array
        report.names[raw] = info.name
    for name, raw in names.items():
        reason = family.useless(name)
        if reason is None:
            report.unexpected.append(raw)
        else:
            report.dropped[raw] = reason
    return tensors


def _adapt(stored: StoredTensor, info: TensorInfo, family: Dialect, report: ConversionReport) -> np.ndarray | None:
    """Return a tensor in canonical shape as float32, or None (and an entry in the report) if it does not fit."""
    shape = stored.shape
    transposed = family.transposes_linear and info.layer == "linear" and len(shape) == 2
    if transposed:
        shape = shape[::-1]
    if shape != info.shape and _significant(shape) != _significant(info.shape):
        report.misfits[info.name] = f"has shape {shape}, needs {info.shape}"
        return None
    if not stored.dtype.lstrip("<>|").startswith(("float", "bfloat", "f")):
        report.misfits[info.name] = f"has type {stored.dtype}, needs floats"
        return None
    array = stored.read()
    if transposed:
        report.transposed.append(info.name)
        array = array.T
    elif shape != info.shape:
        report.reshaped[info.name] = shape
    if array.dtype != np.float32 or stored.dtype == "bfloat16":
        report.cast[info.name] = stored.dtype
    return np.require(array.reshape(info.shape), np.float32, ["C", "W"])


def _significant(shape: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(n for n in shape if n != 1)


def _meta(file: WeightFile) -> dict[str, Any]:
    """Return the epoch and metrics recorded in a container."""
    meta: dict[str, Any] = {}
    if isinstance(epoch := file.extras.get("epoch"), int):
        meta["epoch"] = epoch
    values = {name: file.extras[name] for name in _METRICS if isinstance(file.extras.get(name), int | float)}
    metrics = {name: float(value) for name, value in values.items() if math.isfinite(value)}
    return {**meta, "metrics": metrics} if metrics else meta


def describe_model(spec: ModelSpec) -> str:
    """Describe a model in a few words: `resnet50, 8 segments, shift 1/8 blockres, 400 classes`."""
    words = [spec.backbone, counted(spec.num_segments, "segment")]
    if spec.in_channels != 3:
        words.append(f"{spec.in_channels} channels")
    if spec.shift is not None:
        place = spec.shift.placement
        where = place if isinstance(place, str) else f"in {counted(len(place), 'block')}"
        words.append(f"{spec.shift.direction} shift 1/{spec.shift.div} {where}, {spec.shift.order.replace('_', ' ')}")
    if spec.motion:
        words.append(f"motion modules of {spec.motion.title}")
    if spec.non_local:
        words.append(f"non-local {spec.non_local_form.replace('_', ' ')}")
    if spec.temporal_attention:
        words.append("temporal attention")
    if spec.temporal_pool:
        words.append("temporal pool")
    if spec.head.consensus != "average":
        words.append(spec.head.consensus.replace("_", " "))
    if spec.multi_label:
        words.append("several labels per clip")
    return ", ".join([*words, counted(spec.num_classes, "class") if spec.num_classes else "no head"])
