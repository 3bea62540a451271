"""The relation head of TRN, against concatenating the features of three relations per scale."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from benchmarks.interleaved import compared, measure
from benchmarks.options import Options
from benchmarks.rows import Row

from trishift.model.relations import draw_relations
from trishift.model.spec import HeadSpec, ModelSpec

CLIPS = 16


def rows(options: Options) -> Iterator[Row]:
    """The same three relations, and all of them, forward and backward."""
    segments, classes = (4, 7) if options.quick else (8, 174)
    spec = ModelSpec("bn_inception", classes, segments, head=HeadSpec("multiscale_relation"))
    draws = draw_relations(spec.head, segments, np.random.default_rng(0))
    times = measure(heads(spec, draws), 5 * options.rounds)
    title = f"{CLIPS} clips of {segments} frames, against three concatenated relations per scale"
    for suffix, what in (("", "prediction"), (" backward", "training")):
        yield compared(f"the same relations, {what}, {title}", times, f"same{suffix}", f"published{suffix}", 1.0)
        yield compared(f"all relations, {what}, {title}", times, f"all{suffix}", f"published{suffix}")


def heads(spec: ModelSpec, draws: list[np.ndarray]) -> dict[str, Callable[[], Any]]:
    """Our head with drawn relations and with all of them, and the published one, on equal weights."""
    import torch
    from benchmarks.baselines.relations import PublishedRelations

    from trishift.backends.pytorch.relation import RelationHead

    head = RelationHead(spec)
    width, hidden = spec.head.relation_width, spec.head.relation_hidden_width
    published = PublishedRelations(width, hidden, spec.num_classes, [draw.shape[1] for draw in draws])
    for ours, theirs in zip(head.relations, published.scales, strict=True):
        theirs[1].load_state_dict(ours.hidden.state_dict())
        theirs[3].load_state_dict(ours.classifier.state_dict())
    features = torch.randn(CLIPS, spec.num_segments, spec.feature_width)
    chosen, listed = [torch.from_numpy(draw) for draw in draws], [draw.tolist() for draw in draws]
    forms = {
        "same": lambda: head(features, chosen),
        "all": lambda: head(features),
        "published": lambda: published(head.fc(features), listed),
    }
    with torch.no_grad():
        assert torch.allclose(forms["same"](), forms["published"](), atol=1e-4)

    def predict(form: Callable[[], Any]) -> object:
        with torch.no_grad():
            return form()

    calls: dict[str, Callable[[], Any]] = {}
    for name, form in forms.items():
        calls[name] = lambda form=form: predict(form)
        calls[f"{name} backward"] = lambda form=form: form().square().mean().backward()
    return calls
