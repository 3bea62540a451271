"""Paddle Inference behind a session: it follows the weights and accepts every batch and image size."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import paddle
import pytest
from tests.support.sessions import CLIPS, make_plan, make_session, micro_batches

from trishift.model.relations import all_relations
from trishift.model.spec import HeadSpec, ModelSpec


@pytest.fixture(autouse=True)
def framework(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRISHIFT_FRAMEWORK", "paddle")


def test_compiled_prediction_follows_the_weights() -> None:
    session, plain = make_session(compile=True), make_session()
    for step in range(2):
        np.testing.assert_allclose(session.predict(CLIPS), plain.predict(CLIPS), rtol=1e-3, atol=1e-6)
        if step == 0:
            for each in (session, plain):
                each.prepare_training(make_plan(each))
                each.train_step(micro_batches(), lr=0.1)
    session.load_tensors(make_session(seed=8).dump_tensors())
    np.testing.assert_allclose(session.predict(CLIPS), make_session(seed=8).predict(CLIPS), rtol=1e-3, atol=1e-6)


def test_one_program_per_image_size_serves_every_batch(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    saved, save = [], paddle.jit.save
    monkeypatch.setattr(paddle.jit, "save", lambda *args, **options: (saved.append(args), save(*args, **options)))
    session, plain = make_session(compile=True), make_session()
    for clips in (CLIPS, CLIPS[:3], CLIPS[:1, :, :, :24, :28]):
        np.testing.assert_allclose(session.predict(clips), plain.predict(clips), rtol=1e-3, atol=1e-6)
    assert len(saved) == 2
    assert not capfd.readouterr().out  # standard output belongs to the user


def test_drawn_relations_bypass_the_program() -> None:
    spec = ModelSpec("resnet10", 4, 4, width=4, head=HeadSpec("multiscale_relation", 8, relations_per_scale=1))
    session = make_session(spec, compile=True)
    everything = [all_relations(4, scale) for scale in (4, 3, 2)]
    plain_sum = make_session(replace(spec, head=replace(spec.head, relations="all")), compile=True)
    np.testing.assert_allclose(session.predict(CLIPS, everything), plain_sum.predict(CLIPS), rtol=1e-4, atol=1e-6)
