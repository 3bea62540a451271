"""Finding clips in downloads."""

from __future__ import annotations

from pathlib import Path

from trishift.data.prepare.tree import Tree


def test_prefers_the_best_copy_of_a_clip(tmp_path: Path) -> None:
    order = ("replacement_for_k400/x.mp4", "a/x.mp4", "b/x/img_00001.jpg", "a/videos-256/x.mp4", ".trash/x.mp4")
    for name in order:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    for name in order[:-1]:
        found = Tree([tmp_path, tmp_path / "a"]).clip(["nowhere", "x"])
        assert found == (tmp_path / name if name.endswith("mp4") else (tmp_path / name).parent)
        (tmp_path / name).unlink()
    assert Tree([tmp_path]).clip(["x"]) is None
