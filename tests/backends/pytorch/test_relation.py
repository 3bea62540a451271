"""TRN's head in PyTorch against networks on concatenated frames."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
import torch

from trishift.backends.contract import Execution
from trishift.backends.pytorch.recognizer import Recognizer
from trishift.backends.pytorch.relation import RelationHead
from trishift.backends.pytorch.session import Session
from trishift.errors import RecipeError
from trishift.model.relations import draw_relations
from trishift.model.spec import HeadSpec, ModelSpec

SEGMENTS = 5


def make_head(consensus: str = "multiscale_relation", mode: str = "expected") -> RelationHead:
    torch.manual_seed(0)
    head = HeadSpec(consensus, relation_width=6, hidden_width=7, relations=mode)
    return RelationHead(ModelSpec("resnet10", 3, SEGMENTS, width=2, head=head))


def features() -> torch.Tensor:
    return torch.randn(2, SEGMENTS, 16, generator=torch.Generator().manual_seed(1))


def concatenated(head: RelationHead, scale: int, frames: tuple[int, ...]) -> torch.Tensor:
    """Logits of one relation as the originals compute it: a network on the concatenated frames, (N, K)."""
    relation = head.relations[SEGMENTS - scale]
    x = torch.relu(head.fc(features()))
    joined = torch.cat([x[:, frame] for frame in frames], 1)
    return relation.classifier(torch.relu(relation.hidden(joined)))


def brute_force(head: RelationHead, mode: str) -> torch.Tensor:
    total = torch.zeros(2, 3)
    for scale in range(SEGMENTS, 1, -1):
        every = list(combinations(range(SEGMENTS), scale))
        chosen = every[:3] if mode == "first" else every
        weight = min(3, len(every)) / len(every) if mode == "expected" else 1
        total += weight * sum(concatenated(head, scale, frames) for frames in chosen)
    return total


@pytest.mark.parametrize("mode", ["expected", "all", "first"])
@torch.no_grad()
def test_multiscale_head_equals_concatenated_frames(mode: str) -> None:
    head = make_head(mode=mode)
    assert torch.allclose(head(features()), brute_force(head, mode), atol=1e-5)


@torch.no_grad()
def test_single_scale_head_reads_all_frames_once() -> None:
    head = make_head("relation")
    assert torch.allclose(head(features()), concatenated(head, SEGMENTS, tuple(range(SEGMENTS))), atol=1e-6)


@torch.no_grad()
def test_given_relations_are_summed() -> None:
    head = make_head()
    draw = draw_relations(HeadSpec("multiscale_relation"), SEGMENTS, np.random.default_rng(0))
    expected = sum(concatenated(head, table.shape[1], tuple(row)) for table in draw for row in table.tolist())
    assert torch.allclose(head(features(), [torch.from_numpy(table) for table in draw]), expected, atol=1e-5)


@torch.no_grad()
def test_expected_relations_are_the_mean_of_published_draws() -> None:
    head = make_head()
    draws = (draw_relations(HeadSpec("multiscale_relation"), SEGMENTS, np.random.default_rng(i)) for i in range(400))
    logits = torch.stack([head(features(), [torch.from_numpy(table) for table in draw]) for draw in draws])
    error = logits.std(0) / len(logits) ** 0.5
    assert bool((error > 0).all())
    assert bool(((logits.mean(0) - head(features())).abs() < 4 * error).all())


def test_gradients_equal_those_of_concatenated_frames() -> None:
    head = make_head(mode="all")
    parameters = list(head.parameters())
    ours = torch.autograd.grad(head(features()).square().sum(), parameters)
    theirs = torch.autograd.grad(brute_force(head, "all").square().sum(), parameters)
    assert all(torch.allclose(a, b, rtol=1e-4, atol=1e-4) for a, b in zip(ours, theirs, strict=True))


def test_head_relates_pooled_segments() -> None:
    spec = ModelSpec("resnet10", 3, 8, width=2, temporal_pool=True, head=HeadSpec("multiscale_relation"))
    assert [relation.scale for relation in Recognizer(spec).head.relations] == [4, 3, 2]


def test_sampled_head_needs_relations() -> None:
    spec = ModelSpec("resnet10", 3, 4, width=2, head=HeadSpec("multiscale_relation", relations="sampled"))
    session = Session(spec, Execution())
    clips = np.random.default_rng(0).standard_normal((1, 4, 3, 32, 32)).astype(np.float32)
    with pytest.raises(RecipeError, match="drawn by the caller"):
        session.predict(clips)
    draws = [draw_relations(spec.head, 4, np.random.default_rng(seed)) for seed in (0, 1)]
    first, again, other = (session.predict(clips, draws[i]) for i in (0, 0, 1))
    assert np.array_equal(first, again)
    assert not np.allclose(first, other)
