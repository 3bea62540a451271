"""Why a network gives a clip a class: where it looks (Grad-CAM), and what each segment and each relation contributes.

Feature maps of the last stage are averaged to the pooled features, so the gradient at a pixel of a map is that of the
pooled feature over the number of pixels: the head alone determines it, and every framework computes the same maps.
Where a layer follows the mean (MobileNetV3, PP-LCNetV2), the gradient at the means passes through it.
Contributions are in units of the logit.

Shape legend: T segments, T' segments at the head, C channels, H x W pixels, h x w a feature map, F features, K classes.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from trishift.backends.contract import Predictor
from trishift.errors import DataError, RecipeError
from trishift.model.backbones import BACKBONES
from trishift.model.relations import evaluation_relations, prediction_relations
from trishift.model.spec import ModelSpec
from trishift.model.tensors import Tensors


@dataclass(frozen=True)
class Relation:
    """What a relation of frames adds to the logit (TRN)."""

    segments: tuple[int, ...]
    contribution: float


@dataclass(frozen=True)
class Explanation:
    """Why a clip has a class.

    Attributes:
        label: the class that is explained.
        logits: (K,).
        maps: (T', h, w), Grad-CAM (Selvaraju et al. 2017, arXiv:1610.02391): evidence for the class, 0 or more.
        by_gradient: (T',) gradient times feature, summed over the features of a segment. For an average of linear
            logits, the sum over segments is the logit without its bias.
        left_out: (T,) by how much the logit falls if the segment is replaced by its neighbor.
        relations: relations of each scale, largest scale first, strongest relation first; empty for other heads.
    """

    label: int
    logits: np.ndarray
    maps: np.ndarray
    by_gradient: np.ndarray
    left_out: np.ndarray
    relations: tuple[tuple[Relation, ...], ...] = ()

    @property
    def heat(self) -> np.ndarray:
        """(T', h, w) maps from 0 to 1, relative to the strongest evidence in the clip."""
        peak = float(self.maps.max(initial=0.0))
        return self.maps / peak if peak > 0 else np.zeros_like(self.maps)

    def of_segments(self, rows: np.ndarray) -> np.ndarray:
        """Rows (T', ...) repeated for the T segments, which temporal pooling merges in pairs."""
        return np.repeat(rows, len(self.left_out) // len(rows), axis=0)


def explain_clip(predictor: Predictor, clip: np.ndarray, label: int | None = None) -> Explanation:
    """Explain a class of a clip.

    Args:
        predictor: a network in a framework.
        clip: (T, C, H, W) float32, normalized.
        label: the class; None: the most likely one.

    Raises:
        DataError: the logits are not finite.
        RecipeError: an exported program, which exposes no layers, or the class is out of range.
    """
    spec = predictor.spec
    if not predictor.has_layers:
        raise RecipeError(f"{predictor.framework}: a program exposes no layers; give its weights")
    if label is not None and not 0 <= label < spec.num_classes:
        raise RecipeError(f"class {label} is out of range: there are {spec.num_classes}, numbered from 0")
    network = BACKBONES[spec.backbone]
    layer = network.last_maps
    relations = prediction_relations(spec)
    found = predictor.features(clip[None], [layer, "pooled"])
    logits = predictor.classify(found["pooled"], relations)[0]
    if not np.isfinite(logits).all():
        raise DataError("the logits of the clip are not finite, so there is nothing to explain; check the weights")
    chosen = int(logits.argmax()) if label is None else label
    gradients = predictor.head_gradients(found["pooled"], np.array([chosen]), relations)[0]
    at_means = gradients
    if network.widening:
        weight = predictor.dump_tensors()[f"{network.widening.layer}.weight"][:, :, 0, 0]  # type: ignore[attr-defined]
        at_means = network.widening.gradients(weight, found[layer][0].mean((2, 3)), gradients)
    maps = np.einsum("tc,tcxy->txy", at_means, found[layer][0]) / np.prod(found[layer].shape[-2:])
    return Explanation(
        chosen,
        logits,
        np.maximum(maps, 0),
        (gradients * found["pooled"][0]).sum(axis=1),
        logits[chosen] - _without_segments(predictor, clip)[:, chosen],
        _relations(predictor, found["pooled"][0], chosen, relations) if spec.head.consensus != "average" else (),
    )


def _without_segments(predictor: Predictor, clip: np.ndarray) -> np.ndarray:
    """(T, K) logits of the clip, each with one segment replaced by its neighbor; a single one by the mean color."""
    count = len(clip)
    clips = np.repeat(clip[None], count, axis=0)
    for place in range(count):
        clips[place, place] = clip[place - 1 if place else 1] if count > 1 else 0
    relations = prediction_relations(predictor.spec)
    return np.concatenate([predictor.predict(clips[place : place + 1], relations) for place in range(count)])


def _relations(
    predictor: Predictor, features: np.ndarray, label: int, drawn: list[np.ndarray] | None
) -> tuple[tuple[Relation, ...], ...]:
    tensors = predictor.dump_tensors()  # type: ignore[attr-defined]
    found = relation_contributions(tensors, predictor.spec, features, drawn)
    return tuple(
        tuple(
            sorted(
                (Relation(tuple(row.tolist()), float(value)) for row, value in zip(frames, values, strict=True)),
                key=lambda relation: -abs(relation.contribution),
            )
        )
        for frames, values in ((frames, values[:, label]) for frames, values in found)
    )


def relation_contributions(
    tensors: Tensors, spec: ModelSpec, features: np.ndarray, drawn: list[np.ndarray] | None = None
) -> list[tuple[np.ndarray, np.ndarray]]:
    """The summands of a relation head's logits, per scale.

    Args:
        tensors: weights under canonical names.
        spec: describes the network.
        features: (T', F) pooled features of a clip.
        drawn: (R, k) segments per scale; None: the evaluation relations.

    Returns:
        (R, k) segments and (R, K) logits per scale, largest scale first; the sum of all logits is that of the head.
    """
    projected = np.maximum(features @ tensors["head.fc.weight"].T + tensors["head.fc.bias"], 0)
    result = []
    for scale, fixed in enumerate(evaluation_relations(spec.head, spec.output_segments, "all" if drawn else None)):
        frames, weight = (drawn[scale], 1.0) if drawn else (fixed.frames, fixed.weight)
        of = {name: tensors[f"head.relations.{scale}.{name}"] for name in _RELATION}
        joined = projected[frames].reshape(len(frames), -1)
        hidden = np.maximum(joined @ of["hidden.weight"].T + of["hidden.bias"], 0)
        result.append((frames, weight * (hidden @ of["classifier.weight"].T + of["classifier.bias"])))
    return result


_RELATION = ("hidden.weight", "hidden.bias", "classifier.weight", "classifier.bias")
