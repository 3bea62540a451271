"""A model as the service offers it: under a name, from a video to an answer."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from trishift.api import Model
from trishift.data.opening import unlabeled_set
from trishift.data.protocol import Protocol
from trishift.errors import DataError
from trishift.evaluation.prediction import predictions_of
from trishift.serving.batching import Batcher, is_independent


class Served:
    """A model that answers requests.

    Args:
        name: name in requests.
        model: the model.
        protocol: clips and crops per video.
        batch: views per forward pass, at most.
        wait: seconds that an incomplete batch waits.
        observe: called with the number of views of each forward pass.

    Attributes:
        batch: views per forward pass; 1 if the model's logits depend on the batch.
    """

    def __init__(
        self,
        name: str,
        model: Model,
        protocol: Protocol | None = None,
        batch: int = 1,
        wait: float = 0.0,
        observe: Callable[[int], object] = lambda views: None,
    ) -> None:
        self.name, self.model, self._protocol = name, model, protocol or Protocol()
        shape = unlabeled_set([], model.input, model.spec, self._protocol).clip_shape[1:]
        self.batch = batch if batch > 1 and is_independent(model, shape) else 1
        self._batcher = Batcher(model, self.batch, wait, observe)
        self.submit, self.close = self._batcher.submit, self._batcher.close

    def read(self, path: Path) -> np.ndarray:
        """Views (V, T, C, H, W) of a video file or a folder of frames.

        Raises:
            DataError: it cannot be read.
        """
        dataset = unlabeled_set([path], self.model.input, self.model.spec, self._protocol)
        sample = dataset.load(0)
        if not sample.valid:
            raise DataError(dataset.misses()[0][1].replace(str(path), "the upload"))
        return sample.clips

    def answer(self, logits: np.ndarray, top_k: int, with_logits: bool) -> dict[str, Any]:
        """The most likely classes as JSON, in the form of `trishift infer --output predictions.json`."""
        [prediction] = predictions_of([""], logits[None], self.model.labels, self.model.calibration)
        row = {"model": self.name, **prediction.to_dict(top_k)}
        del row["video"]
        return row | ({"logits": logits.tolist()} if with_logits else {})

    def describe(self) -> dict[str, Any]:
        """Name, classes and input as JSON."""
        spec, pixels = self.model.spec, self.model.input
        return {
            "name": self.name,
            "backbone": spec.backbone,
            "frames": spec.num_segments,
            "size": list(pixels.crop_size),
            "modality": pixels.modality,
            "multi_label": spec.multi_label,
            "labels": list(self.model.labels),
        }
