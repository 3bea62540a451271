"""Films: the pixels of a clip, and frames whose mean score is the clip's."""

from __future__ import annotations

import numpy as np
import pytest

from trishift.data.transforms import evaluation_views
from trishift.evaluation.films import frame_logits, pictures
from trishift.export.session import Deployed
from trishift.model.spec import HeadSpec, InputSpec, ModelSpec, ShiftSpec


@pytest.mark.parametrize("pixels", [InputSpec(resize=8, crop=8), InputSpec("rgb", 8, 8, "bgr", 1.0, std=(1, 1, 1))])
def test_pictures_undo_the_normalization(pixels: InputSpec) -> None:
    frames = np.random.default_rng(0).integers(0, 256, (3, 8, 8, 3), np.uint8)
    [views] = evaluation_views(frames, pixels, "center", False)
    np.testing.assert_array_equal(pictures(views, pixels), frames)


def test_the_mean_over_frames_is_the_score_of_the_clip() -> None:
    pytest.importorskip("torch")
    from trishift.backends import open_session

    clips = np.random.default_rng(1).standard_normal((1, 4, 3, 32, 32)).astype(np.float32)
    spec = ModelSpec("resnet10", 3, num_segments=4, width=4, shift=ShiftSpec(div=4))
    session = open_session("pytorch", spec)
    logits = frame_logits(session, clips[0])
    assert logits is not None
    np.testing.assert_allclose(logits.mean(0), session.predict(clips)[0], atol=1e-5)
    relations = ModelSpec("resnet10", 3, num_segments=4, width=4, head=HeadSpec("multi_scale"))
    assert frame_logits(open_session("pytorch", relations), clips[0]) is None


def test_programs_score_no_frames() -> None:
    program = Deployed()
    program.spec = ModelSpec("resnet10", 3, num_segments=4, width=4)
    assert frame_logits(program, np.zeros((4, 3, 32, 32), np.float32)) is None
